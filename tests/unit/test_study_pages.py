"""What the pages of studies show of their answers: the limit on the curves, the winner over time, honest fronts."""

from __future__ import annotations

import json
import re
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import yaml
from rich.console import Console
from typer.testing import CliRunner

from llmsim.cli.app import app
from llmsim.measure.student import Interval
from llmsim.planning.axes import read_axes
from llmsim.planning.compare import Effort, compare
from llmsim.planning.contenders import contenders
from llmsim.planning.differences import Difference
from llmsim.planning.points import Base
from llmsim.planning.replicate import HEADLINES
from llmsim.planning.settings_text import assignments, in_words, value_text
from llmsim.planning.workers import open_workers
from llmsim.report.compare import compare_text
from llmsim.report.compare_words import label, word_of
from llmsim.report.pages import METRICS, Estimate, TradeOff
from llmsim.report.pages.scatter import Alternative, scatter_plot

SCENARIO = {
    "name": "line",
    "model": "llama-3.1-8b",
    "fleet": {"accelerator": "h100-sxm", "cost_model": {"kind": "linear", "iteration_s": 0.01}, "usd_per_hour": 2.0},
    "engine": {"max_num_seqs": 1, "num_kv_tokens": 100_000, "max_model_len": 1000},
    "workload": {"arrival": {"kind": "poisson", "request_rate": 2}, "input_tokens": 1, "output_tokens": 11,
                 "num_requests": 60},
    "slo": {"e2el_ms": 1500, "percentile": 0.9},
}  # fmt: skip


def page(tmp_path: Path, *options: str) -> tuple[str, dict[str, Any]]:
    """``report.html`` of a plan, and what its script draws."""
    path = tmp_path / "a.yaml"
    path.write_text(yaml.safe_dump(SCENARIO))
    given = ["plan", str(path), *options, "--quiet", "--on", "here", "--out", str(tmp_path / "out")]
    assert CliRunner().invoke(app, given).exit_code == 0
    html = (tmp_path / "out" / "report.html").read_text()
    data = re.search(r'<script type="application/json" id="data">(.*?)</script>', html, re.DOTALL)
    assert data
    return html, json.loads(data[1])


def test_a_limit_is_one_line_with_a_mark_however_long_its_runs_are(tmp_path: Path) -> None:
    """Loads are offered for longer as they rise; that is no axis, and no line of its own."""
    html, data = page(tmp_path, "--find", "limit", "--replications", "1", "--resolution", "20%")
    answer = json.loads((tmp_path / "out" / "limit.json").read_text())
    assert any("workload.num_requests" in one["settings"] for one in answer["tried"]), (
        "a check that checks nothing"
    )
    curves = [plot for plot in data["plots"] if plot["kind"] == "lines"]
    assert curves
    for curve in curves:
        assert [1] == [len(group["series"]) for group in curve["groups"]]
        assert {"at": answer["limit"], "text": "limit"} == curve["mark"]
        assert answer["limit"] in curve["stops"]
    assert not any(plot["kind"] == "heat" for plot in data["plots"])
    assert html.count("rests on the") <= 1


def test_the_winner_is_shown_over_time_with_its_own_assumptions(tmp_path: Path) -> None:
    """Two replicas, not the one of the scenario; only fleets that were run are ranked."""
    html, data = page(tmp_path, "--vary", "fleet.usd_per_hour=2,3", "--max-replicas", "4")
    answer = json.loads((tmp_path / "out" / "plan.json").read_text())
    assert "The winner over time" in html
    assert {"requests", "kv", "tokens"} <= {panel["id"] for panel in data["times"]}
    replicas = answer["winner"]["settings"]["fleet.replicas"]
    assert f"{replicas} × (1 × h100-sxm" in html
    assert all(one["seeds"] for one in answer["simulated"])


