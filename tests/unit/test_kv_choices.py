"""Which KV pool a scenario gets: by layer or uniform, and what is refused."""

from __future__ import annotations

import pytest
import yaml

from llmsim.api import load, run
from llmsim.engine.kv.hybrid import Hybrid
from llmsim.engine.kv.paged import Paged
from llmsim.engine.kv.prefix import PrefixCached
from llmsim.errors import DoesNotFitError, ScenarioError
from llmsim.measure.records import StepLog
from llmsim.planning.bounds.bounds import find_bounds
from llmsim.planning.bounds.offered import draw_offered
from llmsim.sim.build import PoolPlan

SCENARIO = {
    "model": "gemma-3-27b",
    "fleet": {"accelerator": "h100-sxm", "tensor_parallel_size": 2},
    "workload": {
        "arrival": {"kind": "poisson", "request_rate": 1.0}, "input_tokens": 100, "output_tokens": 10,
        "num_requests": 20,
    },
}  # fmt: skip


EVERY = "every layer keeps every token with"


def loaded(tmp_path, engine=None, **sections):
    """The scenario with these engine keys."""
    path = tmp_path / "scenario.yaml"
    path.write_text(yaml.safe_dump(SCENARIO | {"engine": engine or {}} | sections))
    return load(path)


def pool_of(tmp_path, engine=None, **sections):
    """The KV pool of the scenario's replicas."""
    scenario = loaded(tmp_path, engine, **sections)
    return PoolPlan(scenario, scenario.scenario.fleet[0]).engine(0, StepLog(), fast_forward=True).kv


@pytest.mark.parametrize(
    ("engine", "kind"),
    [
        ({}, Hybrid),
        ({"version": "0.10.2"}, Hybrid),
        ({"version": "0.9.0"}, Paged),
        ({"name": "sglang"}, Paged),
        ({"name": "sglang", "disable_hybrid_kv_cache_manager": False}, Hybrid),
        ({"disable_hybrid_kv_cache_manager": True}, Paged),
        ({"enable_prefix_caching": True}, PrefixCached),
        ({"preemption_mode": "swap"}, Hybrid),
        ({"preemption_mode": "blocks"}, Paged),
    ],
)
def test_engines_keep_what_theirs_do(tmp_path, engine, kind):
    """vLLM from 0.10 on keeps by layer; others where they are told to; not with prefix caching."""
    assert type(pool_of(tmp_path, engine)) is kind


def test_a_model_of_full_layers_is_paged(tmp_path):
    """There is nothing to tell apart."""
    assert type(pool_of(tmp_path, model="llama-3.1-8b")) is Paged


def test_the_longest_request_is_what_the_pool_holds_by_layer(tmp_path):
    """``max_model_len: auto``: where memory is short, windows leave room for longer contexts."""
    lengths = {
        disabled: pool_of(
            tmp_path,
            {"disable_hybrid_kv_cache_manager": disabled, "gpu_memory_utilization": 0.42},
        ).max_model_len
        for disabled in (True, False)
    }

    assert lengths[False] > 3 * lengths[True]


def test_a_given_pool_is_what_it_would_hold_uniformly(tmp_path):
    """``num_kv_tokens`` is what vLLM logs as the cache's size: blocks by groups, times a block."""
    kv = pool_of(tmp_path, {"num_kv_tokens": 32_000})

    assert kv.num_blocks == 2000 * 7
    assert kv.num_tokens == 32_000


@pytest.mark.parametrize(
    ("kv_cache", "longest"),
    [
        ("paged", 8000),
        ("token", 8010),
        ("contiguous_max", 8010),
        ({"kind": "radix", "page_size": 300}, 7800),
        ({"kind": "segment", "store_tokens": 3000}, 5008),
        ({"kind": "segment", "store": "host", "store_tokens": 3000}, 8000),
    ],
)
def test_a_request_may_be_as_long_as_the_pool_in_whole_blocks(tmp_path, kv_cache, longest):
    """Orca reserves the longest output; what no pool holds it would wait for, and everybody behind it."""
    engine = {"num_kv_tokens": 8010, "kv_cache": kv_cache, "scheduler": "orca", "version": "0.9.0"}
    assert pool_of(tmp_path, engine).max_model_len == longest
    assert run(loaded(tmp_path, engine)).summary["completed"] == 20


@pytest.mark.parametrize(
    ("engine", "words"),
    [
        ({"max_model_len": 8010}, "max_model_len is 8,010 tokens, but .* can have 8,000; lower it"),
        (
            {"max_model_len": 6000, "kv_cache": {"kind": "segment", "store_tokens": 3000}},
            r"one request can have 5,008 \(3,000 are store_tokens\)",
        ),
    ],
)
def test_a_pool_too_small_is_said(tmp_path, engine, words):
    """Whole blocks count, and what segments take is gone."""
    with pytest.raises(DoesNotFitError, match=words):
        pool_of(tmp_path, {"num_kv_tokens": 8010, "version": "0.9.0"} | engine)


@pytest.mark.parametrize(
    ("engine", "words"),
    [
        ({"disable_hybrid_kv_cache_manager": False, "enable_prefix_caching": True}, EVERY),
        ({"disable_hybrid_kv_cache_manager": False, "kv_cache": "token"}, EVERY),
        ({"disable_hybrid_kv_cache_manager": False, "preemption_mode": "blocks"}, EVERY),
        (
            {"kv_cache": "radix", "preemption_mode": "blocks"},
            "blocks is what a prefix cache does anyway",
        ),
        (
            {"kv_cache": "radix", "enable_prefix_caching": True, "kv_tiers": [{"kind": "host", "size": 10}]},
            "kv_cache 'radix' has no tiers",
        ),
        (
            {"num_kv_tokens": 8000, "kv_cache": {"kind": "segment", "store_tokens": 8000}},
            "store_tokens 8000 leave nothing of the KV pool",
        ),
        ({"scheduler": "lpm"}, "lpm goes by what a prefix cache holds"),
        ({"kv_cache": {"kind": "radix", "page_size": 0}}, "page_size"),
    ],
)
def test_what_cannot_go_together_is_refused(tmp_path, engine, words):
    """With where and what to do."""
    with pytest.raises(ScenarioError, match=words):
        loaded(tmp_path, engine)


def test_bounds_do_not_count_prompts_that_a_cache_may_hold(tmp_path):
    """A fleet is not ruled out for prefill that it need not do."""
    slo = {"slo": {"ttft_ms": 60.0}, "model": "llama-3.1-8b", "fleet": {"accelerator": "h100-sxm"}}
    slo["workload"] = SCENARIO["workload"] | {
        "input_tokens": 16,
        "shared_prefix": {"tokens": 8000},
    }
    reasons = {}
    for caching in (False, True):
        scenario = loaded(tmp_path, {"enable_prefix_caching": caching}, **slo)
        reasons[caching] = find_bounds(scenario, draw_offered(scenario.scenario), 4).kind

    assert reasons == {False: "latency", True: ""}
