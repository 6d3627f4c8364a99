"""The built-in policies keep the contracts that third-party ones are held to."""

from __future__ import annotations

from functools import partial

import pytest

from llmsim.contracts import PREEMPTION_MODES, KVCacheContract, SchedulerContract, informed, preempting
from llmsim.cost.kv_layout import KVGroups, KVLayout
from llmsim.engine.knowledge import Knowledge
from llmsim.engine.kv.buddy import Buddy, BuddyOptions
from llmsim.engine.kv.contiguous import ContiguousMax
from llmsim.engine.kv.hybrid import Hybrid
from llmsim.engine.kv.paged import Paged, Token
from llmsim.engine.kv.prefix import PrefixCached, PrefixCachedToken
from llmsim.engine.kv.radix import Radix, RadixOptions
from llmsim.engine.kv.segments import SegmentOptions, SegmentReuse
from llmsim.engine.predictors.buckets import BucketOptions, Buckets
from llmsim.engine.predictors.certain import Oracle
from llmsim.engine.predictors.regression import Regression, RegressionOptions
from llmsim.engine.schedulers.chunked_prefill import ChunkedPrefill
from llmsim.engine.schedulers.dynamic import Dynamic, DynamicOptions
from llmsim.engine.schedulers.edf import DeadlineOptions, EarliestDeadline
from llmsim.engine.schedulers.lightllm import LightLLM, LightLLMOptions
from llmsim.engine.schedulers.lpm import LongestPrefix
from llmsim.engine.schedulers.mlfq import QueueOptions, SkipJoinQueues
from llmsim.engine.schedulers.orca import Orca
from llmsim.engine.schedulers.priority import Priority, PriorityOptions
from llmsim.engine.schedulers.s3 import PredictedReservation, ReservationOptions
from llmsim.engine.schedulers.sarathi import Sarathi
from llmsim.engine.schedulers.simple_chunking import SimpleChunking
from llmsim.engine.schedulers.sjf import ShortestJobFirst
from llmsim.engine.schedulers.slo_drop import DropOptions, SloDrop
from llmsim.engine.schedulers.splitfuse import SplitFuse
from llmsim.engine.schedulers.srpt import ShortestRemaining, ShortestRemainingOptions
from llmsim.engine.schedulers.static import Static, StaticOptions
from llmsim.engine.schedulers.tensorrt_llm import TensorRTLLM, TensorRTLLMOptions
from llmsim.engine.schedulers.tgi import TGI, TGIOptions
from llmsim.engine.schedulers.vllm import VllmPrefillFirst
from llmsim.engine.schedulers.vllm_v1 import VllmV1, VllmV1Options
from llmsim.engine.schedulers.vtc import FairnessOptions, TokenCounters
from llmsim.spec.targets import Targets

BY_LAYER = partial(Hybrid, layout=KVLayout((KVGroups(1, 32), KVGroups(3, 16, 100), KVGroups(1, 0)), 512))
EVERY_CACHE = (Paged, ContiguousMax, Buddy, Token)


class TestChunkedPrefill(SchedulerContract):
    scheduler = ChunkedPrefill
    kv_caches = EVERY_CACHE


class TestSimpleChunking(SchedulerContract):
    scheduler = SimpleChunking
    kv_caches = (Paged, Buddy)


class TestVllm(SchedulerContract):
    scheduler = VllmPrefillFirst
    kv_caches = EVERY_CACHE


class TestOrca(SchedulerContract):
    scheduler = Orca
    kv_caches = (*EVERY_CACHE, BY_LAYER)


class TestStatic(SchedulerContract):
    scheduler = Static
    kv_caches = EVERY_CACHE


class TestStaticThatWaits(SchedulerContract):
    scheduler = partial(Static, options=StaticOptions(batch_size=4, batch_timeout_s=0.2, early_return=True))
    kv_caches = EVERY_CACHE


ORACLE = Knowledge(Oracle(900))
FALLIBLE = Knowledge(Regression(900, seed=3, options=RegressionOptions(spread=1.0)))
IN_BUCKETS = Knowledge(Buckets(900, seed=3, options=BucketOptions(preset="s3-pile")))


class TestShortestJob(SchedulerContract):
    scheduler = informed(ShortestJobFirst, FALLIBLE)
    kv_caches = (Paged, ContiguousMax)


class TestShortestJobWithoutPredictor(SchedulerContract):
    scheduler = ShortestJobFirst


class TestShortestRemaining(SchedulerContract):
    scheduler = informed(ShortestRemaining, ORACLE)
    kv_caches = EVERY_CACHE


class TestShortestRemainingThatErrs(SchedulerContract):
    scheduler = informed(ShortestRemaining, FALLIBLE, ShortestRemainingOptions(keep_kv=False, aging=10.0))
    kv_caches = (Paged, Token)


class TestShortestRemainingOfTrail(SchedulerContract):
    scheduler = informed(ShortestRemaining, IN_BUCKETS, ShortestRemainingOptions(preempt_until=0.5))


PROMISES = Knowledge(
    Oracle(900),
    {"chat": Targets(ttft_ms=1500, e2el_ms=6000), "code": Targets(ttft_ms=400), "batch": Targets()}.get,
)


class TestEarliestDeadline(SchedulerContract):
    scheduler = informed(EarliestDeadline, PROMISES)


class TestEarliestDeadlineOfTheLastToken(SchedulerContract):
    scheduler = informed(EarliestDeadline, PROMISES, DeadlineOptions(deadline="e2el", preempt=False))


