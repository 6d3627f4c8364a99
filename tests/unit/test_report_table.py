"""The page ``llmsim run`` prints."""

from __future__ import annotations

import io
from typing import Any

import pytest
from report_runs import make_loaded, make_record, make_request, make_requests, refuse, summary_of
from rich.console import Console

from llmsim.files.scenario_file import LoadedScenario
from llmsim.measure.records import RunRecord
from llmsim.report.table import render
from llmsim.report.verdict import verdict

BOTH = {"ttft_ms": 500.0, "tpot_ms": 50.0, "percentile": 0.9}


def printed(record: RunRecord, loaded: LoadedScenario) -> str:
    console = Console(file=io.StringIO(), width=100)
    console.print(render(summary_of(record, loaded), record, loaded))
    file = console.file
    assert isinstance(file, io.StringIO)
    return file.getvalue()


def steady_requests(n: int = 200) -> list[Any]:
    """Requests with a TTFT of 100 ms and a TPOT of 20 ms each."""
    return [make_request(i, i * 0.1, wait_s=0.05, prefill_s=0.05, gap_s=0.02, output=11) for i in range(n)]


def test_verdict_comes_first() -> None:
    """The first words are whether the targets were met."""
    text = printed(make_record(steady_requests()), make_loaded(BOTH))

    assert text.startswith("SLO met")


def test_missed_target_is_named_with_its_margin() -> None:
    """A TTFT of 100 ms against 50 ms is twice the limit, and TPOT is not to blame."""
    loaded = make_loaded({"ttft_ms": 50.0, "tpot_ms": 40.0})
    judged = verdict(summary_of(make_record(steady_requests()), loaded), loaded.scenario.slo)

    assert "missed" == judged.status
    assert [("ttft_ms", False), ("tpot_ms", True)] == [
        (check.metric, check.is_met) for check in judged.checks
    ]
    assert "P99 100 ms, 2.00 times the limit" == judged.checks[0].margin()
    assert "P99 20.0 ms, 50% below the limit" == judged.checks[1].margin()


@pytest.mark.parametrize(("status", "percentile"), [("met", 0.9), ("missed", 0.95)])
def test_rejected_requests_miss_their_targets(status: str, percentile: float) -> None:
    """One request in ten refused: 90% can meet the targets and no more."""
    requests = steady_requests()
    for req in requests[::10]:
        refuse(req, "too long")
    loaded = make_loaded({"ttft_ms": 500.0, "percentile": percentile})

    assert status == verdict(summary_of(make_record(requests), loaded), loaded.scenario.slo).status


def test_without_targets_nothing_is_judged() -> None:
    """No target is neither met nor missed."""
    assert printed(make_record(steady_requests()), make_loaded()).startswith("No SLO set")


def test_reasons_are_counted() -> None:
    """Each bucket says why, most frequent reason first."""
    requests = steady_requests(10)
    for req in requests[:3]:
        refuse(req, "prompt too long")
    refuse(requests[3], "queue full")
    text = printed(make_record(requests), make_loaded())

    assert "4  (3 × prompt too long; 1 × queue full)" in text


def test_assumptions_have_sources() -> None:
    """Model, memory arithmetic and price say where they come from."""
    text = printed(make_record(steady_requests()), make_loaded())

    for source in ("made up for a test", "80 GB less weights", "the pool's usd_per_hour"):
        assert source in text


@pytest.mark.parametrize("n", [0, 1, 200])
@pytest.mark.parametrize("slo", [None, BOTH])
def test_fits_the_terminal(n: int, slo: dict[str, Any] | None) -> None:
    """At most 100 columns and 45 lines, without escape codes when piped, however little there is to say."""
    lines = printed(make_record(make_requests(n)), make_loaded(slo, name="a" * 80)).splitlines()

    assert 100 >= max(map(len, lines))
    assert 45 >= len(lines)
    assert not any("\x1b" in line for line in lines)


def test_user_text_is_not_markup() -> None:
    """Square brackets in a reason are printed, not read as a style."""
    assert "[red]no[/red]" in printed(
        make_record([refuse(r, "[red]no[/red]") for r in steady_requests(3)]), make_loaded()
    )
