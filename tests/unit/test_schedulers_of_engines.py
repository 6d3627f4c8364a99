"""What each serving engine's scheduler does that the others do not, in cases small enough to follow by hand."""

from __future__ import annotations

from functools import partial

import pytest

from llmsim.cost.linear import LinearCost, LinearOptions
from llmsim.engine.kv.paged import Token
from llmsim.engine.request import Request
from llmsim.engine.scheduler import Limits
from llmsim.engine.schedulers.chunked_prefill import ChunkedPrefill
from llmsim.engine.schedulers.dynamic import Dynamic, DynamicOptions
from llmsim.engine.schedulers.sarathi import Sarathi, SarathiOptions
from llmsim.engine.schedulers.splitfuse import SplitFuse
from llmsim.engine.schedulers.tensorrt_llm import TensorRTLLM, TensorRTLLMOptions
from llmsim.measure.laws import check
from llmsim.measure.records import StepLog
from llmsim.sim.play import make_engine, play

ONE_SECOND = LinearCost(LinearOptions(iteration_s=1.0))
"""Every iteration takes a second, whatever is in it."""


def serve(scheduler, requests, *, seqs=8, budget=2048, tokens=10_000, cost=ONE_SECOND, **options):
    """Serve ``requests`` on one engine whose KV blocks are single tokens."""
    log = StepLog()
    engine = make_engine(
        0, log, scheduler, kv_cache=Token, num_kv_tokens=tokens,
        limits=Limits(seqs, budget, options.pop("longest", 100)), stages=[cost], **options,
    )  # fmt: skip
    record = play(requests, [engine], log)
    check(record)
    assert all(req.status == "completed" for req in requests)
    return record


def batch_sizes(record):
    """Sequences of each iteration that computes prompts."""
    steps = record.steps
    return [
        int(n)
        for n, prompts in zip(steps.column("sequences"), steps.column("prefill_tokens"), strict=True)
        if prompts
    ]


def new_tokens(record):
    """Tokens computed in each iteration, prompts and decodes."""
    steps = record.steps
    decoded = steps.column("decode_tokens") / steps.column("iterations")
    return [int(n) for n in steps.column("prefill_tokens") + decoded]


def arrivals(*times_s, prompt=10, output=4):
    return [Request(i, time_s, prompt, output) for i, time_s in enumerate(times_s)]


# --- dynamic: Triton and Clipper -----------------------------------------------------------------


def test_dynamic_starts_a_preferred_size_and_delays_the_rest():
    """Triton: of six, four (preferred) go at once; the two left wait until the older has waited 30 s."""
    options = DynamicOptions(preferred_batch_size=[4, 8], max_queue_delay_s=30)
    record = serve(partial(Dynamic, options=options), arrivals(*[0.0] * 6))

    assert [0.0] * 4 + [30.0] * 2 == [req.scheduled_s for req in record.requests]
    assert [4, 2] == batch_sizes(record)


def test_dynamic_without_a_delay_takes_whoever_is_there():
    """Two arrive while one is served; both go next, and nobody waits for a fuller batch."""
    record = serve(Dynamic, arrivals(0.0, 1.0, 2.0))

    assert [0.0, 4.0, 4.0] == [req.scheduled_s for req in record.requests]


def test_dynamic_takes_the_largest_preferred_size_that_is_full():
    """Nine wait for sizes 2, 4 and 8: eight start, and the ninth when its delay is over."""
    options = DynamicOptions(preferred_batch_size=[8, 2, 4], max_queue_delay_s=7)
    record = serve(partial(Dynamic, options=options), arrivals(*[0.0] * 9), seqs=32)

    assert [8, 1] == batch_sizes(record)
    assert 7.0 == record.requests[8].scheduled_s


def test_clipper_raises_the_batch_by_one_and_cuts_it_by_a_tenth():
    """Clipper's AIMD: n requests take n seconds and may take 10: 1 … 11, then 9.9, 10.9, 11.9, 10.71."""
    per_sequence = LinearCost(LinearOptions(iteration_s=0.0, per_sequence_s=1.0))
    options = DynamicOptions(latency_target_s=10.0)
    record = serve(
        partial(Dynamic, options=options), arrivals(*[0.0] * 106, output=1), seqs=64, cost=per_sequence
    )

    assert [*range(1, 12), 9, 10, 11, 10] == batch_sizes(record)


