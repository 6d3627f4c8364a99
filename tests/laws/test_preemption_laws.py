"""What preemption modes keep, move and cost: closed forms on an idle machine, and laws under load."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import llmsim
from llmsim.contracts.trials import outcome, poisson_requests, preempting, require_same, share_prefixes
from llmsim.cost.linear import LinearCost, LinearOptions
from llmsim.engine.kv.paged import Paged, Token
from llmsim.engine.kv.prefix import PrefixCached
from llmsim.engine.preemption.blocks import Blocks
from llmsim.engine.preemption.host import HostMemory
from llmsim.engine.preemption.recompute import Recompute
from llmsim.engine.preemption.swap import GIB, Swap, SwapOptions
from llmsim.engine.request import Request
from llmsim.engine.scheduler import Limits
from llmsim.engine.schedulers.chunked_prefill import ChunkedPrefill
from llmsim.engine.schedulers.vllm import VllmPrefillFirst
from llmsim.errors import ScenarioError
from llmsim.measure.laws import check
from llmsim.measure.records import StepLog
from llmsim.report.facts import use_facts
from llmsim.sim.build import PoolPlan
from llmsim.sim.clock import ARRIVAL
from llmsim.sim.play import A_LINE, make_engine, play

AN_ITERATION_A_SECOND = LinearCost(LinearOptions(iteration_s=1.0))


def serve(
    requests,
    mode,
    *,
    num_kv_tokens,
    kv_cache=Token,
    cost=A_LINE,
    scheduler=ChunkedPrefill,
    fast_forward=True,
    **keys,
):
    """(record, engine) of ``requests`` on one replica whose pool has preemption ``mode``; laws checked."""
    log = StepLog()
    engine = make_engine(
        0,
        log,
        scheduler,
        kv_cache=preempting(kv_cache, mode),
        num_kv_tokens=num_kv_tokens,
        limits=Limits(64, 10_000, 10_000),
        stages=[cost],
        fast_forward=fast_forward,
    )
    record = play(requests, [engine], log, **keys)
    check(record)
    return record, engine


def two(longer=(10, 10), shorter=(5, 10)):
    """Two requests at time 0. In a pool of 21 tokens the later one loses its place once, with 8 tokens written."""
    return [Request(0, 0.0, *longer), Request(1, 0.0, *shorter)]


def link(tokens_per_s, swap_space=4.0):
    """A maker of swapping over a link of that rate."""
    return partial(Swap, HostMemory(1.0, tokens_per_s), SwapOptions(swap_space=swap_space))


# --- one preemption, counted by hand --------------------------------------------------------------


@pytest.mark.parametrize("tokens_per_s", [1.0, 8.0, 1000.0])
def test_a_swap_takes_its_tokens_twice_over_the_link(tokens_per_s):
    """A second per iteration: 1 for both prompts, 3 decodes, 8 tokens out, 6 decodes, 8 tokens in, 6 iterations."""
    requests = two()
    _, engine = serve(requests, link(tokens_per_s), num_kv_tokens=21, cost=AN_ITERATION_A_SECOND)

    there = 8 / tokens_per_s
    assert [req.preemptions for req in requests] == [0, 1]
    assert requests[0].finish_s == pytest.approx(10 + there)
    assert requests[1].finish_s == pytest.approx(16 + 2 * there)
    assert engine.kv.preemption.moved_out_tokens == engine.kv.preemption.moved_in_tokens == 8


def test_blocks_that_nobody_took_are_not_computed_again():
    """Of 8 tokens 6 are taken by the other one, which ends with 19 of the pool's 21: 9 − 2 are computed."""
    computed = []
    for mode in (Recompute, Blocks, link(1000.0)):
        record, _ = serve(two(), mode, num_kv_tokens=21, cost=AN_ITERATION_A_SECOND)
        computed.append([count for count in record.steps.column("prefill_tokens").tolist() if count])
    assert computed == [[15, 9], [15, 7], [15, 1]]


