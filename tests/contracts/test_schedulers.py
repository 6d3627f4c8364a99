"""The built-in policies keep the contracts that third-party ones are held to."""

from __future__ import annotations

from functools import partial

from llmsim.contracts import KVCacheContract, SchedulerContract
from llmsim.engine.kv.buddy import Buddy, BuddyOptions
from llmsim.engine.kv.contiguous import ContiguousMax
from llmsim.engine.kv.paged import Paged, Token
from llmsim.engine.schedulers.chunked_prefill import ChunkedPrefill
from llmsim.engine.schedulers.dynamic import Dynamic, DynamicOptions
from llmsim.engine.schedulers.lightllm import LightLLM, LightLLMOptions
from llmsim.engine.schedulers.orca import Orca
from llmsim.engine.schedulers.sarathi import Sarathi
from llmsim.engine.schedulers.splitfuse import SplitFuse
from llmsim.engine.schedulers.static import Static, StaticOptions
from llmsim.engine.schedulers.tensorrt_llm import TensorRTLLM, TensorRTLLMOptions
from llmsim.engine.schedulers.tgi import TGI, TGIOptions
from llmsim.engine.schedulers.vllm import VllmPrefillFirst

EVERY_CACHE = (Paged, ContiguousMax, Buddy, Token)


class TestChunkedPrefill(SchedulerContract):
    scheduler = ChunkedPrefill
    kv_caches = EVERY_CACHE


class TestVllm(SchedulerContract):
    scheduler = VllmPrefillFirst
    kv_caches = EVERY_CACHE


class TestOrca(SchedulerContract):
    scheduler = Orca
    kv_caches = EVERY_CACHE


class TestStatic(SchedulerContract):
    scheduler = Static
    kv_caches = EVERY_CACHE


class TestStaticThatWaits(SchedulerContract):
    scheduler = partial(Static, options=StaticOptions(batch_size=4, batch_timeout_s=0.2, early_return=True))
    kv_caches = EVERY_CACHE


class TestDynamic(SchedulerContract):
    scheduler = partial(
        Dynamic,
        options=DynamicOptions(preferred_batch_size=[4, 16], max_queue_delay_s=0.2, latency_target_s=1.5),
    )
    kv_caches = EVERY_CACHE


class TestTensorRTLLMWithoutEviction(SchedulerContract):
    scheduler = TensorRTLLM
    kv_caches = EVERY_CACHE


class TestTensorRTLLMAtMaximumUtilization(SchedulerContract):
    scheduler = partial(
        TensorRTLLM,
        options=TensorRTLLMOptions(capacity_scheduler_policy="max_utilization", enable_chunked_context=True),
    )
    kv_caches = EVERY_CACHE


class TestSarathi(SchedulerContract):
    scheduler = Sarathi
    kv_caches = EVERY_CACHE


class TestSplitFuse(SchedulerContract):
    scheduler = SplitFuse
    kv_caches = EVERY_CACHE


class TestTGI(SchedulerContract):
    scheduler = TGI
    kv_caches = EVERY_CACHE


class TestTGIThatWaits(SchedulerContract):
    scheduler = partial(
        TGI,
        options=TGIOptions(waiting_served_ratio=0.3, max_waiting_tokens=60, max_batch_total_tokens=1200),
    )
    kv_caches = EVERY_CACHE


class TestLightLLM(SchedulerContract):
    scheduler = LightLLM
    kv_caches = EVERY_CACHE


class TestLightLLMThatPauses(SchedulerContract):
    scheduler = partial(LightLLM, options=LightLLMOptions(router_max_new_token_len=30))
    kv_caches = EVERY_CACHE


class TestPaged(KVCacheContract):
    kv_cache = Paged


class TestToken(KVCacheContract):
    kv_cache = Token


class TestContiguousMax(KVCacheContract):
    kv_cache = ContiguousMax


class TestBuddyPow2(KVCacheContract):
    kv_cache = Buddy


class TestBuddyOracle(KVCacheContract):
    kv_cache = partial(Buddy, options=BuddyOptions(reserve="oracle"))
