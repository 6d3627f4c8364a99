"""Bounds are never wrong: what they rule out misses its targets in the simulator."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmsim.cost.roofline import build_stages
from llmsim.files.catalog import accelerator, model
from llmsim.files.scenario_file import LoadedScenario
from llmsim.measure.slo import targets_missed
from llmsim.measure.summary import summarise
from llmsim.planning.bounds import Bounds, draw_offered, find_bounds
from llmsim.planning.bounds.iterations import Iterations, Limits
from llmsim.planning.bounds.work import prices
from llmsim.sim.run import simulate
from llmsim.spec.scenario import Scenario

LINE = {
    "kind": "linear",
    "iteration_s": 4e-3,
    "per_token_s": 2e-5,
    "per_sequence_s": 1e-5,
    "per_prefill_pair_s": 2e-9,
    "per_decode_kv_token_s": 4e-8,
}


def loaded_of(**keys: Any) -> LoadedScenario:
    """A small scenario on one pool; ``keys`` are its sections."""
    shape = model("llama-3.1-8b")
    scenario = Scenario.model_validate({"model": {"name": "llama-3.1-8b"}} | keys)
    return LoadedScenario(scenario, Path("a.yaml"), Path(), shape)


def bounds_of(loaded: LoadedScenario) -> Bounds:
    return find_bounds(loaded, draw_offered(loaded.scenario), 100)


def missed(loaded: LoadedScenario) -> list[str]:
    """What the simulator says of the targets."""
    summary = summarise(simulate(loaded), loaded.scenario, sha256="", version="")
    return targets_missed(summary, loaded.scenario.slo)


@st.composite
def scenarios(draw: st.DrawFn) -> dict[str, Any]:
    """One pool near its limits: targets around what a request alone takes, load around what it can do."""
    scheduler = draw(st.sampled_from(["chunked_prefill", "vllm", "orca", "static"]))
    stages = draw(st.sampled_from([1, 1, 2]))
    seats = draw(st.sampled_from([1, 3, 16]))
    cost_model = draw(st.sampled_from([LINE, LINE, {"kind": "roofline"}]))
    arrival = draw(
        st.sampled_from(
            [
                {"kind": "burst"},
                {"kind": "poisson", "request_rate": 20.0},
                {"kind": "poisson", "request_rate": 3.0},
                {"kind": "gamma", "request_rate": 8.0, "burstiness": 0.2},
                {"kind": "closed", "max_concurrency": 4},
            ]
        )
    )
    targets = {
        "ttft_ms": draw(st.sampled_from([None, 8.0, 30.0, 200.0, 1000.0])),
        "tpot_ms": draw(st.sampled_from([None, 3.0, 6.0, 9.0, 40.0])),
        "e2el_ms": draw(st.sampled_from([None, 100.0, 500.0, 2000.0])),
        "itl_ms": draw(st.sampled_from([None, None, 4.0, 8.0])),
        "percentile": draw(st.sampled_from([1.0, 0.9, 0.5])),
    }
    engine = {
        "scheduler": scheduler,
        "max_num_seqs": seats,
        "max_num_batched_tokens": draw(st.sampled_from([32, 256])),
        "max_model_len": 600,
        "num_kv_tokens": draw(st.sampled_from([640, 1300, 9000])),
        "kv_cache": draw(st.sampled_from(["paged", "contiguous_max", "buddy", "token"])),
    }
    workload = {
        "arrival": arrival,
        "input_tokens": {"kind": "uniform", "min": 1, "max": draw(st.sampled_from([20, 300, 580]))},
        "output_tokens": {"kind": "uniform", "min": 1, "max": draw(st.sampled_from([1, 20, 120]))},
        "num_requests": draw(st.integers(1, 40)),
        "cached_input_tokens": draw(st.sampled_from([0, 0, 0.5])),
    }
    if arrival["kind"] != "closed":
        workload["max_concurrency"] = draw(st.sampled_from([None, None, 3]))
    pool = {
        "accelerator": "h100-sxm",
        "replicas": draw(st.integers(1, 4)),
        "pipeline_parallel_size": stages,
        "cost_model": cost_model,
    }
    return {
        "fleet": pool,
        "engine": engine,
        "workload": workload,
        "slo": targets,
        "simulation": {"seed": draw(st.integers(0, 5))},
        "router": draw(st.sampled_from(["round_robin", "least_requests"])),
    }


@settings(max_examples=60, deadline=None)
@given(scenarios())
def test_nothing_that_is_ruled_out_would_have_passed(keys):
    """The property that branch and bound rests on."""
    loaded = loaded_of(**keys)

    bounds = bounds_of(loaded)

    if bounds.kind or bounds.least_replicas > loaded.scenario.fleet[0].replicas:
        assert missed(loaded), f"{bounds} ruled out what meets its targets"


@settings(max_examples=30, deadline=None)
@given(
    name=st.sampled_from(["llama-3.1-8b", "mixtral-8x7b", "deepseek-v3"]),
    tp=st.sampled_from([1, 8]),
    seats=st.integers(1, 64),
    most=st.integers(64, 700),
    draws=st.data(),
)
def test_no_iteration_is_cheaper_than_its_charges(name, tp, seats, most, draws):
    """Dual feasibility: at every choice of prices, no batch the limits allow costs less than it is charged."""
    (stage,) = build_stages(model(name), accelerator("h100-sxm"), tensor_parallel_size=tp)
    floor = stage.floor()
    assert floor is not None
    decodes = draws.draw(st.integers(0, seats))
    prompt = draws.draw(st.integers(0 if decodes else 1, most - decodes))
    chunks = 1 if prompt else 0
    if decodes + chunks > seats:
        return
    kv_tokens = draws.draw(st.integers(decodes, 50_000))

    limits = Limits(draws.draw(st.sampled_from([most, None])), seats, 50_000)
    seconds = stage.tokens_s(prompt + decodes, decodes + chunks, decodes + chunks)

    sequences = decodes + chunks
    for offer in prices(Iterations(stage, floor, limits)):
        extra = prompt + decodes - sequences
        charged = offer.sequence_s * sequences + offer.token_s * extra + offer.kv_s * kv_tokens
        assert charged <= seconds * (1 + 1e-9)


@pytest.mark.parametrize("name", ["llama-3.1-8b", "mixtral-8x7b", "deepseek-v3", "gemma-2-27b"])
def test_attention_is_never_cheaper_than_its_floor(name):
    """Prompts cut in any way, and decodes of any batch."""
    (stage,) = build_stages(model(name), accelerator("h100-sxm"), tensor_parallel_size=8)
    floor = stage.floor()
    assert floor is not None
    for cuts in ([5000], [4999, 1], [128] * 39 + [8], [1] * 300 + [4700]):
        done, seconds = 70, 0.0
        for size in cuts:
            seconds += stage.chunk_s(size, done)
            done += size
        assert floor.prompt_s(5000, 70) <= seconds
    for sequences, context in ((1, 1), (7, 300), (256, 9000)):
        reads = [sequences * span.read(context) for span in stage.spans]
        seconds = stage.decode_line(sequences, reads, [0] * len(reads)).first_s
        for per_sequence, slopes in floor.read_planes:
            least = per_sequence * sequences + sum(a * b for a, b in zip(slopes, reads, strict=True))
            assert least <= seconds * (1 + 1e-12)


def line_scenario(**keys: Any) -> LoadedScenario:
    """An iteration takes 10 ms, whatever is in it."""
    pool = {"accelerator": "h100-sxm", "cost_model": {"kind": "linear", "iteration_s": 0.01}}
    engine = {"max_num_seqs": 10, "num_kv_tokens": 100_000, "max_model_len": 1000}
    return loaded_of(fleet=pool, engine=engine, **keys)


def test_the_work_bound_is_exact_where_the_best_of_batching_is_what_happens():
    """100 requests take 11 of 10 seats' iterations each: 1.1 s of one engine, and the bound asks for no more."""
    workload = {"arrival": {"kind": "burst"}, "input_tokens": 1, "output_tokens": 11, "num_requests": 100}

    for ms, replicas in {110: 10, 500: 3, 1000: 2, 1100: 1}.items():
        loaded = line_scenario(workload=workload, slo={"e2el_ms": ms})
        pools = [loaded.scenario.fleet[0].model_copy(update={"replicas": replicas})]
        enough = replace(loaded, scenario=loaded.scenario.model_copy(update={"fleet": pools}))

        assert replicas == bounds_of(loaded).least_replicas
        assert [] == missed(enough)


