"""What a workload may say."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError
from workload_runs import make_stream, make_workload, profile_keys, trace_keys

from llmsim.spec.workload import Workload


def _faults(**keys: Any) -> str:
    with pytest.raises(ValidationError) as caught:
        make_workload(**keys)
    return str(caught.value)


@pytest.mark.parametrize("rate", [0, -1, float("nan"), float("inf"), True, "fast", "10 ms"])
def test_rate_is_a_positive_finite_number(rate: Any) -> None:
    """A request rate that no server could be offered is refused."""
    assert "request_rate" in _faults(arrival={"kind": "poisson", "request_rate": rate})


@pytest.mark.parametrize("kind", ["poisson", "constant"])
def test_rate_takes_a_unit(kind: str) -> None:
    """600/min is 10 requests per second."""
    arrival = {"kind": kind, "request_rate": "600/min"}

    assert {"kind": kind, "request_rate": 10.0} == make_workload(arrival=arrival).arrival.model_dump()


@pytest.mark.parametrize("tokens", [0, -5, 1.5, True, "many"])
@pytest.mark.parametrize("key", ["input_tokens", "output_tokens"])
def test_length_is_a_whole_positive_number(key: str, tokens: Any) -> None:
    """A request has at least one token in and one out."""
    assert key in _faults(**{key: tokens})


@pytest.mark.parametrize(
    ("tokens", "words"),
    [
        ({"kind": "uniform", "min": 9, "max": 3}, "min (9) is greater than max (3)"),
        ({"kind": "normal", "mean": 100, "std": 1, "min": 500}, "0.00% of the draws"),
        ({"kind": "lognormal", "mean": 100, "std": 1, "min": 500, "max": 600}, "0.00% of the draws"),
        ({"kind": "quantiles", "percentiles": [0, 50], "tokens": [1, 2]}, "from 0 (the shortest) to 100"),
        ({"kind": "quantiles", "percentiles": [0, 60, 50, 100], "tokens": [1, 2, 3, 4]}, "must rise"),
        ({"kind": "quantiles", "percentiles": [0, 50, 100], "tokens": [5, 4, 6]}, "must not fall"),
        ({"kind": "quantiles", "percentiles": [0, 50, 100], "tokens": [5, 6]}, "3 percentiles but 2 lengths"),
        ({"kind": "choice", "tokens": [5, 6], "weights": [1]}, "2 lengths but 1 weights"),
    ],
)
def test_impossible_distributions_are_refused(tokens: dict[str, Any], words: str) -> None:
    """A distribution nothing could be drawn from says why."""
    assert words in _faults(input_tokens=tokens)


def test_open_loop_needs_an_end() -> None:
    """Without num_requests or duration_s an open loop would never end."""
    assert "num_requests" in _faults(num_requests=None)


def test_two_ends_are_refused() -> None:
    """num_requests and duration_s contradict each other."""
    assert "keep one" in _faults(duration_s=10.0)


def test_trace_brings_its_own_times() -> None:
    """`trace: FILE` alone is a whole workload."""
    assert "trace" == make_workload(**trace_keys("a.csv")).arrival.kind


def test_profile_brings_its_own_times() -> None:
    """`profile: NAME` alone is a whole workload."""
    assert "profile" == make_workload(**profile_keys("chat")).arrival.kind


def test_all_conflicts_are_told_at_once() -> None:
    """Three mistakes, three messages."""
    text = _faults(output_tokens=None, limit=5, time_scale=2.0)

    assert 3 == sum(key in text for key in ("\noutput_tokens\n", "\nlimit\n", "\ntime_scale\n"))


@pytest.mark.parametrize(
    "keys",
    [
        trace_keys("a.csv", num_requests=5),
        trace_keys("a.csv", profile="chat"),
        trace_keys("a.csv", arrival={"kind": "profile"}),
        trace_keys("a.csv", arrival={"kind": "constant", "request_rate": 1}, input_tokens=1, output_tokens=1),
        {"arrival": {"kind": "trace"}},
        {"lengths": {"kind": "samples"}},
        {"arrival": {"kind": "burst"}, "num_requests": None, "duration_s": 5},
        {"arrival": {"kind": "burst", "size": 3}},
        profile_keys("chat", arrival={"kind": "profile", "request_rate": 1, "rate_scale": 2}),
    ],
)
def test_contradictions_are_refused(keys: dict[str, Any]) -> None:
    """Keys that exclude each other, or that nothing would read, are mistakes."""
    with pytest.raises(ValidationError):
        make_workload(**keys)


@pytest.mark.parametrize("keys", [{}, profile_keys("chat"), trace_keys("a.csv", time_scale=2.0, limit=3)])
def test_resolved_workload_means_the_same(keys: dict[str, Any]) -> None:
    """Written out in full and read back, a workload is itself."""
    workload = make_workload(**keys)

    assert workload == Workload.model_validate(workload.model_dump(mode="json"))


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"shape": [0, 0.0]}, "every rate of `shape` is 0"),
        ({"shape": []}, "at least 1 item"),
        ({"shape": [1, -1]}, "greater than or equal to 0"),
        ({"shape": "weekend"}, "'conversation' or 'code'"),
        ({"shape": [1, 0, 0], "request_rate": 1e9}, "peak of `shape`"),
        ({"period_s": 0}, "greater than 0"),
    ],
)
def test_impossible_days_are_refused(keys: dict[str, Any], words: str) -> None:
    """A day without requests, with negative ones, or without length is a mistake."""
    assert words in _faults(arrival={"kind": "diurnal", "request_rate": 1.0} | keys)


def test_a_day_needs_an_end_and_says_its_rate() -> None:
    """Days repeat, so the workload says how far; reports name the mean rate."""
    keys = {"arrival": {"kind": "diurnal", "request_rate": 2.0}}

    assert "num_requests" in _faults(**keys, num_requests=None)
    assert "requests; at most" in _faults(**keys, num_requests=None, duration_s=1e9)
    assert "diurnal arrivals, 2 req/s" in make_stream(**keys).describe()


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"rates": [1, 2], "mean_stay_s": [1]}, "at least 2 items"),
        ({"rates": [1, 2, 3], "mean_stay_s": [1, 2]}, "3 rates but 2 mean stays"),
        ({"rates": [0, 0], "mean_stay_s": [1, 2]}, "less than one request in 30 years"),
        ({"rates": [1, 2], "mean_stay_s": [1e-6, 1e-6]}, "write {kind: poisson}"),
        ({"rates": [1, -2], "mean_stay_s": [1, 1]}, "greater than or equal to 0"),
    ],
)
def test_impossible_jumps_are_refused(keys: dict[str, Any], words: str) -> None:
    """As many stays as rates, some requests, and jumps that could be told from none."""
    assert words in _faults(arrival={"kind": "mmpp"} | keys)


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"burstiness": []}, "at least 1 item"),
        ({"burstiness": [1, 2], "rates": [1]}, "2 windows of burstiness but 1 rates"),
        ({"burstiness": [1], "rates": [0]}, "every one of `rates` is 0"),
        ({"burstiness": [0]}, "greater than or equal to 0.001"),
    ],
)
def test_impossible_windows_are_refused(keys: dict[str, Any], words: str) -> None:
    """A rate and a burstiness for each window, and somebody who comes."""
    assert words in _faults(arrival={"kind": "modulated_gamma", "request_rate": 1.0} | keys)


def test_jumping_rates_say_their_mean() -> None:
    """(2·8 + 30·2)/10 = 7.6 requests per second, or what request_rate scales them to."""
    arrival = {"kind": "mmpp", "rates": [2, 30], "mean_stay_s": ["8s", 2]}

    assert "mmpp arrivals, 7.6 req/s" in make_stream(arrival=arrival).describe()
    assert "mmpp arrivals, 3 req/s" in make_stream(arrival=arrival | {"request_rate": 3}).describe()
    assert "requests; at most" in _faults(arrival=arrival, num_requests=None, duration_s=1e9)


TALK = {"turns": 3, "think_time_s": "5s"}


@pytest.mark.parametrize(
    ("sessions", "words"),
    [
        ({"think_time_s": 1}, "turns"),
        ({"turns": 0, "think_time_s": 1}, "greater than or equal to 1"),
        ({"turns": 3, "think_time_s": -1}, "greater than or equal to 0"),
        (TALK | {"turns": {"kind": "uniform", "min": 5, "max": 2}}, "min (5) is greater than max (2)"),
        (TALK | {"turns": {"kind": "choice", "counts": [1], "weights": [1, 2]}}, "1 counts but 2 weights"),
        (TALK | {"think_time_s": {"kind": "uniform", "min_s": 5, "max_s": 2}}, "min_s (5.0) is greater"),
        (TALK | {"calls": 4}, "also needs tool_time_s and tool_tokens"),
        (TALK | {"calls": 4, "tool_time_s": 1}, "also needs tool_tokens"),
        (TALK | {"tool_tokens": 4}, "set `calls`"),
    ],
)
def test_impossible_sessions_are_refused(sessions: dict[str, Any], words: str) -> None:
    """What is missing, contradictory or about nothing is named."""
    assert words in _faults(sessions=sessions)


def test_sessions_go_with_what_they_can_go_with() -> None:
    """A trace's rows and tokens cached from the start have no place among them; one thing ends them."""
    assert "row by row" in _faults(**trace_keys("a.csv"), sessions=TALK)
    assert "enable_prefix_caching" in _faults(sessions=TALK, cached_input_tokens=5)
    assert "num_sessions" in _faults(sessions=TALK, num_sessions=5)
    assert "num_requests" in _faults(sessions=TALK, num_requests=None)
    assert make_workload(sessions=TALK, num_requests=None, num_sessions=5).counts_sessions
    words = make_stream(sessions=TALK, num_requests=None, num_sessions=5).describe()
    assert "10 sessions/s; sessions of 3 requests on average" in words
    assert words.endswith("5 sessions")
