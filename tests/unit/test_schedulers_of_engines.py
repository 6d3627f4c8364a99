"""What each serving engine's scheduler does that the others do not, in cases small enough to follow by hand."""

from __future__ import annotations

from collections import deque
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmsim.cost.linear import LinearCost, LinearOptions
from llmsim.engine.kv.paged import Token
from llmsim.engine.request import Request
from llmsim.engine.scheduler import Limits
from llmsim.engine.schedulers.chunked_prefill import ChunkedPrefill
from llmsim.engine.schedulers.dynamic import Dynamic, DynamicOptions
from llmsim.engine.schedulers.future_peak import FuturePeak
from llmsim.engine.schedulers.lightllm import LightLLM, LightLLMOptions
from llmsim.engine.schedulers.sarathi import Sarathi, SarathiOptions
from llmsim.engine.schedulers.simple_chunking import SimpleChunking
from llmsim.engine.schedulers.splitfuse import SplitFuse
from llmsim.engine.schedulers.tensorrt_llm import TensorRTLLM, TensorRTLLMOptions
from llmsim.engine.schedulers.tgi import TGI, TGIOptions
from llmsim.engine.schedulers.vllm_v1 import VllmV1, VllmV1Options
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


# --- vllm_v1 -------------------------------------------------------------------------------------


def of_classes(*names, prompt=10, output=20, every_s=1.0):
    """A request of each class, one every second."""
    return [Request(i, i * every_s, prompt, output, name) for i, name in enumerate(names)]


BY_PRIORITY = partial(VllmV1, options=VllmV1Options(policy="priority", priorities={"chat": -1, "batch": 9}))


def test_vllm_v1_with_its_defaults_is_chunked_prefill():
    """The same requests at the same times, under memory pressure."""
    first, second = (
        [Request(i, i / 3, 7 + 13 * i % 40, 5 + 11 * i % 30) for i in range(60)] for _ in range(2)
    )
    serve(ChunkedPrefill, first, budget=32, tokens=200)
    serve(VllmV1, second, budget=32, tokens=200)

    assert sum(req.preemptions for req in first) > 0
    assert [(r.scheduled_s, r.finish_s, r.preemptions) for r in first] == [
        (r.scheduled_s, r.finish_s, r.preemptions) for r in second
    ]


def test_vllm_v1_serves_the_lower_priority_number_first():
    """One seat: chat (-1) goes before a class that is not named (0), and batch (9) is last, whoever came first."""
    requests = of_classes("batch", "batch", "other", "chat", output=5)
    serve(BY_PRIORITY, requests, seqs=1)

    assert [0, 3, 2, 1] == sorted(range(4), key=lambda i: requests[i].scheduled_s)


def test_vllm_v1_takes_a_requests_own_priority_where_its_class_has_none():
    """One seat: of three that wait the one with priority -2 goes first."""
    requests = of_classes("other", "other", "other", "other", output=5)
    requests[3].priority = -2
    serve(BY_PRIORITY, requests, seqs=1)

    assert [0, 3, 1, 2] == sorted(range(4), key=lambda i: requests[i].scheduled_s)


def test_vllm_v1_preempts_the_lowest_priority_and_of_these_the_latest():
    """A full pool: of two batch requests between two chats the later one goes; under fcfs the newest chat does."""
    classes = ("chat", "batch", "batch", "chat")
    by_priority, fcfs = of_classes(*classes), of_classes(*classes)
    serve(BY_PRIORITY, by_priority, tokens=90)
    serve(VllmV1, fcfs, tokens=90)

    assert [0, 0, 1, 0] == [min(req.preemptions, 1) for req in by_priority]
    assert [0, 0, 0, 1] == [min(req.preemptions, 1) for req in fcfs]