def test_blocks_that_were_taken_do_not_come_back_with_what_was_in_them():
    """Of 8 tokens kept in a pool of 10, beams take 4 beyond the 2 that are nobody's; one dies and gives 3 back."""
    kv = preempting(Token, Blocks)(10, 1, 10)
    req = Request(0, 0.0, 8, 2)
    assert kv.admit(req, 8)
    kv.put_away(req, 8)
    kv.free_blocks -= 6
    kv.take_back(3)
    assert kv.find(req) == 4


def test_who_goes_out_together_queues_for_one_link():
    """Prompts of 10, 10, 1 and 1 fill 22 tokens: for the first decodes the last two go, a token and a second each."""
    requests = [Request(i, 0.0, prompt, 2) for i, prompt in enumerate((10, 10, 1, 1))]
    record, engine = serve(requests, link(1.0), num_kv_tokens=22, cost=AN_ITERATION_A_SECOND)
    assert [req.preemptions for req in requests] == [0, 0, 1, 1]
    assert record.steps.column("duration_s").tolist()[:2] == [1, 1 + 2]
    assert engine.kv.preemption.out.carried_bytes == 2


# --- laws -----------------------------------------------------------------------------------------

LENGTHS = st.tuples(st.integers(1, 60), st.integers(2, 60))


@settings(max_examples=60, deadline=None)
@given(LENGTHS, LENGTHS, st.integers(0, 60))
def test_a_link_that_takes_no_time_leaves_nothing_to_recompute(longer, shorter, spare):
    """Never slower than recompute, and a token per preemption is computed on top of the prompts."""
    pool = max(sum(longer), sum(shorter)) + spare
    swapped, _ = serve(two(longer, shorter), Swap, num_kv_tokens=pool)
    again, _ = serve(two(longer, shorter), Recompute, num_kv_tokens=pool)

    preemptions = sum(req.preemptions for req in swapped.requests)
    assume(preemptions)
    prompts = longer[0] + shorter[0]
    assert swapped.steps.column("prefill_tokens").sum() == prompts + preemptions
    for ours, theirs in zip(swapped.requests, again.requests, strict=True):
        assert ours.finish_s <= theirs.finish_s * (1 + 1e-9)


@pytest.mark.parametrize("scheduler", [ChunkedPrefill, VllmPrefillFirst])
def test_all_that_goes_out_comes_back(scheduler):
    """Requests that complete have had all their KV brought back, whoever was preempted how often."""
    record, engine = serve(
        poisson_requests(5), link(2e5), num_kv_tokens=1000, kv_cache=Paged, scheduler=scheduler
    )
    mode = engine.kv.preemption
    assert sum(req.preemptions for req in record.requests) > 5
    assert mode.moved_in_tokens == mode.moved_out_tokens > 0
    assert mode.out.carried_bytes == mode.back.carried_bytes == mode.moved_out_tokens


def test_what_the_prefix_cache_has_need_not_come_back():
    """The same preemptions with and without: fewer tokens come in than went out."""
    requests = poisson_requests(5)
    share_prefixes(requests)
    _, engine = serve(requests, link(2e5), num_kv_tokens=1000, kv_cache=PrefixCached)
    assert 0 < engine.kv.preemption.moved_in_tokens < engine.kv.preemption.moved_out_tokens


def test_a_host_without_room_is_recompute():
    """Nothing fits: the same decisions at the same times."""
    runs = [
        serve(poisson_requests(5), mode, num_kv_tokens=1000, kv_cache=Paged)[0]
        for mode in (Recompute, link(1e5, swap_space=0.0))
    ]
    assert outcome(runs[0]) == outcome(runs[1])


