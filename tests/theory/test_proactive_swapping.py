"""FastServe's proactive swapping (arXiv 2305.05920, §4.3): KV moves while others run, and nobody waits for it."""

from __future__ import annotations

from functools import partial
from math import inf

import pytest

import llmsim
from llmsim.contracts.trials import poisson_requests, preempting
from llmsim.cost.linear import LinearCost, LinearOptions
from llmsim.engine.kv.paged import Paged, Token
from llmsim.engine.preemption.host import HostMemory
from llmsim.engine.preemption.swap import GIB, Swap, SwapOptions
from llmsim.engine.request import Request
from llmsim.engine.scheduler import Limits
from llmsim.engine.schedulers.mlfq import QueueOptions, SkipJoinQueues
from llmsim.errors import ScenarioError
from llmsim.measure.laws import check
from llmsim.measure.records import StepLog
from llmsim.sim.play import A_LINE, make_engine, play

AN_ITERATION_A_SECOND = LinearCost(LinearOptions(iteration_s=1.0))


def serve(requests, *, tokens_per_s, seats=64, pool=1000, kv_cache=Paged, cost=A_LINE, space=4.0, **options):
    """The requests, served by ``mlfq`` with these options, and the mode of the pool."""
    log = StepLog()
    mode = partial(Swap, HostMemory(1.0, tokens_per_s), SwapOptions(swap_space=space))
    engine = make_engine(
        0,
        log,
        partial(SkipJoinQueues, options=QueueOptions(**options)),
        kv_cache=preempting(kv_cache, mode),
        num_kv_tokens=pool,
        limits=Limits(seats, 512, 10_000),
        stages=[cost],
    )
    record = play(requests, [engine], log)
    check(record)
    assert engine.kv.free_blocks == engine.kv.num_blocks
    assert engine.kv.preemption.num_kept == engine.kv.preemption.held == 0
    return record, engine.kv.preemption


def on_one_seat(swap):
    """A long request loses its seat at 13 s with 72 tokens written; a copy of them takes 2 s.

    Two short ones come then, the second with a prompt that has no room beside the long one's KV.
    """
    requests = [Request(0, 0.0, 60, 30), Request(1, 12.5, 30, 6), Request(2, 14.2, 80, 4)]
    serve(
        requests,
        tokens_per_s=36.0,
        seats=1,
        pool=130,
        kv_cache=Token,
        cost=AN_ITERATION_A_SECOND,
        num_queues=2,
        quantum_ms=8000.0,
        starve_limit_s=None,
        swap=swap,
        idle_cache=0.5,
    )
    assert [req.preemptions for req in requests] == [1, 0, 0]
    return requests


def test_who_comes_finds_room():
    """Reactive: the second short one waits 2 s for the copy. Proactive: that was made while the first one ran."""
    reactive, proactive = on_one_seat("reactive"), on_one_seat("proactive")
    assert [req.first_token_s for req in reactive[1:]] == pytest.approx([14, 19 + 2 + 1])
    assert [req.first_token_s for req in proactive[1:]] == pytest.approx([14, 19 + 1])
    assert reactive[0].finish_s - proactive[0].finish_s == pytest.approx(2)


def test_nothing_moves_while_there_is_room():
    """With all the pool free, proactive is reactive, and nobody goes over the link."""
    times = []
    for swap in ("reactive", "proactive"):
        record, mode = serve(poisson_requests(3), tokens_per_s=1e5, pool=10**6, swap=swap)
        assert mode.moved_out_tokens == 0
        times.append([req.finish_s for req in record.requests])
    assert times[0] == times[1]


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_moving_ahead_shortens_the_mean_wait(seed):
    """On a link that takes as long as computing, most of the copies are hidden: requests are done sooner."""
    mean_s = {}
    for swap in ("reactive", "proactive"):
        record, mode = serve(poisson_requests(seed, 80), tokens_per_s=3e4, seats=8, swap=swap)
        assert mode.moved_out_tokens > 1000
        mean_s[swap] = sum(req.finish_s - req.arrival_s for req in record.requests) / 80
    assert mean_s["proactive"] < mean_s["reactive"]


def test_a_full_host_leaves_reactive_preemption():
    """Room for 200 tokens on the host: never more, and all is served."""
    record, mode = serve(
        poisson_requests(4, 60), tokens_per_s=1e5, space=200 / GIB, swap="proactive", idle_cache=0.3
    )
    assert 0 < mode.out.carried_bytes
    assert all(req.finish_s < inf for req in record.requests)


def test_a_scenario_says_what_it_needs(tmp_path):
    """Proactive swapping without a host to swap to, or with no KV kept."""
    text = """
model: opt-13b
fleet: {{accelerator: a100-sxm-40gb}}
engine:
  scheduler: {{kind: mlfq, swap: proactive{more}}}
  preemption_mode: {mode}
workload: {{arrival: {{kind: poisson, request_rate: 2}}, input_tokens: 100, output_tokens: 20, num_requests: 20}}
"""
    path = tmp_path / "fastserve.yaml"
    path.write_text(text.format(mode="recompute", more=", keep_kv: false"))
    with pytest.raises(ScenarioError) as refused:
        llmsim.load(path)
    assert "preemption_mode: swap" in str(refused.value) and "keep_kv" in str(refused.value)
    path.write_text(text.format(mode="swap", more=""))
    assert llmsim.run(path).summary["completed"] == 20