def test_vllm_v1_bounds_what_a_long_prompt_takes_of_a_step():
    """A prompt of 90 with threshold 30 leaves 20 of 50 tokens a step to one behind it, which starts at once."""
    requests = [Request(0, 0.0, 90, 2), Request(1, 0.0, 40, 2)]
    options = VllmV1Options(long_prefill_token_threshold=30)
    record = serve(partial(VllmV1, options=options), requests, budget=50)

    assert [30 + 20, 30 + 20, 30 + 1, 1] == new_tokens(record)
    assert [0.0, 0.0] == [req.scheduled_s for req in requests]


def test_vllm_v1_leaves_no_more_prompts_unfinished_than_it_may():
    """Threshold 10 and budget 50 would have five under way; with two allowed, the others wait for their turn."""
    options = VllmV1Options(long_prefill_token_threshold=10, max_num_partial_prefills=2)
    requests = arrivals(*[0.0] * 4, prompt=30)
    serve(partial(VllmV1, options=options), requests, budget=50)

    assert [0.0, 0.0, 2.0, 2.0] == [req.scheduled_s for req in requests]


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


# --- simple chunking -----------------------------------------------------------------------------


def test_simple_chunking_alternates_while_there_are_prompts():
    """Prompts of 40 and 70 in chunks of 32: P P D P D P D; decodes take nothing of a chunk."""
    requests = [Request(0, 0.0, 40, 9), Request(1, 0.5, 70, 3)]
    steps = serve(SimpleChunking, requests, budget=32).steps
    prompts = [int(n) for n in steps.column("prefill_tokens")]
    decodes = [int(n) for n in steps.column("decode_tokens")]

    assert [32, 32, 0, 32, 0, 14, 0] == prompts[:7]
    assert [0, 0, 1, 0, 1, 0] == decodes[:6]
    assert [2.0, 6.0] == [req.first_token_s for req in requests]


# --- tgi -----------------------------------------------------------------------------------------


def test_tgi_stops_a_batch_when_enough_wait_for_each_that_runs():
    """Five decode; five more, arriving one a second, are too few until there are 1.2 × 5 = 6 of them."""
    five, six = arrivals(*[0.0] * 5, output=60), [Request(5 + i, 1.5 + i, 10, 60) for i in range(6)]
    options = TGIOptions(waiting_served_ratio=1.2, max_waiting_tokens=1000)
    serve(partial(TGI, options=options), [*five, *six], seqs=32)

    assert [7.0] * 6 == [req.scheduled_s for req in six]


def test_tgi_lets_one_in_when_the_last_prompts_are_long_ago():
    """One waits beside five; after ``max_waiting_tokens`` = 20 tokens of the batch, prompts' own included, it goes."""
    five, one = arrivals(*[0.0] * 5, output=60), Request(5, 1.5, 10, 60)
    serve(TGI, [*five, one], seqs=32)

    assert 20.0 == one.scheduled_s  # the prompts' token at 1 s, and nineteen more


def test_tgi_admits_by_the_longest_outputs_and_by_prompt_tokens():
    """400 tokens in all: four of at most 100 at a time; prompts of 10 with 30 a step: three, then the others."""
    options = TGIOptions(max_batch_total_tokens=400, max_batch_prefill_tokens=30)
    record = serve(partial(TGI, options=options), arrivals(*[0.0] * 8, output=50), seqs=32)

    assert [3, 1] == batch_sizes(record)[:2]
    assert 4 == max(record.steps.column("sequences"))
    assert 0 == sum(req.preemptions for req in record.requests)


# --- lightllm ------------------------------------------------------------------------------------


sequences = st.lists(st.tuples(st.integers(1, 60), st.integers(0, 40)), min_size=1, max_size=12)


