"""SpotServe (Miao et al., ASPLOS 2024, arXiv 2311.15566) in its own setting: traces, arrivals, layer times.

Published ranges may be left by 20%. What is taken as given, and what misses, is in docs/spotserve.md.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from statistics import mean, pstdev

import pytest

from llmsim.measure.records import RunRecord

SPOTSERVE = Path(__file__).parents[3] / "shared" / "data" / "spot" / "spotserve"
if not SPOTSERVE.is_dir():
    pytest.skip("the shared traces are not here", allow_module_level=True)

from spotserve_runs import (  # noqa: E402  # reads the shared data
    MODELS,
    ON_DEMAND_USD,
    SPOT_USD,
    TRACES,
    end_s,
    file_arrivals,
    latencies_s,
    p99_s,
    run,
)

SLACK = 0.2
"""How far outside a published range a ratio may lie."""


def within(ratio: float, low: float, high: float) -> bool:
    """Whether ``ratio`` is in the range, or close to it."""
    return low * (1 - SLACK) <= ratio <= high * (1 + SLACK)


def ratio(model: str, trace: str, policy: str, cost: str = "table") -> float:
    """P99 of ``policy`` over SpotServe's."""
    return p99_s(run(model, trace, policy, cost)) / p99_s(run(model, trace, "spotserve", cost))


@pytest.mark.parametrize("trace", TRACES)
def test_30b_migrating_beats_restarting(trace: str) -> None:
    """Figure 6, LLaMA-30B: P99 of reparallelization is 1.34 to 2.43 times SpotServe's."""
    assert within(ratio("30B", trace, "reparallelization"), 1.34, 2.43)


@pytest.mark.parametrize("trace", TRACES)
def test_30b_a_plan_that_adapts_beats_a_fixed_one(trace: str) -> None:
    """Figure 6, LLaMA-30B: P99 of rerouting is 2.14 to 9.13 times SpotServe's."""
    assert within(ratio("30B", trace, "rerouting"), 2.14, 9.13)


def test_30b_the_fixed_plan_takes_eight_instances() -> None:
    """The artifact's solver gives ten instances one pipeline of PP 4 and TP 8: with seven there is none."""
    record = run("30B", "B_S", "rerouting")
    serving = record.fleet.serving("main") if record.fleet else []

    assert {"TP 8, PP 4"} == {entry.plan for entry in record.replicas}
    assert any(time_s > 200 and not count for time_s, count in serving)


def test_30b_bytes_are_there_just_before_their_senders_go() -> None:
    """Within 30 s of notice: pipelines stop as late as they can, and begin again before the instances are taken."""
    seen = 0
    for trace in TRACES:
        record = run("30B", trace, "spotserve")
        events = record.fleet.events if record.fleet else []
        notices_s = {event.time_s for event in events if event.kind == "notice"}
        for event in events:
            noticed_s = max((at_s for at_s in notices_s if at_s <= event.time_s < at_s + 30), default=None)
            if event.kind == "migrated" and event.requests and noticed_s is not None:
                begun_s = [other.time_s for other in events if other.kind == "serving"]
                assert event.time_s > noticed_s + 15
                assert min(at_s for at_s in begun_s if at_s > event.time_s) <= noticed_s + 30
                assert event.moved_tokens > 0 == event.lost_tokens
                seen += 1
    assert seen > 2


@pytest.mark.parametrize(
    ("policy", "average_s", "p99"), [("reparallelization", 27.068, 56.284), ("spotserve", 23.315, 37.083)]
)
def test_20b_seconds_are_those_measured(policy: str, average_s: float, p99: float) -> None:
    """GPT-20B on B_S, in seconds: the artifact's ``tradeoff_plot.py``."""
    record = run("20B", "B_S", policy)

    assert latencies_s(record).mean() == pytest.approx(average_s, rel=SLACK)
    assert p99_s(record) == pytest.approx(p99, rel=SLACK)


def test_20b_ablation() -> None:
    """Figure 9: P99 of the plain system is 3.41 times the full one's on B_S, and more than it on A_S."""
    assert within(ratio("20B", "B_S", "plain"), 3.41, 3.41)
    assert ratio("20B", "A_S", "plain") > 1.61 * (1 - SLACK)  # 2.33: docs/spotserve.md says why
    assert p99_s(run("20B", "A_S", "plain")) == pytest.approx(1.61 * 46.108, rel=SLACK)  # in seconds


def usd_per_token(record: RunRecord, until_s: float, usd_per_instance_hour: float) -> float:
    """What the instances held until ``until_s`` cost, over all tokens, prompts included."""
    held_s = sum(min(each.end_s, until_s) - each.start_s for each in record.holdings)
    return held_s / 3600 * usd_per_instance_hour / (640 * len(record.requests))


def test_20b_spot_costs_half_for_a_little_latency() -> None:
    """Figure 7: 54% cheaper than on demand, with less than 18% more average latency."""
    spot, fixed = run("20B", "B_S", "spotserve"), run("20B", "8 on demand", "spotserve")
    saving = 1 - usd_per_token(spot, end_s("B_S"), SPOT_USD) / usd_per_token(fixed, 1080, ON_DEMAND_USD)

    assert saving == pytest.approx(0.54, rel=SLACK)
    assert latencies_s(spot).mean() / latencies_s(fixed).mean() < 1.18 * (1 + SLACK)


@pytest.mark.parametrize("trace", ["A_S", "B_S+O"])
def test_30b_migrating_beats_restarting_by_the_roofline_too(trace: str) -> None:
    """The same figure with no layer times, from the T4's datasheet."""
    assert within(ratio("30B", trace, "reparallelization", "roofline"), 1.34, 2.43)


@pytest.mark.parametrize("model", MODELS)
def test_the_arrivals_shipped_are_nearly_even(model: str) -> None:
    """They are named cv6, and the paper says a CV of 6; their gaps vary by less than a tenth of their mean."""
    gaps = [after - before for before, after in pairwise(file_arrivals(MODELS[model][2]))]

    assert pstdev(gaps) / mean(gaps) < 0.1
    assert 1 / mean(gaps) == pytest.approx(float(MODELS[model][2]), rel=0.01)
