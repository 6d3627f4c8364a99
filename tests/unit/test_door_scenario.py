"""Scenario files: what they mean, and what is written back."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from door_scenarios import CONFIG, write_scenario

from llmsim.files.scenario_file import load_scenario
from llmsim.files.scenario_text import resolved_yaml, scenario_sha256
from llmsim.spec.serving import PolicyRef


def test_defaults_are_vllms_long_standing_ones(tmp_path: Path) -> None:
    """256 sequences, 2048 tokens, blocks of 16, 90% of memory (interface.md)."""
    path = write_scenario(tmp_path, old="  max_num_seqs: 64\n", new="  enforce_eager: false\n")
    engine = load_scenario(path).scenario.engine

    assert (256, 2048, 16, 0.9) == (
        engine.max_num_seqs,
        engine.max_num_batched_tokens,
        engine.block_size,
        engine.gpu_memory_utilization,
    )
    assert ("chunked_prefill", "paged") == (engine.scheduler.kind, engine.kv_cache.kind)


def test_a_mapping_is_one_pool(tmp_path: Path) -> None:
    """``fleet:`` is a list of pools or one pool."""
    old = "  - name: main\n    accelerator: h100-sxm\n"
    path = write_scenario(tmp_path, old=old, new="  accelerator: h100-sxm\n")

    assert ["main"] == [pool.name for pool in load_scenario(path).scenario.fleet]


def test_a_policy_is_a_name_or_a_mapping(tmp_path: Path) -> None:
    """Options that are not given are there with their defaults."""
    path = write_scenario(tmp_path, old="engine:\n", new="engine:\n  kv_cache: buddy\n")
    named = load_scenario(path).scenario.engine.kv_cache
    spelled_out = load_scenario(
        path, ["engine.kv_cache={kind: buddy, reserve: oracle}"]
    ).scenario.engine.kv_cache

    assert (PolicyRef("buddy", {"reserve": "pow2"}), PolicyRef("buddy", {"reserve": "oracle"})) == (
        named,
        spelled_out,
    )


def test_set_changes_what_the_file_says(tmp_path: Path) -> None:
    """Values are YAML; a pool is reached by number, or directly when there is one."""
    path = write_scenario(tmp_path)
    sets = ["fleet.replicas=2", "fleet.0.tensor_parallel_size=4", "slo.tpot_ms=50ms", "router=least_requests"]
    scenario = load_scenario(path, sets, seed=7, goodput=["ttft:0.2s", "e2el:9000"]).scenario

    assert (2, 4) == (scenario.fleet[0].replicas, scenario.fleet[0].tensor_parallel_size)
    assert (200.0, 50.0, 9000.0) == (scenario.slo.ttft_ms, scenario.slo.tpot_ms, scenario.slo.e2el_ms)
    assert ("least_requests", 7) == (scenario.router.kind, scenario.simulation.seed)


def test_a_pools_engine_keeps_what_it_does_not_change(tmp_path: Path) -> None:
    """Its keys go over the scenario's, not over the defaults."""
    path = write_scenario(tmp_path, old="engine:", new="    engine: {block_size: 32}\nengine:")
    scenario = load_scenario(path).scenario
    engine = scenario.engine_of(scenario.fleet[0])

    assert (32, 64) == (engine.block_size, engine.max_num_seqs)


@pytest.mark.parametrize(
    "sets",
    [
        [],
        ["fleet.engine={block_size: 32}", "slo.classes={gold: {ttft_ms: 1}}", "slo.percentile=99%"],
        ["workload.arrival={kind: gamma, request_rate: 3.5, burstiness: 1e-3}", "engine.kv_cache=buddy"],
        ["workload.input_tokens={kind: lognormal, mean: 100, std: 50, max: 1000}", "name='1e5'"],
        [
            "fleet.cost_model={kind: linear, iteration_s: 1e-5}",
            "simulation.max_duration_s=1h",
            "engine.scheduler=static",
        ],
    ],
)
def test_the_resolved_scenario_reads_back_as_the_same(tmp_path: Path, sets: list[str]) -> None:
    """Same scenario, same hash, same bytes again; in another directory too."""
    scenario = load_scenario(write_scenario(tmp_path), sets).scenario
    (tmp_path / "results").mkdir()
    copy = tmp_path / "results" / "scenario.yaml"
    copy.write_text(resolved_yaml(scenario))
    again = load_scenario(copy).scenario

    assert resolved_yaml(scenario) == resolved_yaml(again)
    assert scenario_sha256(scenario) == scenario_sha256(again)
    assert scenario.model_dump(exclude={"fleet"}) == again.model_dump(exclude={"fleet"})


def test_every_key_is_in_the_resolved_scenario(tmp_path: Path) -> None:
    """Nothing is left to a later version's defaults; what only many runs need is left out."""
    scenario = load_scenario(write_scenario(tmp_path)).scenario
    written = yaml.safe_load(resolved_yaml(scenario))

    fields = type(scenario).model_fields
    assert {"sweep", "plan"} == {name for name, field in fields.items() if field.exclude}
    assert [name for name, field in fields.items() if not field.exclude] == [*written]
    assert [*type(scenario.engine).model_fields] == [*written["engine"]]
    assert str(tmp_path / "config.json") == written["model"]["path"]


def test_the_hash_is_of_what_files_hold_not_of_where_they_are(tmp_path: Path) -> None:
    """The same scenario in two directories is one; with another model in the same place it is not."""
    one, other = tmp_path / "one", tmp_path / "other"
    one.mkdir()
    other.mkdir()
    first, second = write_scenario(one), write_scenario(other)
    same = {scenario_sha256(load_scenario(path).scenario) for path in (first, second)}
    (other / "config.json").write_text(json.dumps(CONFIG | {"num_hidden_layers": 5}))

    assert 1 == len(same)
    assert scenario_sha256(load_scenario(second).scenario) not in same


def test_the_hash_changes_with_the_seed(tmp_path: Path) -> None:
    """Two seeds are two results."""
    path = write_scenario(tmp_path)
    hashes = {scenario_sha256(load_scenario(path, seed=seed).scenario) for seed in (0, 1)}

    assert 2 == len(hashes)


def test_a_file_without_a_name_is_called_like_the_file(tmp_path: Path) -> None:
    """The name makes the results directory."""
    path = write_scenario(tmp_path, old="name: tiny\n", new="")

    assert "tiny" == load_scenario(path).scenario.name


def test_a_class_inherits_the_targets_it_leaves_out(tmp_path: Path) -> None:
    """A class may set one target and keep the others."""
    slo = load_scenario(write_scenario(tmp_path), ["slo.classes={gold: {tpot_ms: 20}}"]).scenario.slo

    assert (500.0, 20.0) == (slo.of_class("gold").ttft_ms, slo.of_class("gold").tpot_ms)
    assert (500.0, None) == (slo.of_class("other").ttft_ms, slo.of_class("other").tpot_ms)