# --- tensorrt_llm --------------------------------------------------------------------------------


def test_guaranteed_no_evict_reserves_the_longest_output_and_never_pauses():
    """400 tokens hold four of at most 100, however short their outputs turn out; max_utilization runs all eight."""
    eight = [0.0] * 8
    careful = serve(TensorRTLLM, arrivals(*eight, output=60), tokens=400)
    options = TensorRTLLMOptions(capacity_scheduler_policy="max_utilization")
    full = serve(partial(TensorRTLLM, options=options), arrivals(*eight, output=60), tokens=400)

    assert 4 == max(careful.steps.column("sequences"))
    assert 8 == max(full.steps.column("sequences"))
    assert 0 == sum(req.preemptions for req in careful.requests)
    assert 0 < sum(req.preemptions for req in full.requests)


def test_a_users_limit_is_what_is_reserved():
    """With ``max_tokens`` 40 the same pool holds eight prompts of 10."""
    requests = arrivals(*[0.0] * 8, output=40)
    for req in requests:
        req.max_tokens = 40
    record = serve(TensorRTLLM, requests, tokens=400)

    assert 8 == max(record.steps.column("sequences"))


def test_chunked_context_cuts_a_prompt_that_otherwise_waits():
    """70 and 60 tokens with 100 a step: chunked, the second starts with 30 at once; whole, a step later."""
    requests = [Request(0, 0.0, 70, 3), Request(1, 0.0, 60, 3)]
    whole = serve(TensorRTLLM, requests, budget=100)
    assert [0.0, 1.0] == [req.scheduled_s for req in whole.requests]

    requests = [Request(0, 0.0, 70, 3), Request(1, 0.0, 60, 3)]
    chunked = serve(
        partial(TensorRTLLM, options=TensorRTLLMOptions(enable_chunked_context=True)), requests, budget=100
    )
    assert [100, 30 + 1] == new_tokens(chunked)[:2]


# --- sarathi, splitfuse --------------------------------------------------------------------------


def test_sarathi_computes_one_prompt_at_a_time_beside_all_decodes():
    """Chunks of 64 with the decodes in them: 64, 26 left; then beside one decode 63, 27; beside two 62, 28."""
    requests = [Request(i, 0.0, 90, 9) for i in range(3)]
    record = serve(partial(Sarathi, options=SarathiOptions(chunk_size=64)), requests)
    prompts = [int(n) for n in record.steps.column("prefill_tokens")]

    assert [64, 26, 63, 27, 62, 28] == prompts[:6]
    assert [64, 26, 64, 28, 64, 30] == new_tokens(record)[:6]


def test_splitfuse_fills_every_pass_exactly_while_prompts_wait():
    """Prompts of 30 and 70 in passes of 64: split and fused, each pass has 64 tokens, decodes included."""
    requests = [Request(i, 0.0, 30 + 40 * (i % 2), 5) for i in range(12)]
    record = serve(SplitFuse, requests, budget=64, seqs=32)
    waiting = record.steps.column("waiting")

    passes = [tokens for tokens, left in zip(new_tokens(record), waiting, strict=True) if left]
    assert len(passes) > 5
    assert {64} == set(passes)


@pytest.mark.parametrize(("scheduler", "starts_s"), [(SplitFuse, 22.0), (ChunkedPrefill, 2.0)])
def test_splitfuse_starts_no_prompt_that_the_pool_cannot_hold_whole(scheduler, starts_s):
    """Beside 61 of 100 tokens there is no room for 40: chunked prefill starts on them, SplitFuse waits."""
    record = serve(scheduler, [Request(0, 0.0, 60, 21), Request(1, 1.5, 40, 2)], tokens=100, budget=32)

    assert starts_s == record.requests[1].scheduled_s
