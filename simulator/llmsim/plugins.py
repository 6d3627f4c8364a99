"""The kinds of plug-in a scenario names, and where the built-in ones live.

Each class may carry ``Options``, a strict model of the keys a scenario may give beside ``kind``.
Naming a plug-in imports it; listing names imports nothing.
"""

from __future__ import annotations

import sys
import traceback
from pathlib import Path
from types import ModuleType
from typing import Any

from llmsim.errors import Problem, UserError
from llmsim.registry import Registry

SCHEDULERS: Registry[Any] = Registry(
    "scheduler",
    {
        "static": "llmsim.engine.schedulers.static:Static",
        "dynamic": "llmsim.engine.schedulers.dynamic:Dynamic",
        "orca": "llmsim.engine.schedulers.orca:Orca",
        "vllm": "llmsim.engine.schedulers.vllm:VllmPrefillFirst",
        "chunked_prefill": "llmsim.engine.schedulers.chunked_prefill:ChunkedPrefill",
        "simple_chunking": "llmsim.engine.schedulers.simple_chunking:SimpleChunking",
        "sjf": "llmsim.engine.schedulers.sjf:ShortestJobFirst",
        "srpt": "llmsim.engine.schedulers.srpt:ShortestRemaining",
        "edf": "llmsim.engine.schedulers.edf:EarliestDeadline",
        "slo_drop": "llmsim.engine.schedulers.slo_drop:SloDrop",
        "mlfq": "llmsim.engine.schedulers.mlfq:SkipJoinQueues",
        "vllm_v1": "llmsim.engine.schedulers.vllm_v1:VllmV1",
        "tensorrt_llm": "llmsim.engine.schedulers.tensorrt_llm:TensorRTLLM",
        "priority": "llmsim.engine.schedulers.priority:Priority",
        "sarathi": "llmsim.engine.schedulers.sarathi:Sarathi",
        "tgi": "llmsim.engine.schedulers.tgi:TGI",
        "lightllm": "llmsim.engine.schedulers.lightllm:LightLLM",
        "splitfuse": "llmsim.engine.schedulers.splitfuse:SplitFuse",
        "s3": "llmsim.engine.schedulers.s3:PredictedReservation",
        "vtc": "llmsim.engine.schedulers.vtc:TokenCounters",
        "lpm": "llmsim.engine.schedulers.lpm:LongestPrefix",
    },
    group="llmsim.schedulers",
)

PREDICTORS: Registry[Any] = Registry(
    "predictor",
    {
        "none": "llmsim.engine.predictors.certain:Nothing",
        "oracle": "llmsim.engine.predictors.certain:Oracle",
        "buckets": "llmsim.engine.predictors.buckets:Buckets",
        "regression": "llmsim.engine.predictors.regression:Regression",
    },
    group="llmsim.predictors",
)

KV_CACHES: Registry[Any] = Registry(
    "KV cache",
    {
        "contiguous_max": "llmsim.engine.kv.contiguous:ContiguousMax",
        "buddy": "llmsim.engine.kv.buddy:Buddy",
        "paged": "llmsim.engine.kv.paged:Paged",
        "token": "llmsim.engine.kv.paged:Token",
        "radix": "llmsim.engine.kv.radix:Radix",
        "segment": "llmsim.engine.kv.segments:SegmentReuse",
    },
    group="llmsim.kv_caches",
)

PREFIX_CACHES: Registry[Any] = Registry(
    "KV cache with prefix caching",
    {
        "paged": "llmsim.engine.kv.prefix:PrefixCached",
        "token": "llmsim.engine.kv.prefix:PrefixCachedToken",
        "radix": "llmsim.engine.kv.radix:Radix",
    },
    group="llmsim.prefix_caches",
)
"""KV caches by the name they have without it: what ``enable_prefix_caching`` makes of them."""

PREEMPTION_MODES: Registry[Any] = Registry(
    "preemption mode",
    {
        "recompute": "llmsim.engine.preemption.recompute:Recompute",
        "swap": "llmsim.engine.preemption.swap:Swap",
        "blocks": "llmsim.engine.preemption.blocks:Blocks",
    },
    group="llmsim.preemption_modes",
)