def test_the_latency_floor_is_exact_for_a_request_alone():
    """TPOT of 10 ms passes; of 9.9 ms nothing helps, and the bound says so before any run."""
    workload = {"arrival": {"kind": "burst"}, "input_tokens": 1, "output_tokens": 11, "num_requests": 1}

    slow, fine = (bounds_of(line_scenario(workload=workload, slo={"tpot_ms": ms})) for ms in (9.9, 10.0))

    assert "latency" == slow.kind
    assert "100.0% of the requests miss TPOT even alone" in slow.reason
    assert pytest.approx(10.0 / 9.9) == slow.excess
    assert Bounds() == fine


def test_a_target_for_some_lets_the_dearest_go():
    """Half of the requests may miss: half of the work is asked for."""
    workload = {"arrival": {"kind": "burst"}, "input_tokens": 1, "output_tokens": 11, "num_requests": 100}

    half = bounds_of(line_scenario(workload=workload, slo={"e2el_ms": 110, "percentile": 0.5}))

    assert 5 == half.least_replicas


def test_what_is_not_covered_is_not_judged():
    """A pool that changes, several pools, a run cut off, users or a client who wait: no bound on replicas."""
    workload = {"arrival": {"kind": "burst"}, "input_tokens": 1, "output_tokens": 11, "num_requests": 100}
    pool = {"accelerator": "h100-sxm", "cost_model": {"kind": "linear", "iteration_s": 0.01}}
    keys = {
        "workload": workload,
        "slo": {"e2el_ms": 110},
        "engine": {"max_num_seqs": 1, "num_kv_tokens": 9999},
    }
    scaled = pool | {"autoscale": {"policy": "queue", "max_replicas": 4}}
    closed = workload | {"arrival": {"kind": "closed", "max_concurrency": 100}}
    limited = workload | {"max_concurrency": 1}

    for changed in (
        {"fleet": scaled},
        {"fleet": [pool | {"name": "a"}, pool | {"name": "b"}]},
        {"fleet": pool, "simulation": {"max_duration_s": 1.0}},
        {"fleet": pool, "workload": closed},
        {"fleet": pool, "workload": limited},
    ):
        bounds = bounds_of(loaded_of(**(keys | changed)))
        assert ("", 1) == (bounds.kind, bounds.least_replicas)


def test_a_model_that_does_not_fit_is_ruled_out_in_words():
    """The reason is the arithmetic of the memory."""
    shape = model("llama-3.1-70b")
    workload = {"arrival": {"kind": "burst"}, "input_tokens": 1, "output_tokens": 11, "num_requests": 1}
    keys = {"model": {"name": "llama-3.1-70b"}, "fleet": {"accelerator": "l4"}, "workload": workload}

    bounds = bounds_of(LoadedScenario(Scenario.model_validate(keys), Path("a.yaml"), Path(), shape))

    assert "memory" == bounds.kind
    assert "does not fit" in bounds.reason
