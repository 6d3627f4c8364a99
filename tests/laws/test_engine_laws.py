"""The laws of `docs/design.md` over random scenarios: all schedulers, KV caches, pipelines, loops and routers."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from llmsim.contracts import informed, outcome, require_same, share_prefixes
from llmsim.cost.linear import LinearCost, LinearOptions
from llmsim.cost.stage import DecodeLine
from llmsim.engine.knowledge import Knowledge
from llmsim.engine.kv.buddy import Buddy, BuddyOptions
from llmsim.engine.kv.contiguous import ContiguousMax
from llmsim.engine.kv.paged import Paged, Token
from llmsim.engine.kv.prefix import PrefixCached, PrefixCachedToken
from llmsim.engine.predictors.certain import Oracle
from llmsim.engine.predictors.regression import Regression, RegressionOptions
from llmsim.engine.request import Request
from llmsim.engine.scheduler import Limits
from llmsim.engine.schedulers.chunked_prefill import ChunkedPrefill
from llmsim.engine.schedulers.dynamic import Dynamic, DynamicOptions
from llmsim.engine.schedulers.edf import DeadlineOptions, EarliestDeadline
from llmsim.engine.schedulers.lightllm import LightLLM, LightLLMOptions
from llmsim.engine.schedulers.mlfq import QueueOptions, SkipJoinQueues
from llmsim.engine.schedulers.orca import Orca
from llmsim.engine.schedulers.s3 import PredictedReservation
from llmsim.engine.schedulers.sarathi import Sarathi, SarathiOptions
from llmsim.engine.schedulers.simple_chunking import SimpleChunking
from llmsim.engine.schedulers.sjf import ShortestJobFirst
from llmsim.engine.schedulers.slo_drop import SloDrop
from llmsim.engine.schedulers.splitfuse import SplitFuse
from llmsim.engine.schedulers.srpt import ShortestRemaining, ShortestRemainingOptions
from llmsim.engine.schedulers.static import Static, StaticOptions
from llmsim.engine.schedulers.tensorrt_llm import TensorRTLLM, TensorRTLLMOptions
from llmsim.engine.schedulers.tgi import TGI, TGIOptions
from llmsim.engine.schedulers.vllm import VllmPrefillFirst
from llmsim.engine.schedulers.vllm_v1 import VllmV1, VllmV1Options
from llmsim.engine.schedulers.vtc import FairnessOptions, TokenCounters
from llmsim.measure.laws import check
from llmsim.measure.records import StepLog
from llmsim.sim.play import make_engine, play
from llmsim.sim.replica import NO_FRONT_END, FrontEnd
from llmsim.sim.routers import CentralQueue, LeastRequests, RoundRobin
from llmsim.spec.attention import FULL, Span
from llmsim.spec.targets import Targets


class Windowed(LinearCost):
    """A line over three spans, so that runs end where windows fill and chunks start anew."""

    def __init__(self, options):
        super().__init__(options)
        self.spans = (Span("chunk", 48), FULL, Span("window", 90))

    def decode_line(self, sequences, kv_tokens, growth):
        weights = (1e-7, 4e-8, 3e-7)
        first, step = (sum(w * x for w, x in zip(weights, xs, strict=True)) for xs in (kv_tokens, growth))
        return DecodeLine(first, step)


class Kinked(LinearCost):
    """A line with a breakpoint: valid for a few iterations only, as where an op changes its bound."""

    def decode_line(self, sequences, kv_tokens, growth):
        line = super().decode_line(sequences, kv_tokens, growth)
        bend = 300 * (kv_tokens[0] // 300 + 1) - kv_tokens[0]
        return DecodeLine(
            line.first_s + 1e-5 * (kv_tokens[0] // 300), line.step_s, max(1, -(-bend // growth[0]))
        )


OPTIONS = LinearOptions(
    iteration_s=4e-3,
    per_token_s=2e-5,
    per_sequence_s=1e-5,
    per_prefill_pair_s=2e-9,
    per_decode_kv_token_s=5e-8,
)
FALLIBLE = Knowledge(Regression(256, seed=1, options=RegressionOptions(spread=0.8)))
PROMISES = Knowledge(Oracle(256), lambda name: Targets(ttft_ms=150.0 + 100 * len(name), e2el_ms=900.0))
SCHEDULERS = (
    ChunkedPrefill,
    VllmPrefillFirst,
    Orca,
    Static,
    partial(Static, options=StaticOptions(batch_size=3, batch_timeout_s=0.3, early_return=True)),
    partial(Dynamic, options=DynamicOptions(preferred_batch_size=[2, 5], max_queue_delay_s=0.3)),
    partial(Dynamic, options=DynamicOptions(max_queue_delay_s=0.1, latency_target_s=0.5)),
    TensorRTLLM,
    partial(TensorRTLLM, options=TensorRTLLMOptions(capacity_scheduler_policy="max_utilization")),
    partial(Sarathi, options=SarathiOptions(chunk_size=24)),
    SplitFuse,
    SimpleChunking,
    partial(VllmV1, options=VllmV1Options(long_prefill_token_threshold=20, max_num_partial_prefills=1)),
    partial(VllmV1, options=VllmV1Options(policy="priority", long_prefill_token_threshold=9)),
    TGI,
    partial(TGI, options=TGIOptions(waiting_served_ratio=0.4, max_waiting_tokens=30)),
    LightLLM,
    partial(LightLLM, options=LightLLMOptions(router_max_wait_tokens=3, router_max_new_token_len=10)),
    informed(ShortestJobFirst, FALLIBLE),
    informed(ShortestRemaining, FALLIBLE, ShortestRemainingOptions(aging=5.0)),
    informed(ShortestRemaining, FALLIBLE, ShortestRemainingOptions(keep_kv=False, preempt_until=0.7)),
    informed(EarliestDeadline, PROMISES, DeadlineOptions(deadline="e2el")),
    informed(SkipJoinQueues, Knowledge(), QueueOptions(starve_limit_s=0.4)),
    informed(PredictedReservation, FALLIBLE),
    partial(TokenCounters, options=FairnessOptions(client="session")),
)
DROPPING = informed(SloDrop, PROMISES)
CACHES = (
    Paged,
    Token,
    PrefixCached,
    PrefixCachedToken,
    ContiguousMax,
    Buddy,
    partial(Buddy, options=BuddyOptions(reserve="oracle")),
)


@dataclass(frozen=True)
class Case:
    """One random setting; ``run`` plays it anew."""

    lengths: tuple[tuple[int, int], ...]
    gaps_ms: tuple[int, ...]
    scheduler: object
    kv_cache: object
    cost: type
    router: type
    replicas: int
    stages: int
    num_kv_tokens: int
    block_size: int
    max_num_seqs: int
    budget: int
    max_concurrency: int | None
    front_end: FrontEnd = NO_FRONT_END
    schedules_ahead: bool = False
    hash_tokens: int = 16
    most_sequences: int = 1

    def run(self, *, fast_forward: bool):
        time_s, requests = 0.0, []
        for i, ((prompt, output), gap) in enumerate(zip(self.lengths, self.gaps_ms, strict=True)):
            time_s += gap / 1000
            requests.append(Request(i, time_s, prompt, output, "x" * (i % 3)))
            requests[-1].session_id = str(i % 4)
            requests[-1].width = 1 + i % self.most_sequences
        share_prefixes(requests, self.hash_tokens, families=2)
        log = StepLog()
        engines = [
            make_engine(
                i,
                log,
                self.scheduler,
                kv_cache=self.kv_cache,
                num_kv_tokens=self.num_kv_tokens,
                block_size=self.block_size,
                limits=Limits(self.max_num_seqs, max(self.budget, self.max_num_seqs), 256),
                stages=[self.cost(OPTIONS)] * self.stages,
                fast_forward=fast_forward,
                schedules_ahead=self.schedules_ahead and self.stages == 1,
            )
            for i in range(self.replicas)
        ]
        record = play(
            requests,
            engines,
            log,
            router=self.router,
            max_concurrency=self.max_concurrency,
            front_end=self.front_end,
        )
        return record, engines


@st.composite
def cases(draw):
    scheduler = draw(st.sampled_from((*SCHEDULERS, DROPPING)))
    has_own_order = scheduler(Limits(), Paged(256, 16, 256)).has_own_order
    count = draw(st.integers(1, 25))
    length = st.tuples(st.integers(1, 150), st.integers(1, 90))
    return Case(
        lengths=tuple(draw(st.lists(length, min_size=count, max_size=count))),
        gaps_ms=tuple(draw(st.lists(st.integers(0, 400), min_size=count, max_size=count))),
        scheduler=scheduler,
        kv_cache=draw(st.sampled_from(CACHES)),
        cost=draw(st.sampled_from([LinearCost, Windowed, Kinked])),
        router=draw(st.sampled_from([RoundRobin, LeastRequests] + [CentralQueue] * (not has_own_order))),
        replicas=draw(st.integers(1, 3)),
        stages=draw(st.sampled_from([1, 1, 2, 3])),
        num_kv_tokens=draw(st.sampled_from([256, 320, 600, 4000])),
        block_size=draw(st.sampled_from([1, 4, 16])),
        max_num_seqs=draw(st.sampled_from([1, 3, 16])),
        budget=draw(st.sampled_from([16, 64, 512])),
        max_concurrency=draw(st.sampled_from([None, None, 1, 5])),
        front_end=draw(st.sampled_from([NO_FRONT_END, FrontEnd(0.004, 1e-5), FrontEnd(0.05, 2e-3)])),
        schedules_ahead=draw(st.booleans()),
        hash_tokens=draw(st.sampled_from([4, 16, 50])),
        most_sequences=draw(st.sampled_from([1, 1, 2, 4])),
    )


FOUND = Case(
    lengths=((1, 1), (1, 3), (1, 1), (1, 1), (1, 1)), gaps_ms=(0, 0, 13, 0, 0), scheduler=Static, kv_cache=Paged,
    cost=LinearCost, router=CentralQueue, replicas=2, stages=2, num_kv_tokens=600, block_size=1, max_num_seqs=1,
    budget=16, max_concurrency=None,
)  # fmt: skip
"""A case that once told fast-forward from stepping: a second micro-batch took a seat that was not there."""

OVERTAKEN = Case(
    lengths=((1, 2), (1, 3), *[(1, 1)] * 12), gaps_ms=(0,) * 14, scheduler=ChunkedPrefill, kv_cache=Paged,
    cost=LinearCost, router=RoundRobin, replicas=2, stages=1, num_kv_tokens=256, block_size=1, max_num_seqs=1,
    budget=16, max_concurrency=5, schedules_ahead=True,
)  # fmt: skip
"""Another one: a request at the very end of a run was seen before one that had come earlier."""

MANY = settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@MANY
@given(cases())
@example(FOUND)
@example(OVERTAKEN)
def test_fast_forward_equals_stepping(case):
    """The oracle: the same decisions, and times within 1e-9 relative."""
    (fast, _), (slow, _) = case.run(fast_forward=True), case.run(fast_forward=False)

    require_same(outcome(fast), outcome(slow), "fast-forward equals stepping")


@MANY
@given(cases())
def test_every_run_keeps_the_laws(case):
    """L1-L4 and token conservation, from the records; L2 and L10 at the end; L5 on a second run."""
    record, engines = case.run(fast_forward=True)

    check(record)
    ends = {"completed", "dropped"} if case.scheduler is DROPPING else {"completed"}
    assert ends >= {req.status for req in record.requests} - {"rejected"}
    assert [engine.kv.num_blocks for engine in engines] == [engine.kv.free_blocks for engine in engines]
    assert outcome(record) == outcome(case.run(fast_forward=True)[0])


@MANY
@given(cases(), st.floats(0.01, 3.0))
def test_a_run_cut_short_loses_nothing(case, until_s):
    """L1 at any moment: what is not done is ``unfinished``, and rows and requests agree on the tokens."""
    log = StepLog()
    engine = make_engine(
        0, log, case.scheduler, kv_cache=case.kv_cache, num_kv_tokens=case.num_kv_tokens,
        limits=Limits(case.max_num_seqs, 512, 256), stages=[case.cost(OPTIONS)] * case.stages,
    )  # fmt: skip
    requests = [Request(i, i * 0.05, *lengths) for i, lengths in enumerate(case.lengths)]
    record = play(requests, [engine], log, until_s=until_s)

    check(record)
    assert {"completed", "rejected", "dropped", "unfinished"} >= {req.status for req in record.requests}
