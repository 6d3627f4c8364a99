"""The times of a request's tokens, read off the step log, against what else the run says of them."""

from __future__ import annotations

import numpy as np
import pytest

import llmsim
from llmsim.measure.gaps import GapPool
from llmsim.measure.token_times import TokenTimes

RECLAIMED = "spot={hazard: {reclaims_per_instance_hour: 60, mean_outage_s: 60}}"

RUNS = {
    "chunked prefill": ("chatbot", ["workload.duration_s=100"]),
    "preempted": ("chatbot", ["workload.duration_s=100", "engine.num_kv_tokens=16000"]),
    "prefill first, preempted": (
        "chatbot",
        ["workload.duration_s=100", "engine.num_kv_tokens=12000", "engine.scheduler=vllm"],
    ),
    "orca": ("chatbot", ["workload.duration_s=60", "engine.scheduler=orca"]),
    "pipeline, preempted": ("pipeline", ["workload.num_requests=400", "engine.num_kv_tokens=16000"]),
    "static": ("static-batching", ["workload.num_requests=300"]),
    "prefill and decode pools": ("disaggregated-70b", ["workload.num_requests=300"]),
    "decode replicas reclaimed": (
        "disaggregated-70b",
        ["workload.num_requests=600", f"fleet.1.{RECLAIMED}"],
    ),
    "reclaimed": ("chatbot-on-spot", ["workload.duration_s=300", f"fleet.{RECLAIMED}", "fleet.replicas=3"]),
    "stepped": ("chatbot", ["workload.duration_s=30", "simulation.fast_forward=false"]),
}

SURE = (
    "preempted",
    "prefill first, preempted",
    "pipeline, preempted",
    "prefill and decode pools",
    "reclaimed",
)


@pytest.fixture(scope="module", params=RUNS.values(), ids=RUNS.keys())
def record(request):
    path, sets = request.param
    return llmsim.run(llmsim.load(path, sets)).record


def test_every_token_has_a_time_between_the_first_and_the_last(record):
    """As many as were produced, rising, from ``first_token_s`` to ``last_token_s``."""
    times = TokenTimes(record)
    for req in record.requests:
        if req.status == "completed":
            found = times.of(req)
            assert req.output_tokens == len(found)
            assert (req.first_token_s, req.last_token_s) == pytest.approx((found[0], found[-1]), rel=1e-12)
            assert (np.diff(found) > 0).all()


def test_the_gaps_of_all_requests_are_the_pool_of_the_summary(record):
    """Counted one by one they have the moments and percentiles of ``itl_ms``."""
    times, pool = TokenTimes(record), GapPool.of(record.steps)
    done = [req for req in record.requests if req.status == "completed"]
    assert len(done) == len(record.requests)
    gaps = np.concatenate([times.gaps(req) for req in done])

    assert pool.size == len(gaps)
    assert (pool.mean_s(), pool.std_s()) == pytest.approx((gaps.mean(), gaps.std()), rel=1e-6)
    assert np.percentile(gaps, [1, 50, 99]).tolist() == pytest.approx(
        pool.percentiles_s([1, 50, 99]), abs=1e-9
    )


def test_requests_that_lost_their_place_are_among_them():
    """Preemption and reclaims do happen in those runs: the laws above hold for more than the plain case."""
    for name in (*SURE, "decode replicas reclaimed"):
        path, sets = RUNS[name]
        record = llmsim.run(llmsim.load(path, sets)).record
        most = max(len(req.stints) for req in record.requests)
        assert most >= (2 if name == "decode replicas reclaimed" else 1), name