class TestSloDrop(SchedulerContract):
    scheduler = informed(SloDrop, PROMISES)


class TestSloDropByDeadline(SchedulerContract):
    scheduler = informed(SloDrop, PROMISES, DropOptions(deadline="e2el", order="deadline", preempt=True))


class TestPriority(SchedulerContract):
    scheduler = partial(Priority, options=PriorityOptions(priorities={"chat": 0, "code": 1, "batch": 2}))


class TestPriorityThatRecomputes(SchedulerContract):
    scheduler = partial(Priority, options=PriorityOptions(priorities={"chat": -1}, keep_kv=False))


class TestSkipJoinQueues(SchedulerContract):
    scheduler = SkipJoinQueues


class TestSkipJoinQueuesThatRecompute(SchedulerContract):
    scheduler = partial(
        SkipJoinQueues,
        options=QueueOptions(keep_kv=False, skip_join=False, starve_limit_s=0.5, quantum_ms=20.0),
    )


class TestSkipJoinQueuesThatSwapAhead(SchedulerContract):
    scheduler = partial(SkipJoinQueues, options=QueueOptions(swap="proactive", idle_cache=0.2))
    kv_caches = tuple(
        preempting(kv_cache, PREEMPTION_MODES[0]) for kv_cache in (Paged, PrefixCached, BY_LAYER)
    )


class TestS3(SchedulerContract):
    scheduler = informed(PredictedReservation, IN_BUCKETS)
    kv_caches = (Paged, Token)


class TestS3ThatErrs(SchedulerContract):
    scheduler = informed(PredictedReservation, FALLIBLE, ReservationOptions(order="longest"))


class TestS3WithoutPredictor(SchedulerContract):
    scheduler = PredictedReservation


class TestTokenCounters(SchedulerContract):
    scheduler = TokenCounters
    kv_caches = (Paged, Buddy)


class TestTokenCountersOfSessions(SchedulerContract):
    scheduler = partial(TokenCounters, options=FairnessOptions(client="session", shares={"1": 3.0}))


class Cheating(ShortestJobFirst):
    """Reads the length instead of asking its predictor."""

    def rank(self, req, generated):
        return req.output_tokens


class CheatingByLimit(ShortestJobFirst):
    """Reads the same number under its other name."""

    def rank(self, req, generated):
        return req.stop_at


@pytest.mark.parametrize("cheat", [Cheating, CheatingByLimit])
def test_the_contract_finds_out_who_reads_lengths(cheat):
    contract = type("Contract", (SchedulerContract,), {"scheduler": cheat})()

    with pytest.raises(AssertionError, match="L7"):
        contract.test_lengths_are_never_read()


class TestDynamic(SchedulerContract):
    scheduler = partial(
        Dynamic,
        options=DynamicOptions(preferred_batch_size=[4, 16], max_queue_delay_s=0.2, latency_target_s=1.5),
    )


class TestVllmV1(SchedulerContract):
    scheduler = partial(
        VllmV1, options=VllmV1Options(long_prefill_token_threshold=100, max_num_partial_prefills=2)
    )


class TestVllmV1ByPriority(SchedulerContract):
    scheduler = partial(
        VllmV1,
        options=VllmV1Options(
            policy="priority", priorities={"chat": -1, "batch": 5}, long_prefill_token_threshold=64
        ),
    )


class TestTensorRTLLMWithoutEviction(SchedulerContract):
    scheduler = TensorRTLLM


class TestTensorRTLLMAtMaximumUtilization(SchedulerContract):
    scheduler = partial(
        TensorRTLLM,
        options=TensorRTLLMOptions(capacity_scheduler_policy="max_utilization", enable_chunked_context=True),
    )


class TestSarathi(SchedulerContract):
    scheduler = Sarathi


class TestSplitFuse(SchedulerContract):
    scheduler = SplitFuse


class TestTGI(SchedulerContract):
    scheduler = TGI


class TestTGIThatWaits(SchedulerContract):
    scheduler = partial(
        TGI,
        options=TGIOptions(waiting_served_ratio=0.3, max_waiting_tokens=60, max_batch_total_tokens=1200),
    )


class TestLightLLM(SchedulerContract):
    scheduler = LightLLM
    kv_caches = (Token,)


class TestLightLLMThatPauses(SchedulerContract):
    scheduler = partial(LightLLM, options=LightLLMOptions(router_max_new_token_len=30))


class TestPaged(KVCacheContract):
    kv_cache = Paged


class TestToken(KVCacheContract):
    kv_cache = Token


class TestPrefixCached(KVCacheContract):
    kv_cache = PrefixCached


class TestPrefixCachedToken(KVCacheContract):
    kv_cache = PrefixCachedToken


class TestContiguousMax(KVCacheContract):
    kv_cache = ContiguousMax


class TestBuddyPow2(KVCacheContract):
    kv_cache = Buddy


class TestBuddyOracle(KVCacheContract):
    kv_cache = partial(Buddy, options=BuddyOptions(reserve="oracle"))


class TestHybrid(KVCacheContract):
    kv_cache = BY_LAYER


class TestRadix(KVCacheContract):
    kv_cache = partial(Radix, options=RadixOptions(page_size=4))


class TestLongestPrefix(SchedulerContract):
    scheduler = LongestPrefix
    kv_caches = (PrefixCached,)


class TestSegmentReuse(KVCacheContract):
    kv_cache = partial(SegmentReuse, options=SegmentOptions(store="host"))