def test_the_host_never_holds_more_than_its_room():
    """Room for 300 tokens: who finds it full is recomputed, and both sides are empty at the end."""
    held = []

    class Watched(Swap):
        def put_away(self, kv, req, written):
            kept = super().put_away(kv, req, written)
            held.append((self.held, kept, written))
            return kept

    room = partial(Watched, HostMemory(1.0, 1e6), SwapOptions(swap_space=300 / GIB))
    _, engine = serve(poisson_requests(5), room, num_kv_tokens=1000, kv_cache=Paged)
    assert max(now for now, _, _ in held) <= 300
    assert {kept > 0 for _, kept, _ in held} == {True, False}
    assert engine.kv.preemption.held == engine.kv.preemption.num_kept == 0


def test_a_slower_link_serves_later():
    """The last request ends the later the slower the link is; far below the rate of prefill, later than recompute."""
    ends = [
        serve(poisson_requests(5), mode, num_kv_tokens=1000, kv_cache=Paged)[0].end_s
        for mode in (Swap, link(1e5), link(1e4), link(1e3))
    ]
    recomputed = serve(poisson_requests(5), Recompute, num_kv_tokens=1000, kv_cache=Paged)[0].end_s
    assert ends == sorted(ends)
    assert ends[0] < recomputed < ends[-1]


@pytest.mark.parametrize("mode", [link(1e5), Blocks])
def test_beams_that_die_skip_ahead_as_they_step(mode):
    """Blocks come back in the middle of a search: the same decisions at the same times from both."""
    requests = [poisson_requests(5), poisson_requests(5)]
    for req in requests[0] + requests[1]:
        req.width = 3
    fast, slow = (
        serve(some, mode, num_kv_tokens=2500, kv_cache=Paged, fast_forward=is_fast)[0]
        for some, is_fast in zip(requests, (True, False), strict=True)
    )
    assert sum(req.preemptions for req in fast.requests) > 5
    require_same(outcome(fast), outcome(slow), "fast-forward equals stepping")


@pytest.mark.parametrize("mode", [link(1e5), Blocks])
def test_who_leaves_takes_what_was_kept(mode):
    """A replica that is lost keeps nothing of anybody, on either side, and says what each had."""
    kept, had = [], {}

    def lose(fleet):
        (replica,) = fleet.replicas
        if not replica.engine.kv.preemption.num_kept:
            fleet.clock.call(fleet.clock.now + 0.1, ARRIVAL, lambda: lose(fleet))
            return
        kept.append(replica.engine.kv.preemption.num_kept)
        away.extend(req for req in replica.engine.scheduler.waiting if req.preemptions)
        had.update(replica.stop())

    away = []
    requests = poisson_requests(5)
    _, engine = serve(
        requests,
        mode,
        num_kv_tokens=1000,
        kv_cache=Paged,
        until_s=40.0,
        meanwhile=lambda fleet: fleet.clock.call(5.0, ARRIVAL, lambda: lose(fleet)),
    )

    assert kept and kept[0] and any(had[req] for req in away)
    assert all(req.computed == 0 for req in had)
    assert engine.kv.free_blocks == engine.kv.num_blocks
    assert engine.kv.preemption.num_kept == 0


# --- scenarios ------------------------------------------------------------------------------------

PRESSED = """
model: opt-13b
fleet:
  accelerator: a100-sxm-40gb
engine:
  scheduler: vllm
  max_model_len: 2048
  num_kv_tokens: 6000
  preemption_mode: {mode}
workload:
  arrival: {{kind: poisson, request_rate: 3}}
  input_tokens: {{kind: lognormal, mean: 161, std: 250, max: 1024}}
  output_tokens: {{kind: lognormal, mean: 338, std: 250, max: 900}}
  num_requests: 150
"""


def scenario(tmp_path, mode, **changes):
    """The path of the scenario with that ``preemption_mode`` and other text replaced."""
    text = PRESSED.format(mode=mode)
    for old, new in changes.items():
        text = text.replace(old, new)
    path = tmp_path / "pressed.yaml"
    path.write_text(text)
    return path


