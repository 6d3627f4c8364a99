"""The page ``llmsim run`` prints."""

from __future__ import annotations

import io
from typing import Any

import pytest
from report_runs import make_loaded, make_record, make_request, make_requests, refuse, summary_of
from rich.console import Console

from llmsim.files.scenario_file import LoadedScenario
from llmsim.measure import money
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


def test_a_missed_target_says_how_many_were_within() -> None:
    """Half of the requests within the limit: the share is of those, not of the ones that missed it."""
    requests = [
        make_request(i, i * 0.1, wait_s=0.05 * (1 + i % 2), prefill_s=0.05, gap_s=0.02, output=11)
        for i in range(200)
    ]

    text = printed(make_record(requests), make_loaded({"ttft_ms": 120}))

    assert "missed: 50.0% within" in " ".join(text.split())


@pytest.mark.parametrize(
    ("percentile", "margin"),
    [
        (0.5, "P50 150 ms, 25% below the limit"),
        (0.95, "P95 195 ms, 2% below the limit"),
        (0.97, "P97 about 197 ms, 1% below the limit"),
        (1.0, "P99 199 ms, 1% below the limit"),
    ],
)
def test_the_margin_is_that_of_the_percentile_asked_for(percentile: float, margin: str) -> None:
    """TTFT spread evenly from 100 to 200 ms against 200 ms; between percentiles of the table it is about."""
    requests = [
        make_request(i, i * 0.1, wait_s=i / 1e3, prefill_s=0.1, gap_s=0.02, output=11) for i in range(101)
    ]
    loaded = make_loaded({"ttft_ms": 200.0, "percentile": percentile})
    judged = verdict(summary_of(make_record(requests), loaded), loaded.scenario.slo)

    assert margin == judged.checks[0].margin()


def test_a_missed_itl_target_does_not_contradict_the_requests() -> None:
    """All requests met their targets and the gaps did not: the sentence says both."""
    loaded = make_loaded({"ttft_ms": 500.0, "itl_ms": 1.0})
    judged = verdict(summary_of(make_record(steady_requests()), loaded), loaded.scenario.slo)

    assert "missed" == judged.status
    assert "100% met their targets, and" in judged.sentence
    assert "of the gaps between tokens are within 1 ms" in judged.sentence


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
    text = printed(make_record(steady_requests()), make_loaded())

    assert text.startswith("No SLO set")
    assert "`" not in text


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
    text = " ".join(printed(make_record(steady_requests()), make_loaded()).split())

    for source in ("made up for a test", "80 GB less weights", "the pool's usd_per_hour"):
        assert source in text


@pytest.mark.parametrize("n", [0, 1, 200])
@pytest.mark.parametrize("slo", [None, BOTH])
def test_fits_the_terminal(n: int, slo: dict[str, Any] | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """At most 100 columns and 45 lines, without escape codes when piped, however little there is to say."""
    monkeypatch.delenv("COLUMNS", raising=False)  # a runner of tests may set it
    lines = printed(make_record(make_requests(n)), make_loaded(slo, name="a" * 80)).splitlines()

    assert 100 >= max(map(len, lines))
    assert 45 >= len(lines)
    assert not any("\x1b" in line for line in lines)


def test_lines_end_without_spaces() -> None:
    """A diff of two reports shows what differs, not how tables are padded."""
    lines = printed(make_record(make_requests(200)), make_loaded(BOTH)).splitlines()

    assert [line.rstrip() for line in lines] == lines


def test_a_pipe_obeys_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    """Narrower than 100 when the environment says so; never wider."""
    record, loaded = make_record(make_requests(200)), make_loaded(BOTH)
    monkeypatch.setenv("COLUMNS", "60")
    narrow = printed(record, loaded)
    monkeypatch.setenv("COLUMNS", "300")

    assert 60 >= max(map(len, narrow.splitlines()))
    assert 60 < max(map(len, printed(record, loaded).splitlines())) <= 100


def test_long_latencies_are_in_seconds_or_minutes() -> None:
    """Nobody reads 296,732 ms."""
    requests = [
        make_request(i, i * 0.1, wait_s=300.0, prefill_s=0.1, gap_s=0.02, output=11) for i in range(50)
    ]
    text = printed(make_record(requests), make_loaded({"ttft_ms": 500.0}))

    assert "TTFT, s" in text
    assert "TPOT, ms" in text
    assert "5.00 min" in text


def test_energy_says_what_it_rests_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bound when powers are known; the accelerator to blame when they are not."""
    record, loaded = make_record(steady_requests()), make_loaded()
    assert "at most" in printed(record, loaded)
    known = money.catalog.accelerator("h100-sxm")
    monkeypatch.setattr(money.catalog, "accelerator", lambda name: known.model_copy(update={"idle_w": None}))

    assert "no idle or peak power is known of h100-sxm" in printed(record, loaded)


def test_user_text_is_not_markup() -> None:
    """Square brackets in a reason are printed, not read as a style."""
    assert "[red]no[/red]" in printed(
        make_record([refuse(r, "[red]no[/red]") for r in steady_requests(3)]), make_loaded()
    )