HYBRID_CACHES: Registry[Any] = Registry(
    "KV cache by groups of layers", {"paged": "llmsim.engine.kv.hybrid:Hybrid"}, group="llmsim.hybrid_caches"
)
"""KV caches by their usual name: what becomes of them where a model's layers keep different amounts."""

TIERED_CACHES: Registry[Any] = Registry(
    "KV cache with tiers",
    {
        "paged": "llmsim.engine.kv.tiered:Tiered",
        "token": "llmsim.engine.kv.tiered:TieredToken",
    },
    group="llmsim.tiered_caches",
)
"""Prefix caches by the name they have without tiers: what ``kv_tiers`` make of them."""

ROUTERS: Registry[Any] = Registry(
    "router",
    {
        "round_robin": "llmsim.sim.routers:RoundRobin",
        "random": "llmsim.sim.routers:RandomChoice",
        "least_requests": "llmsim.sim.routers:LeastRequests",
        "least_tokens": "llmsim.sim.routers:LeastTokens",
        "power_of_two": "llmsim.sim.routers:PowerOfTwo",
        "prefix_affinity": "llmsim.sim.routers:PrefixAffinity",
        "session_affinity": "llmsim.sim.routers:SessionAffinity",
        "weighted": "llmsim.sim.routers:Weighted",
        "central_queue": "llmsim.sim.routers:CentralQueue",
    },
    group="llmsim.routers",
)

AUTOSCALERS: Registry[Any] = Registry(
    "autoscaler",
    {
        "queue": "llmsim.sim.autoscalers:Queue",
        "kv_usage": "llmsim.sim.autoscalers:KVUsage",
        "slo": "llmsim.sim.autoscalers:SloAttainment",
        "target_tracking": "llmsim.sim.autoscalers:TargetTracking",
        "scheduled": "llmsim.sim.autoscalers:Scheduled",
        "forecast": "llmsim.sim.autoscalers:Forecast",
    },
    group="llmsim.autoscalers",
)

RECLAIMS: Registry[Any] = Registry(
    "reclaim policy",
    {
        "restart": "llmsim.sim.reclaims.restart:Restart",
        "drain": "llmsim.sim.reclaims.restart:Drain",
        "migrate": "llmsim.sim.reclaims.migrate:Migrate",
        "reparallelize": "llmsim.sim.reparallel.policies:Reparallelize",
        "reroute": "llmsim.sim.reparallel.policies:Reroute",
    },
    group="llmsim.reclaims",
)

COST_MODELS: Registry[Any] = Registry(
    "cost model",
    {
        "roofline": "llmsim.cost.roofline:RooflineCost",
        "linear": "llmsim.cost.linear:LinearCost",
        "table": "llmsim.cost.layer_table:TableCost",
    },
    group="llmsim.cost_models",
)

EXPORTS: Registry[Any] = Registry(
    "export format",
    {
        "vllm-bench": "llmsim.report.exports.vllm_bench:VllmBench",
        "aiperf": "llmsim.report.exports.aiperf:Aiperf",
        "llm-d": "llmsim.report.exports.llm_d:LlmD",
    },
    group="llmsim.exports",
)


def load_plugin_file(path: Path) -> None:
    """Runs a Python file, so that it may register classes of its own.

    Raises:
        UserError: There is no such file, or running it fails; the message says in which line.
    """
    if not path.is_file():
        raise UserError(Problem(str(path), "no such plug-in file"))
    run_plugin(path, path.read_bytes())


def run_plugin(path: Path, content: bytes) -> None:
    """Runs the ``content`` of a plug-in file. Raises UserError where that fails, with the line."""
    name = f"llmsim_plugin_{path.stem}"
    module = sys.modules[name] = ModuleType(name)
    module.__file__ = str(path)
    try:
        exec(compile(content, str(path), "exec"), module.__dict__)
    except (Exception, SystemExit) as error:
        raise UserError(
            Problem(f"{path}:{_line(error, path)}", f"{type(error).__name__}: {error}")
        ) from error


def _line(error: BaseException, path: Path) -> int:
    """The line of ``path`` that ``error`` comes from."""
    if isinstance(error, SyntaxError):
        return error.lineno or 1
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if Path(frame.filename) == path]
    return (frames[-1].lineno or 1) if frames else 1