@given(sequences, sequences, st.integers(0, 30))
def test_the_future_peak_is_the_most_that_is_held_in_any_iteration(first, later, passed):
    """Against the sum written out iteration by iteration; some have gone by then, others come, some are overdue."""
    peak = FuturePeak()
    entries = []
    for now, group in ((0, first), (passed, later)):
        for held, more in group:
            req = Request(len(entries), 0.0, held, 1)
            peak.add(req, held, more, now)
            entries.append((req, held - now, now + more))
    for req, *_ in entries[::3]:
        peak.remove(req)
    left = [entry for i, entry in enumerate(entries) if i % 3]

    def held_at(moment):
        return sum(start + moment for _, start, end in left if max(end, passed) >= moment)

    assert max((held_at(passed + i) for i in range(80)), default=0) == peak.tokens(passed)


def test_lightllm_lets_in_who_comes_when_another_ends():
    """LightLLM's point: a long one and a short one never peak together, so both run where the sum does not fit."""
    long, short = Request(0, 0.0, 10, 80), Request(1, 0.0, 30, 10)
    for req in (long, short):
        req.max_tokens = req.output_tokens
    record = serve(LightLLM, [long, short], tokens=100)  # 90 and 40; at most 10 + 10 + 40 together, then 90

    assert 0.0 == short.scheduled_s == long.scheduled_s
    assert 0 == sum(req.preemptions for req in record.requests)

    long, short = Request(0, 0.0, 10, 80), Request(1, 0.0, 30, 10)
    for req in (long, short):
        req.max_tokens = req.output_tokens
    serve(TGI, [long, short], tokens=100)
    assert 81.0 > short.scheduled_s > 79.0 > long.scheduled_s


def test_lightllm_looks_again_after_ten_tokens():
    """A third comes at 2.5 s; the queue is looked at when the batch has decoded ten times, at 11 s."""
    record = serve(LightLLM, arrivals(0.0, 0.0, 2.5, output=30))

    assert 11.0 == record.requests[2].scheduled_s


def test_lightllm_that_expects_short_outputs_runs_more_and_pauses_some():
    """Expecting 5 tokens of outputs that are 60 fills the pool at once; the longest outputs never overflow it."""
    careful = serve(LightLLM, arrivals(*[0.0] * 8, output=60), tokens=300)
    options = LightLLMOptions(router_max_new_token_len=5)
    bold = serve(partial(LightLLM, options=options), arrivals(*[0.0] * 8, output=60), tokens=300)

    assert (
        0 == sum(req.preemptions for req in careful.requests) < sum(req.preemptions for req in bold.requests)
    )
    assert max(careful.steps.column("sequences")) < max(bold.steps.column("sequences"))


# --- all of them ---------------------------------------------------------------------------------


class CountedQueue(deque):
    """Counts how many of the waiting requests are looked at."""

    looks = 0

    def __getitem__(self, place):
        self.looks += 1
        return super().__getitem__(place)

    def __iter__(self):
        self.looks += len(self)
        return super().__iter__()

    def remove(self, req):
        self.looks += len(self)
        super().remove(req)


@pytest.mark.parametrize(
    "scheduler",
    [
        partial(Dynamic, options=DynamicOptions(preferred_batch_size=[4], max_queue_delay_s=5.0)),
        VllmV1,
        partial(VllmV1, options=VllmV1Options(long_prefill_token_threshold=4, max_num_partial_prefills=1)),
        TGI,
        partial(TGI, options=TGIOptions(waiting_served_ratio=3.0, max_waiting_tokens=50)),
        TensorRTLLM,
        Sarathi,
        SplitFuse,
        LightLLM,
    ],
)
def test_a_long_queue_is_not_scanned(scheduler):
    """However many wait, a request is looked at a few times in all: a step costs what it changes."""
    looks = []
    for count in (300, 3_000):
        queue = CountedQueue()

        def make(limits, kv, queue=queue):
            made = scheduler(limits, kv)
            made.waiting = queue
            return made

        serve(make, arrivals(*[0.0] * count, output=9), seqs=16, tokens=700, longest=40)
        looks.append(queue.looks / count)

    assert looks[1] <= 1.1 * looks[0]
    assert looks[1] < 12