def test_fronts_of_the_page_are_those_of_the_terminal(tmp_path: Path) -> None:
    """Cost by the hour against attainment, tokens by GPU against tokens by user."""
    _, data = page(tmp_path, "--find", "pareto", "--vary", "fleet.replicas=1,2,3")
    fronts = [plot for plot in data["plots"] if plot["kind"] == "points"]
    assert ["Cost per hour ($/h)", "Tokens per second and user (tokens/s)"] == [
        plot["xLabel"] for plot in fronts
    ]


def test_what_is_overloaded_is_on_no_front() -> None:
    """However well it looks: its figures depend on how long it ran."""
    x, y = METRICS["usd_per_hour"], METRICS["slo_attainment"]
    alternatives = [
        Alternative(name, {x.key: Estimate(cost), y.key: Estimate(share)}, state)
        for name, cost, share, state in (("a", 1.0, 0.99, "overloaded"), ("b", 2.0, 0.9, "stable"))
    ]
    plot = scatter_plot(TradeOff(x.key, y.key), (x, y), alternatives, {}, "front")
    assert plot is not None
    assert [("a", False), ("b", True)] == [(point["name"], point["front"]) for point in plot["points"]]
    assert "on no front" in plot["caption"]


@pytest.mark.parametrize("sign", [1, -1])
def test_a_difference_from_nothing_is_told_in_its_unit(sign: int) -> None:
    """From an attainment of zero there is no share; that it is shown to differ must not go unsaid."""
    ends = sorted((sign * 0.85, sign * 0.95))
    found = Difference("slo_attainment", sign * 0.9, Interval(sign * 0.9, *ends), None, 3)
    better = ("higher", "better") if sign > 0 else ("lower", "worse")
    assert (
        word_of(found) == f"SLO attainment 90.0 points {better[0]} (85.0 points to 95.0 points, {better[1]})"
    )


@pytest.mark.parametrize("width", [95, 110, 240])
def test_a_wide_comparison_is_told_in_tables_that_fit(width: int, tmp_path: Path) -> None:
    """Every contender's column is there, however narrow the terminal; where there is room they stand side by side."""
    path = tmp_path / "a.yaml"
    path.write_text(yaml.safe_dump(SCENARIO))
    axes = read_axes((), ["fleet.cost_model.iteration_s=0.01,0.011,0.012,0.013"])
    with open_workers("here") as run:
        found = compare(contenders([Base(path)], axes), Effort(0, 2, curves=False), run)
    shown = StringIO()
    Console(width=width, file=shown).print(compare_text(found))
    heads = [line for line in shown.getvalue().splitlines() if line.startswith("mean over 2 seeds of")]
    assert {95: 3, 110: 3, 240: 1}[width] == len(heads)
    assert all(f"iteration_s={value}" in " ".join(heads) for value in ("0.011", "0.012", "0.013"))
    rows = [line for line in shown.getvalue().splitlines() if line.startswith(label(HEADLINES[0]))]
    assert len(heads) == len(rows)


def test_settings_are_named_alike_everywhere() -> None:
    """A policy's options are part of its name: two of one kind are two."""
    static = {"kind": "static", "max_wait_s": 2}
    assert value_text(static) == "static (max_wait_s 2)"
    assert (
        in_words({"engine.scheduler": static, "fleet.replicas": 2})
        == "scheduler static (max_wait_s 2), replicas 2"
    )
    assert assignments({"fleet.replicas": 2, "engine.max_model_len": None}) == (
        "fleet.replicas=2, engine.max_model_len=none"
    )


def test_no_winner_of_an_earlier_question_is_left(tmp_path: Path) -> None:
    """The directory holds the answer to the question asked last: that there is none."""
    page(tmp_path, "--max-replicas", "4")
    winner = tmp_path / "out" / "winner.yaml"
    assert winner.is_file()
    page(tmp_path, "--max-replicas", "1", "--set", "slo.e2el_ms=1")
    assert not winner.exists()
