"""What each serving engine's scheduler does that the others do not, in cases small enough to follow by hand."""

from __future__ import annotations

from functools import partial

from llmsim.cost.linear import LinearCost, LinearOptions
from llmsim.engine.kv.paged import Token
from llmsim.engine.request import Request
from llmsim.engine.scheduler import Limits
from llmsim.engine.schedulers.dynamic import Dynamic, DynamicOptions
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
