"""Requests as a workload offers them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from workload_runs import column, make_stream, make_workload, profile_keys, requests, trace_keys

from llmsim.errors import CatalogError, ScenarioError, TraceError, UserError
from llmsim.workload import plain

NORMAL = {"kind": "normal", "mean": 50, "std": 60, "min": 10, "max": 90}
LOGNORMAL = {"kind": "lognormal", "mean": 300, "std": 400, "max": 1000}
UNIFORM = {"kind": "uniform", "min": 3, "max": 7}
QUANTILES = {"kind": "quantiles", "percentiles": [0, 50, 90, 100], "tokens": [10, 100, 200, 1000]}
CHOICE = {"kind": "choice", "tokens": [100, 900], "weights": [3, 1]}
GAMMA = {"kind": "gamma", "request_rate": 10.0, "burstiness": 0.3}
OWN_TRACE = "arrival_s,input_tokens,output_tokens,class\n5,10,1,chat\n6,20,2,code\n8,30,3,chat\n"


def _rows(reqs: list[Any]) -> list[tuple[Any, ...]]:
    return [(req.id, req.arrival_s, req.input_tokens, req.output_tokens, req.class_name) for req in reqs]


@pytest.fixture
def own_trace(tmp_path: Path) -> Path:
    """Three requests of two classes, the first at 5 s."""
    path = tmp_path / "own.csv"
    path.write_text(OWN_TRACE)
    return path


@pytest.mark.parametrize("block", [1, 7, 1000])
@pytest.mark.parametrize(
    "keys",
    [
        {"input_tokens": NORMAL, "output_tokens": LOGNORMAL},
        {"arrival": GAMMA, "input_tokens": UNIFORM, "output_tokens": QUANTILES},
        {"arrival": {"kind": "burst", "size": 3, "every_s": 2.0}, "input_tokens": CHOICE},
        {"arrival": {"kind": "diurnal", "request_rate": 10.0, "shape": [1, 3, 2], "period_s": 9.0}},
        profile_keys("azure-2023-conversation", num_requests=100),
        profile_keys("azure-2023-code", duration_s=30.0),
    ],
)
def test_block_size_changes_nothing(
    keys: dict[str, Any], block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Drawing requests one, seven or a thousand at a time gives the same requests."""
    expected = _rows(requests(**keys))
    monkeypatch.setattr(plain, "BLOCK", block)

    assert expected == _rows(requests(**keys))
    assert expected


def test_arrivals_do_not_move_lengths() -> None:
    """Another arrival process leaves every request's lengths as they are."""
    lengths = {"input_tokens": UNIFORM, "output_tokens": NORMAL}
    poisson, gamma = requests(**lengths), requests(arrival=GAMMA, **lengths)

    assert [row[2:] for row in _rows(poisson)] == [row[2:] for row in _rows(gamma)]
    assert not np.allclose(column(poisson, "arrival_s"), column(gamma, "arrival_s"))


def test_prompt_lengths_do_not_move_outputs_or_arrivals() -> None:
    """Another distribution of prompts leaves arrivals and outputs as they are."""
    one, other = requests(output_tokens=UNIFORM), requests(input_tokens=LOGNORMAL, output_tokens=UNIFORM)

    for name in ("arrival_s", "output_tokens"):
        assert column(one, name).tolist() == column(other, name).tolist()


def test_seed_decides() -> None:
    """Same seed, same requests; another seed, others."""
    keys = profile_keys("azure-2023-conversation", num_requests=50)

    assert _rows(requests(3, **keys)) == _rows(requests(3, **keys))
    assert _rows(requests(3, **keys)) != _rows(requests(4, **keys))


def test_stream_can_be_read_again() -> None:
    """Every call of requests() starts from the first."""
    stream = make_stream(input_tokens=NORMAL)

    assert _rows(list(stream.requests())) == _rows(list(stream.requests()))


def test_constant_arrivals_are_evenly_spaced() -> None:
    """Ten per second: 0 s, 0.1 s, 0.2 s …, without accumulated rounding."""
    times = column(
        requests(arrival={"kind": "constant", "request_rate": 10}, num_requests=10_000), "arrival_s"
    )

    assert 999.9 == pytest.approx(times[-1], rel=1e-15)
    assert 0.1 == pytest.approx(np.diff(times).max())


