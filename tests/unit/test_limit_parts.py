"""What a limit is made of: what is turned up, how long, in which steps, and when a load passes."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from llmsim.errors import ScenarioError, UserError
from llmsim.planning.axes import read_axes
from llmsim.planning.limit.dial import dial_of, dial_over, single_axis
from llmsim.planning.limit.probe import judge
from llmsim.planning.limit.round_loads import index_below, series, steps_upto
from llmsim.planning.limit.run_length import LEAST_REQUESTS, MOST_REQUESTS, ROUNDS, RunLength, lone
from llmsim.planning.outcome import Outcome
from llmsim.planning.points import Base, Setting
from llmsim.spec.targets import Slo

RATE = "workload.arrival.request_rate"
TRACE = "arrival_s,input_tokens,output_tokens\n" + "".join(f"{n},100,10\n" for n in range(50))


def scenario(tmp_path: Path, **workload) -> Base:
    content = {
        "model": "llama-3.1-8b",
        "fleet": {"accelerator": "h100-sxm"},
        "workload": {
            "arrival": {"kind": "poisson", "request_rate": 4},
            "input_tokens": 100,
            "output_tokens": 10,
            "num_requests": 200,
        }
        | workload,
        "slo": {"ttft_ms": 500},
    }
    content["workload"] = {key: value for key, value in content["workload"].items() if value is not None}
    (tmp_path / "trace.csv").write_text(TRACE)
    path = tmp_path / "scenario.yaml"
    path.write_text(yaml.safe_dump(content))
    return Base(path)


def of_profile(**arrival):
    return {
        "profile": "azure-2023-conversation",
        "input_tokens": None,
        "output_tokens": None,
        "num_requests": None,
        "arrival": {"kind": "profile", **arrival} if arrival else None,
    }


def of_trace(**more):
    return {
        "trace": "trace.csv",
        "input_tokens": None,
        "output_tokens": None,
        "num_requests": None,
        "arrival": None,
        **more,
    }


@pytest.mark.parametrize(
    ("workload", "key", "given", "value"),
    [
        ({}, RATE, 4, 8),
        ({"arrival": {"kind": "gamma", "request_rate": 3, "burstiness": 0.5}}, RATE, 3, 8),
        ({"arrival": {"kind": "closed", "max_concurrency": 7}}, "workload.arrival.max_concurrency", 7, 8),
        ({"arrival": {"kind": "burst", "size": 5, "every_s": 2}}, "workload.arrival.size", 5, 8),
        (of_profile(), "workload.arrival.rate_scale", 1, 8),
        (of_profile(request_rate=9), RATE, 9, 8),
        (of_trace(time_scale=0.5), "workload.time_scale", 2, 1 / 8),
    ],
)
def test_every_kind_of_arrivals_has_a_dial(workload, key, given, value, tmp_path):
    """The scenario at a load of 8 can be loaded and says so under the dial's key."""
    base = scenario(tmp_path, **workload)
    dial = dial_of(base.load())
    assert (dial.key, dial.given, dial.value(8)) == (key, given, value)

    found = base.load(dial.changes(8)).scenario.model_dump()
    for part in key.split("."):
        found = found[part]
    assert found == value


def test_one_burst_has_none_of_its_own(tmp_path):
    with pytest.raises(UserError, match="one burst has no rate") as error:
        dial_of(scenario(tmp_path, arrival={"kind": "burst"}).load())
    assert "--over" in error.value.hint


def test_a_range_over_time_scale_goes_from_little_load_to_much(tmp_path):
    loaded = scenario(tmp_path, **of_trace()).load()
    dial = dial_over(read_axes(["workload.time_scale=0.5:2:0.5"])[0], loaded)
    assert [dial.value(load) for load in sorted(dial.values)] == [2, 1.5, 1, 0.5]
    assert dial.given == 1


def test_units_are_kept_and_words_are_refused(tmp_path):
    loaded = scenario(tmp_path).load()
    dial = dial_over(read_axes([f"{RATE}=60/min:120/min:60/min"])[0], loaded)
    assert [dial.value(load) for load in sorted(dial.values)] == ["60/min", "120/min"]
    assert dial.given is None, "4 a second are not 4 a minute"
    with pytest.raises(ScenarioError, match="orca is not a number"):
        dial_over(read_axes(["engine.scheduler=orca,vllm"])[0], loaded)


def test_one_key_is_turned_up():
    assert single_axis([]) is None
    with pytest.raises(UserError, match=r"one key, and a\.b and c\.d"):
        single_axis(read_axes(["a.b=1:2:1", "c.d=1:2:1"]))


def changed(base: Base, window_s: float, rate: float | None = None) -> dict[str, float]:
    loaded = base.load(dial_of(base.load()).changes(rate) if rate else ())
    return {change.place[-1]: change.value for change in RunLength(base.load(), window_s).changes(loaded)}


