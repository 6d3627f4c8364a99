"""What a comparison gives its page to draw."""

from __future__ import annotations

import json
import re

import pytest
from sweep_scenarios import small

from llmsim.planning.axes import read_axes
from llmsim.planning.compare import Effort, compare
from llmsim.planning.contenders import contenders
from llmsim.planning.points import Base
from llmsim.planning.workers import open_workers
from llmsim.report import pages
from llmsim.report.compare_page import compare_html


@pytest.fixture(scope="module")
def comparison(tmp_path_factory):
    """A server that keeps up, a slower one, and one that does not keep up."""
    directory = tmp_path_factory.mktemp("compared")
    axes = read_axes((), ["fleet.cost_model.iteration_s=0.005,0.006,0.9"])
    with open_workers("here") as run:
        base = Base(small(directory), ("workload.num_requests=300", "engine.max_num_seqs=4"))
        return compare(contenders([base], axes), Effort(0, 3), run)


@pytest.fixture(scope="module")
def filled(comparison):
    """What the page was made from, and the page."""
    given = []
    original = pages.compare_page
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pages, "compare_page", lambda data: given.append(data) or original(data))
        html = compare_html(comparison)
    return given[0], html


def test_every_figure_is_that_of_the_comparison(comparison, filled):
    data, _ = filled
    for setting, each in zip(data.settings, comparison.compared, strict=True):
        assert setting.name == each.contender.name
        assert setting.estimates["p99_ttft_ms"].value == each.found.estimates["p99_ttft_ms"].mean
    assert data.settings[0].differences == {}
    slower = data.settings[1].differences["mean_tpot_ms"]
    assert (slower.word, slower.tone) == ("worse", "bad")
    assert slower.absolute.low > 0


def test_curves_are_quantiles_and_rates(comparison, filled):
    data, _ = filled
    for setting in data.settings:
        assert all(len(values) == len(data.levels) for values in setting.quantiles.values())
        assert all(sorted(values) == values for values in setting.quantiles.values())
    (series, *_) = data.curves[0].series
    assert [point.x for point in series.points] == pytest.approx([2.5, 3.75, 5, 6.25, 7.5])
    assert data.limits_ms == {"ttft_ms": 500}


def test_what_is_overloaded_is_flagged_and_not_compared(filled):
    data, _ = filled
    over = data.settings[2]
    assert (over.saturation, over.saturation_note) == ("overloaded", "3 of 3 replications overloaded")
    assert "mean_ttft_ms" not in over.differences
    assert any("overloaded" in note for note in data.head.notes)


def test_the_page_is_one_file_that_loads_nothing(filled):
    _, html = filled
    assert not re.search(r'(?:src|href)="(?!data:|#)', html)
    assert "iteration_s=0.006" in html
    assert len(html) < 3e6
    (embedded,) = re.findall(r'<script type="application/json"[^>]*>(.*?)</script>', html, re.DOTALL)
    json.loads(embedded)
