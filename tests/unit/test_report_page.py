"""``report.html`` as text: complete, small, safe. How it looks and acts is in tests/docs."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from typing import Any

import numpy as np
import pytest
import report_runs as runs

from llmsim.report.plots import distribution

EVIL = "</script><script>alert(1)</script><img src=x onerror=alert(1)>"


def data_of(page: str) -> dict[str, Any]:
    """The block ``page.js`` reads."""
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    assert found
    data: dict[str, Any] = json.loads(found[1])
    return data


def test_page_is_small_for_any_run() -> None:
    """The plots are thinned: 20 times the requests cost no more than a little."""
    short = runs.page_of(runs.make_record(runs.make_requests(1_000)), runs.make_loaded())
    long = runs.page_of(runs.make_record(runs.make_requests(20_000)), runs.make_loaded())

    assert 150_000 > len(long)
    assert 1.1 > len(long) / len(short)


def test_nothing_comes_from_elsewhere() -> None:
    """No address of another site, and a policy under which the browser would refuse one."""
    page = runs.page_of(runs.make_record(runs.make_requests(10)), runs.make_loaded())
    without_namespace = page.replace("http://www.w3.org/2000/svg", "")

    assert "default-src 'none'" in page
    assert not re.search(r"(src|href)\s*=\s*[\"'](?!data:)", without_namespace)
    assert not re.search(r"@import|url\((?!#)(?!\$)", without_namespace.replace("url(#${clip})", ""))


def test_policy_admits_exactly_this_script_and_style() -> None:
    """The hashes in the policy are those of the inline blocks, so that an injected one would not run."""
    page = runs.page_of(runs.make_record(runs.make_requests(10)), runs.make_loaded())
    for tag, directive in (("script", "script-src"), ("style", "style-src")):
        inline = re.findall(rf"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(inline[0].encode()).digest()).decode()

        assert 1 == len(inline)
        assert f"{directive} 'sha256-{digest}'" in page


def test_user_text_is_escaped() -> None:
    """Reasons, model names, sources and notes are text, never markup."""
    record = runs.make_record([runs.refuse(req, EVIL) for req in runs.make_requests(3)])
    record.skipped_trace_rows[EVIL] = 1
    loaded = runs.make_loaded(model=runs.make_model(name=EVIL, source=EVIL))
    page = runs.page_of(record, loaded)

    assert EVIL not in page
    assert "<img" not in page
    assert 2 == page.count("<script") == page.count("</script>")


def test_no_tile_for_targets_that_are_not_set() -> None:
    """A tile with a dash says nothing."""
    record = runs.make_record(runs.make_requests(50))

    assert "within the SLO" in runs.page_of(record, runs.make_loaded({"ttft_ms": 1.0}))
    assert "within the SLO" not in runs.page_of(record, runs.make_loaded())


def test_verdict_comes_before_the_figures() -> None:
    """What a hurried reader needs is at the top."""
    page = runs.page_of(runs.make_record(runs.make_requests(50)), runs.make_loaded({"ttft_ms": 1.0}))

    assert page.index("SLO missed") < page.index("Latency") < page.index("Assumptions")


@pytest.mark.parametrize("n", [0, 1, 2, 500])
def test_plots_hold_only_finite_numbers(n: int) -> None:
    """json.loads would accept NaN; JSON, and the browser, do not."""
    page = runs.page_of(runs.make_record(runs.make_requests(n)), runs.make_loaded())
    numbers = json.dumps(data_of(page))

    assert "NaN" not in numbers
    assert "Infinity" not in numbers


def test_short_samples_are_drawn_exactly() -> None:
    """Every value is a step of height 1/n."""
    spec = distribution("ttft_ms", np.array([30.0, 10.0, 20.0, np.nan]), None)

    assert [10, 20, 30] == spec["x"]
    assert pytest.approx([100 / 3, 200 / 3, 100]) == spec["series"][0]["y"]


def test_long_samples_keep_their_shape_and_ends() -> None:
    """Thinned to few points, each of which lies on the true distribution; the greatest value is kept."""
    sample = np.random.default_rng(1).lognormal(5, 1, 100_000)
    spec = distribution("ttft_ms", sample, None)
    x, y = np.array(spec["x"]), np.array(spec["series"][0]["y"])
    true = 100 * np.searchsorted(np.sort(sample), x * (1 + 1e-4), side="right") / len(sample)

    assert 450 > len(x)
    assert np.all(np.diff(x) >= 0)
    assert np.abs(true - y).max() < 0.05
    assert sample.max() == pytest.approx(x[-1] * (1 if spec["xUnit"] == "ms" else 1000), rel=1e-4)


def test_target_is_in_the_unit_of_the_axis() -> None:
    """A tail beyond 10 s is drawn in seconds, and its limit with it."""
    spec = distribution("e2el_ms", np.full(10, 20_000.0), 15_000.0)

    assert ("s", 15.0) == (spec["xUnit"], spec["limit"])


def test_marks_are_the_summary_percentiles() -> None:
    """The dots stand where the table says."""
    record, loaded = runs.make_record(runs.make_requests(1_000)), runs.make_loaded()
    summary = runs.summary_of(record, loaded)
    marks = {
        mark["name"]: mark["x"] for mark in data_of(runs.page_of(record, loaded))["distributions"][0]["marks"]
    }

    for name, value in marks.items():
        assert summary[f"{name.lower()}_ttft_ms"] == pytest.approx(value, rel=1e-4)