def test_a_load_is_offered_long_enough_and_never_shorter_than_the_user_says(tmp_path):
    poisson = scenario(tmp_path)
    assert changed(poisson, window_s=40) == {}
    assert changed(poisson, window_s=100) == {"num_requests": 400}
    assert changed(poisson, window_s=100, rate=8) == {"num_requests": 800}
    assert changed(poisson, window_s=1e9) == {"num_requests": MOST_REQUESTS}

    timed = scenario(tmp_path, num_requests=None, duration_s=60)
    assert changed(timed, window_s=40) == {}
    assert changed(timed, window_s=100) == {"duration_s": 100}
    assert changed(timed, window_s=40, rate=0.5) == {"duration_s": LEAST_REQUESTS / 0.5}

    closed = scenario(tmp_path, arrival={"kind": "closed", "max_concurrency": 50})
    assert changed(closed, window_s=1) == {"num_requests": 50 * ROUNDS}
    assert changed(scenario(tmp_path, **of_trace()), window_s=1e9) == {}


def test_a_day_stays_a_day_at_any_rate(tmp_path):
    daily = scenario(tmp_path, arrival={"kind": "diurnal", "request_rate": 2}, num_requests=2 * 86400)
    assert changed(daily, window_s=10, rate=6) == {"num_requests": 6 * 86400}


def test_the_window_shows_one_step_too_much(tmp_path):
    """An excess of 2% delays the last request of 25 s by 0.5 s, the target."""
    given = scenario(tmp_path).load()
    assert RunLength.for_targets(given, stay_s=0.1, resolution=0.02).window_s == pytest.approx(25)
    assert RunLength.for_targets(given, stay_s=2.0, resolution=0.02).window_s == pytest.approx(100)


@pytest.mark.parametrize("workload", [{}, of_profile(), of_trace(), of_trace(time_scale=3)])
def test_any_workload_can_come_one_request_at_a_time(workload, tmp_path):
    base = scenario(tmp_path, **workload)
    alone = base.load(list(lone(base.load()))).scenario.workload
    assert alone.arrival.max_concurrency == 1


def test_round_loads():
    assert [series(index) for index in range(-3, 4)] == [0.1, 0.2, 0.5, 1, 2, 5, 10]
    for load in (0.07, 0.1, 0.5, 1, 3.7, 10, 99):
        assert series(index_below(load)) <= load < series(index_below(load) + 1)
    assert steps_upto(1.0, 0.3) == [0.3, 0.6, 0.9, 1.2]
    assert steps_upto(0.6, 0.2) == [0.2, 0.4, 0.6]


def outcome(good: int, offered: int, saturation: str = "stable", usd: float = 1.0) -> Outcome:
    share = good / offered
    summary = {
        "offered": offered, "completed": offered, "total_output_tokens": 10 * offered, "cost_usd": usd,
        "slo_attainment": share, "slo_attainment_by_metric": {"ttft_ms": share}, "classes": {},
        "saturation": saturation, "notes": [],
    }  # fmt: skip
    curve = [100.0 + step for step in range(129)]
    return Outcome({}, 0, "", summary, {"ttft_ms": curve})


def judged(outcomes, **slo):
    limits = Slo(ttft_ms=500, **{"percentile": 0.9} | slo)
    return judge(1.0, 1.0, Setting({}, None), outcomes, limits)


def test_replications_are_counted_together():
    """85 and 96 of 100 are 90.5%; 85 of 100 and 96 of 1,000 are not."""
    assert judged([outcome(85, 100), outcome(96, 100)]).passes
    assert not judged([outcome(84, 100), outcome(95, 100)]).passes
    few = judged([outcome(85, 100), outcome(910, 1000)])
    assert few.attainment == pytest.approx(995 / 1100) and few.passes


def test_one_overloaded_replication_fails_and_a_backlog_does_not():
    assert not judged([outcome(100, 100), outcome(100, 100, "overloaded")]).passes
    assert judged([outcome(100, 100), outcome(100, 100, "backlogged")]).passes


def test_price_says_nothing_about_a_load_but_is_told():
    """More load makes tokens cheaper: a price target is a limit from below."""
    dear = judged([outcome(100, 100, usd=10.0)], usd_per_million_output_tokens=1.0)
    assert dear.passes and dear.costs_too_much


def test_the_interval_holds_the_attainment_and_shrinks_with_requests():
    few, many = (judged([outcome(95 * n, 100 * n), outcome(94 * n, 100 * n)]) for n in (1, 100))
    for probe in (few, many):
        assert probe.interval[0] < probe.attainment < probe.interval[1]
    assert few.interval[0] <= many.interval[0]
    (low, high), share, n = judged([outcome(95, 100)]).interval, 0.95, 100
    for end in (low, high):  # Wilson: the ends are where the share is 1.96 standard errors away
        assert abs(share - end) == pytest.approx(1.959964 * (end * (1 - end) / n) ** 0.5)


def test_hopeless_is_what_no_other_replication_could_mend():
    assert judged([outcome(30, 100)]).is_hopeless(3)
    assert not judged([outcome(80, 100)]).is_hopeless(3)
    assert judged([outcome(100, 100, "overloaded")]).is_hopeless(3)
    assert not judged([outcome(99, 100)], percentile=1).is_hopeless(3)