def test_a_swap_beats_recomputing_where_copies_are_large(tmp_path):
    """vLLM paper, Fig. 19, OPT-13B on an A100: swapping wins with large blocks. A full link is their limit.

    Twice 0.82 MB a token at 31.5 GB/s is 52 µs; computing a token of a 13B model anew takes 26 GFLOP, 83 µs at peak.
    """
    loaded = llmsim.load(scenario(tmp_path, "swap"))
    plan = PoolPlan(loaded, loaded.scenario.fleet[0])
    engine = plan.engine(0, StepLog(), fast_forward=True)
    host, (stage,) = engine.kv.preemption.host, plan.stages
    assert host.bytes_per_token == 2 * 40 * 5120 * 2
    assert host.bytes_per_s == pytest.approx(3.1508e10)
    for tokens in (256, 512, 1024):
        there_and_back_s = 2 * tokens * host.bytes_per_token / host.bytes_per_s
        recompute_s = stage.chunk_s(tokens, 0) + stage.tokens_s(tokens, 1, 1)
        assert there_and_back_s < recompute_s


def test_shards_move_side_by_side(tmp_path):
    """Two tensor-parallel accelerators move half each: the same KV in half the time, and twice the swap space."""
    hosts = []
    for degree in (1, 2):
        path = scenario(
            tmp_path, "swap", **{"a100-sxm-40gb": f"a100-sxm-40gb\n  tensor_parallel_size: {degree}"}
        )
        loaded = llmsim.load(path)
        plan = PoolPlan(loaded, loaded.scenario.fleet[0])
        hosts.append(plan.engine(0, StepLog(), fast_forward=True).kv.preemption.host)
    assert hosts[1].bytes_per_s == pytest.approx(2 * hosts[0].bytes_per_s)
    assert hosts[1].tokens_in(1e9) == pytest.approx(2 * hosts[0].tokens_in(1e9))


def test_no_way_to_the_host_is_said(tmp_path):
    """An accelerator whose catalogue entry has no host link, and a cache without blocks."""
    with pytest.raises(ScenarioError, match="host_link_bytes_per_s"):
        llmsim.run(scenario(tmp_path, "swap", **{"a100-sxm-40gb": "tpu-v5p"}))
    with pytest.raises(ScenarioError, match="kv_cache 'buddy' has none"):
        llmsim.load(scenario(tmp_path, "blocks", **{"  max_model_len": "  kv_cache: buddy\n  max_model_len"}))
    with pytest.raises(ScenarioError, match="a prefix cache does anyway"):
        llmsim.load(
            scenario(
                tmp_path,
                "blocks",
                **{"  max_model_len": "  enable_prefix_caching: true\n  max_model_len"},
            )
        )


def test_the_report_says_what_was_swapped(tmp_path):
    """Bytes by the model's KV per token, 0.82 MB, and the time of the link; null where nobody swaps."""
    result = llmsim.run(scenario(tmp_path, "{kind: swap, swap_space: 16}"))
    moved = result.summary["kv_swaps"]
    assert moved["out_bytes"] == moved["in_bytes"] > 0
    assert moved["out_bytes"] % (2 * 40 * 5120 * 2) == 0
    assert moved["link_s"] == pytest.approx(2 * moved["out_bytes"] / 3.1508e10)
    facts = {fact.label: fact.value for fact in use_facts(result.summary, result.record)}
    assert "to host memory" in facts["KV swaps"]
    assert llmsim.run(scenario(tmp_path, "recompute")).summary["kv_swaps"] is None


def test_modes_differ_in_what_is_computed_again(tmp_path):
    """One preempted workload: recompute computes most again, blocks less, swap a token each."""
    computed = []
    for mode in ("recompute", "blocks", "{kind: swap, swap_space: 16}"):
        record = llmsim.run(scenario(tmp_path, mode)).record
        preemptions = sum(req.preemptions for req in record.requests)
        again = record.steps.column("prefill_tokens").sum() - sum(r.input_tokens for r in record.requests)
        assert preemptions > 10
        computed.append(again / preemptions)
    assert computed[0] > computed[1] > computed[2] == 1
    assert np.isfinite(computed).all()
