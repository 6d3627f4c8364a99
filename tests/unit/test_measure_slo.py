"""Targets: vLLM's goodput rule over everything offered."""

from __future__ import annotations

import pytest
from measure_runs import add_row, complete, make_record, make_request

from llmsim.measure.gaps import GapPool
from llmsim.measure.records import StepLog
from llmsim.measure.requests import RequestTable
from llmsim.measure.slo import attainment_by_metric, good, targets_missed
from llmsim.spec.targets import Slo, Targets

NO_GAPS = GapPool.of(StepLog())


def table_of(*requests) -> RequestTable:
    return make_record(list(requests), end_s=10.0).table


def fast_and_slow(**fields) -> RequestTable:
    """TTFT 100 ms and 900 ms, TPOT 50 ms both."""
    return table_of(
        complete(make_request(0, 0.0, **fields), 0.0, 0.1, 0.2),
        complete(make_request(1, 0.0), 0.0, 0.9, 1.0),
    )


@pytest.mark.parametrize(
    ("slo", "met"),
    [
        (Slo(ttft_ms=500.0), [True, False]),
        (Slo(ttft_ms=100.0), [True, False]),
        (Slo(ttft_ms=500.0, tpot_ms=40.0), [False, False]),
        (Slo(e2el_ms=1000.0), [True, True]),
    ],
)
def test_a_good_request_meets_every_limit(slo, met):
    """A limit is met at equality; one missed limit spoils the request."""
    assert met == good(fast_and_slow(), slo).tolist()


def test_without_targets_nothing_is_judged():
    """No target means no attainment, rather than a perfect one."""
    assert good(fast_and_slow(), Slo()) is None


def test_what_was_not_served_missed_its_target():
    """Attainment divides by everything offered (rule 7): a rejected request is a miss."""
    table = table_of(complete(make_request(0, 0.0), 0.0, 0.1, 0.2), make_request(1, 0.0, status="rejected"))

    assert {"ttft_ms": 0.5} == attainment_by_metric(table, Slo(ttft_ms=500.0), NO_GAPS)


def test_one_token_meets_any_tpot_limit():
    """A request without a second token has no time between tokens to miss, as in vLLM."""
    table = table_of(complete(make_request(0, 0.0, output_tokens=1), 0.0, 0.1, 0.1))

    assert [True] == good(table, Slo(tpot_ms=1.0)).tolist()


def test_a_class_has_its_own_limits_and_everyone_elses_where_it_has_none():
    """The interactive request misses its own TTFT limit and still has the common TPOT limit."""
    slo = Slo(ttft_ms=500.0, tpot_ms=60.0, classes={"chat": Targets(ttft_ms=50.0)})
    table = fast_and_slow(class_name="chat")

    assert [False, False] == good(table, slo).tolist()
    assert {"ttft_ms": 0.0, "tpot_ms": 1.0} == attainment_by_metric(table, slo, NO_GAPS)


def test_itl_is_judged_over_all_gaps():
    """Three of four gaps are within 100 ms; no single request is judged by them."""
    log = StepLog()
    add_row(log, iterations=4, first_s=0.05, growth_s=0.02, decode_tokens=4, aligned=1)
    slo = Slo(itl_ms=100.0)

    assert {"itl_ms": 0.75} == attainment_by_metric(fast_and_slow(), slo, GapPool.of(log))
    assert [True, True] == good(fast_and_slow(), slo).tolist()


@pytest.mark.parametrize(("percentile", "missed"), [(0.5, 0), (0.51, 1), (1.0, 1)])
def test_check_compares_attainment_with_the_percentile(percentile, missed):
    """Half of the requests within limits passes 50% and nothing above."""
    slo = Slo(ttft_ms=500.0, percentile=percentile)

    assert missed == len(targets_missed({"slo_attainment": 0.5}, slo))