def test_duration_ends_the_offer() -> None:
    """Requests arrive before duration_s: 10 per second for 2 s are 20."""
    stream = make_stream(arrival={"kind": "constant", "request_rate": 10}, num_requests=None, duration_s=2.0)

    assert 20 == len(list(stream.requests()))
    assert stream.total is None


def test_burst_arrives_at_once() -> None:
    """One burst is everything at 0 s."""
    assert {0.0} == set(column(requests(arrival={"kind": "burst"}), "arrival_s"))


def test_bursts_repeat() -> None:
    """Three at once every 2 s: 0, 0, 0, 2, 2, 2, 4."""
    reqs = requests(arrival={"kind": "burst", "size": 3, "every_s": 2.0}, num_requests=7)

    assert [0, 0, 0, 2, 2, 2, 4] == column(reqs, "arrival_s").tolist()


def test_closed_loop_draws_until_none_is_left() -> None:
    """A closed loop hands out num_requests requests at the times asked, then None."""
    stream = make_stream(arrival={"kind": "closed", "max_concurrency": 2}, num_requests=3)
    drawn = [stream.draw(float(moment)) for moment in range(4)]

    assert 2 == stream.max_concurrency
    assert [(0, 0.0), (1, 1.0), (2, 2.0)] == [(req.id, req.arrival_s) for req in drawn if req]
    assert drawn[3] is None


def test_closed_loop_ends_with_its_duration() -> None:
    """No request is sent at or after duration_s."""
    stream = make_stream(arrival={"kind": "closed", "max_concurrency": 2}, num_requests=None, duration_s=5.0)

    assert stream.draw(4.999) is not None
    assert stream.draw(5.0) is None


def test_closed_loop_has_the_lengths_of_the_open_one() -> None:
    """Lengths come in the same order whoever sends them."""
    stream = make_stream(arrival={"kind": "closed", "max_concurrency": 9}, input_tokens=UNIFORM)
    drawn = [stream.draw(0.0) for _ in range(100)]

    assert column(requests(input_tokens=UNIFORM), "input_tokens").tolist() == [
        req.input_tokens for req in drawn if req
    ]


def test_trace_is_replayed_from_zero(own_trace: Path) -> None:
    """Times count from the first row; classes and lengths are the rows' own."""
    expected = [(0, 0.0, 10, 1, "chat"), (1, 1.0, 20, 2, "code"), (2, 3.0, 30, 3, "chat")]

    assert expected == _rows(requests(**trace_keys(own_trace)))


def test_time_scale_stretches_a_trace(own_trace: Path) -> None:
    """time_scale 2 doubles every arrival time and halves the rate."""
    stream = make_stream(**trace_keys(own_trace, time_scale=2.0))

    assert [0, 2, 6] == column(list(stream.requests()), "arrival_s").tolist()
    assert 2 / 6 == stream.mean_rate


def test_limit_takes_the_first_rows(own_trace: Path) -> None:
    """limit 2 offers two rows."""
    stream = make_stream(**trace_keys(own_trace, limit=2))

    assert (2, 2) == (stream.total, len(list(stream.requests())))


def test_relative_trace_starts_at_base_dir(own_trace: Path) -> None:
    """A relative path is relative to the scenario's directory."""
    assert 3 == len(requests(base_dir=own_trace.parent, **trace_keys("own.csv")))


def test_trace_lengths_at_another_rate(own_trace: Path) -> None:
    """With arrivals of its own, a workload takes a trace's lengths in order, each row once by default."""
    reqs = requests(**trace_keys(own_trace, arrival={"kind": "constant", "request_rate": 1}))

    assert [(0.0, 10, 1), (1.0, 20, 2), (2.0, 30, 3)] == [row[1:4] for row in _rows(reqs)]


def test_trace_lengths_start_over(own_trace: Path) -> None:
    """Asked for more requests than rows, the trace's lengths start from the first row again."""
    reqs = requests(**trace_keys(own_trace, arrival={"kind": "burst"}, num_requests=5))

    assert [10, 20, 30, 10, 20] == column(reqs, "input_tokens").tolist()


def test_samples_keep_both_lengths_of_a_row(own_trace: Path) -> None:
    """Rows drawn at random keep prompt and output together, and draw every row."""
    keys = trace_keys(own_trace, arrival={"kind": "burst"}, num_requests=100, lengths={"kind": "samples"})

    assert {(10, 1, "chat"), (20, 2, "code"), (30, 3, "chat")} == {row[2:] for row in _rows(requests(**keys))}


def test_trace_times_with_lengths_of_ones_own(own_trace: Path) -> None:
    """Lengths given beside a trace replace the trace's."""
    reqs = requests(**trace_keys(own_trace, input_tokens=7, output_tokens=8))

    assert [(0.0, 7, 8), (1.0, 7, 8), (3.0, 7, 8)] == [row[1:4] for row in _rows(reqs)]


def test_lengths_only_trace_needs_arrivals(tmp_path: Path) -> None:
    """A file without times cannot say when requests arrive."""
    path = tmp_path / "lengths.csv"
    path.write_text("input_tokens,output_tokens\n1,2\n")

    with pytest.raises(TraceError, match="holds lengths only"):
        make_stream(**trace_keys(path))


def test_profile_without_rate_needs_arrivals(tmp_path: Path) -> None:
    """A profile of lengths cannot say when requests arrive."""
    table = "lengths: {percentiles: [0, 100], input_tokens: [[1, 9]], output_tokens: [[1, 9]]}\n"
    about = "".join(f"{key}: x\n" for key in ("name", "description", "source", "licence", "derived_by"))
    (tmp_path / "p.yaml").write_text(about + table)

    with pytest.raises(ScenarioError, match="holds lengths only"):
        make_stream(base_dir=tmp_path, **profile_keys("p.yaml"))


def test_unknown_profile_suggests_the_nearest() -> None:
    """A misspelt profile is answered with the right name."""
    with pytest.raises(CatalogError, match="azure-2023-code"):
        make_stream(**profile_keys("azure-2023-coed"))


def test_missing_trace_is_the_users_error(tmp_path: Path) -> None:
    """A trace that is not there is no crash."""
    with pytest.raises(UserError, match="no such trace file"):
        make_stream(**trace_keys(tmp_path / "absent.csv"))


def test_profile_rate_can_be_set() -> None:
    """request_rate scales a profile to that mean, over its own duration."""
    arrival = {"kind": "profile", "request_rate": 2.0}
    stream = make_stream(**profile_keys("azure-2023-conversation", arrival=arrival))

    assert 2.0 == pytest.approx(stream.mean_rate)
    assert 2.0 == pytest.approx(len(list(stream.requests())) / 3501.722, rel=0.04)


def test_profile_time_scale_keeps_the_number_of_requests() -> None:
    """Stretched to twice its length, a profile offers as many requests at half the rate."""
    keys = profile_keys("azure-2023-conversation")
    once, twice = make_stream(**keys), make_stream(**keys, time_scale=2.0)

    assert once.mean_rate == pytest.approx(2 * (twice.mean_rate or 0))
    assert len(list(once.requests())) == len(list(twice.requests()))


def test_profile_repeats_when_it_ends() -> None:
    """Past its end a profile starts again: 40,000 requests of 19,366 an hour take more than two hours."""
    times = column(requests(**profile_keys("azure-2023-conversation", num_requests=40_000)), "arrival_s")

    assert 40_000 / 19_366 == pytest.approx(times[-1] / 3501.722, rel=0.03)
    assert np.diff(times).min() >= 0


def test_stream_is_described() -> None:
    """Reports get the workload in one line."""
    expected = "poisson arrivals, 10 req/s; 512 tokens in, 3 to 7 (uniform) out; 100 requests"

    assert expected == make_stream(output_tokens=UNIFORM).describe()


def test_workload_is_frozen() -> None:
    """A workload cannot be changed after it was checked."""
    with pytest.raises(ValueError, match="frozen"):
        make_workload().num_requests = 5  # type: ignore[misc]


def test_users_limits_cut_outputs_and_nothing_else() -> None:
    """``max_tokens``: the same requests, longer outputs cut, and every request knows its limit."""
    lengths = {"kind": "uniform", "min": 1, "max": 400}
    free = requests(output_tokens=lengths, num_requests=200)
    cut = requests(output_tokens=lengths, num_requests=200, max_tokens=100)

    assert [min(req.output_tokens, 100) for req in free] == [req.stop_at for req in cut]
    assert [req.input_tokens for req in free] == [req.input_tokens for req in cut]
    assert {100} == {req.max_tokens for req in cut}
