"""Parallel keys of a pool: what they become, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

import llmsim
from llmsim.cost.pool_plan import parallel_plan
from llmsim.cost.search import candidates
from llmsim.errors import DoesNotFitError, ScenarioError
from llmsim.files.catalog import accelerator, model
from llmsim.files.machines import machine_of
from llmsim.files.scenario_text import resolved_yaml
from llmsim.report.assumptions import assumptions

WORK = (
    "workload: {arrival: {kind: poisson, request_rate: 5}, input_tokens: 512, output_tokens: 32, "
    "num_requests: 20}\n"
)
HEXGEN = (
    "{stages: [{accelerator: a100-sxm-80gb, tensor_parallel_size: 4, layers: 48}, "
    "{accelerator: l40s, tensor_parallel_size: 2, layers: 32}]}"
)


def write(tmp_path: Path, fleet: str, served: str = "llama-3.1-70b") -> Path:
    """A scenario with that fleet."""
    path = tmp_path / "x.yaml"
    path.write_text(f"name: x\nmodel: {served}\nfleet: {fleet}\n{WORK}")
    return path


def run(tmp_path: Path, fleet: str, served: str = "llama-3.1-70b") -> llmsim.Result:
    """Its run."""
    return llmsim.run(write(tmp_path, fleet, served))


@pytest.mark.parametrize(
    ("served", "fleet", "message"),
    [
        ("llama-3.1-8b", "enable_expert_parallel: true", "is dense: it has no experts"),
        ("llama-3.1-8b", "data_parallel_size: 3, replicas: 2", "write `replicas: 6` instead"),
        ("mixtral-8x7b", "data_parallel_size: 2", "share nothing without enable_expert_parallel"),
        (
            "mixtral-8x7b",
            "data_parallel_size: 4, tensor_parallel_size: 4, enable_expert_parallel: true",
            "16 ranks .* more than the 8 experts",
        ),
        ("llama-3.1-8b", "pipeline_layers: [10, 20]", r"10 \+ 20 = 30 layers, but llama-3.1-8b has 32"),
        ("llama-3.1-8b", "pipeline_layers: [10, 22], pipeline_parallel_size: 3", "2 entries, but"),
        ("llama-3.1-8b", "pipeline_layers: [10, 22], tensor_parallel_size: auto", "auto chooses the stages"),
        ("llama-3.1-8b", "tensor_parallel_size: 3", "3 does not divide the 32 attention heads"),
        ("llama-3.1-8b", "node: dgx-a100", "'dgx-a100' holds a100-sxm-80gb, not h100-sxm"),
        ("llama-3.1-8b", "node: dgx-z9", "unknown node 'dgx-z9'"),
        ("mamba-2.8b", "prefill_context_parallel_size: 2", "has recurrent layers"),
        ("gpt-3-175b", "tensor_parallel_size: 12", "12 neither fit in a node of 8"),
    ],
)
def test_what_cannot_be_dealt_out_is_refused_at_load(
    tmp_path: Path, served: str, fleet: str, message: str
) -> None:
    """One mistake, one clear message."""
    with pytest.raises(ScenarioError, match=message) as refused:
        llmsim.load(write(tmp_path, f"{{accelerator: h100-sxm, {fleet}}}", served))

    assert 1 == len(refused.value.problems)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("layers: 32", "layers: 33", r"48 \+ 33 = 81 layers"),
        ("size: 2", "size: 3", "stages.1.tensor_parallel_size: 3 does not divide"),
        ("{accelerator: l40s", "{accelerator: l40z", "stages.1.accelerator: unknown accelerator 'l40z'"),
        ("{stages", "{node: dgx-a100, stages", "each of `stages` says its own node"),
        ("{stages", "{tensor_parallel_size: 2, stages", "each of `stages` has its own"),
        ("{stages", "{accelerator: l40s, stages", "the first of `stages` has a100-sxm-80gb"),
    ],
)
def test_an_asymmetric_pipeline_is_checked_stage_by_stage(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    """Each stage's own accelerator, degree and layers."""
    with pytest.raises(ScenarioError, match=message):
        llmsim.load(write(tmp_path, HEXGEN.replace(old, new)))


def test_an_asymmetric_pipeline_runs_and_costs_what_its_devices_cost(tmp_path: Path) -> None:
    """HexGen's form: four A100 and two L40S; the L40S, with the least room, decide the KV pool."""
    result = run(tmp_path, HEXGEN)
    (replica,) = result.record.replicas
    prices = {name: accelerator(name).usd_per_hour or 0.0 for name in ("a100-sxm-80gb", "l40s")}

    assert 20 == result.summary["completed"]
    assert {"a100-sxm-80gb": 4, "l40s": 2} == replica.accelerators
    assert replica.usd_per_hour == pytest.approx(4 * prices["a100-sxm-80gb"] + 2 * prices["l40s"])
    usable = 0.9 * accelerator("l40s").memory_bytes / 1e9
    assert replica.kv_arithmetic.startswith(f"{usable:.2f} GB usable")


def test_data_parallel_ranks_are_engines_of_their_own(tmp_path: Path) -> None:
    """Two replicas of four ranks: eight schedulers and pools, each on its own device."""
    fleet = "{accelerator: h200-sxm, replicas: 2, data_parallel_size: 4, enable_expert_parallel: true}"
    record = run(tmp_path, fleet, "mixtral-8x7b").record

    assert [1] * 8 == [replica.num_accelerators for replica in record.replicas]
    assert {"expert_all_to_all"} <= {op.name for op in record.replicas[0].stages[0].table.ops}


def test_sharing_experts_leaves_more_room_for_kv(tmp_path: Path) -> None:
    """A rank with an eighth of the experts has more memory left than one with all of them."""
    alone = run(tmp_path, "{accelerator: h200-sxm}", "mixtral-8x7b").record.replicas[0]
    shared = run(
        tmp_path,
        "{accelerator: h200-sxm, data_parallel_size: 8, enable_expert_parallel: true}",
        "mixtral-8x7b",
    ).record.replicas[0]

    assert shared.num_kv_blocks > 1.5 * alone.num_kv_blocks


def test_auto_takes_the_cheapest_plan_it_tried_and_says_so(tmp_path: Path) -> None:
    """No plan that fits costs less per token, the report has all of them, and the file still says auto."""
    path = write(tmp_path, "{accelerator: h100-sxm, tensor_parallel_size: auto}")
    result = llmsim.run(path)
    (replica,) = result.record.replicas
    again = tmp_path / "again.yaml"
    again.write_text(resolved_yaml(result.loaded.scenario))
    facts = {fact.label: fact for fact in assumptions(result.record, result.loaded)}

    assert "does not fit" in replica.plans_tried[0]  # 141 GB on one device
    assert replica.plan in replica.plan_choice
    assert replica.plans_tried[1] in facts["Plan"].source
    assert llmsim.run(again).summary == result.summary


def test_auto_keeps_a_target_that_a_cheaper_plan_misses(tmp_path: Path) -> None:
    """A token costs least on few devices; within 12 ms only many can read 141 GB of weights."""
    path = write(tmp_path, "{accelerator: h100-sxm, tensor_parallel_size: auto}")
    free = llmsim.run(path).record.replicas[0]
    bound = llmsim.run(llmsim.load(path, ["slo.tpot_ms=12"])).record.replicas[0]

    assert bound.num_accelerators > free.num_accelerators
    assert "keep the target of 12 ms TPOT" in bound.plan_choice


def test_auto_tells_when_nothing_fits(tmp_path: Path) -> None:
    """A model too large for 64 devices of 16 GB."""
    with pytest.raises(DoesNotFitError, match="does not fit"):
        run(tmp_path, "{accelerator: t4, tensor_parallel_size: auto}", "kimi-k2")


def test_the_search_keeps_what_the_pool_sets(tmp_path: Path) -> None:
    """A pipeline of two and expert parallelism are asked for: every candidate has them."""
    fleet = (
        "{accelerator: h100-sxm, tensor_parallel_size: auto, pipeline_parallel_size: 2, "
        "enable_expert_parallel: true}"
    )
    loaded = llmsim.load(write(tmp_path, fleet, "mixtral-8x7b"))
    plan = parallel_plan(loaded.scenario.fleet[0])
    found = list(candidates(model("mixtral-8x7b"), plan, machine_of(accelerator("h100-sxm")), 16))

    assert [1, 2, 4, 8] == [one.tensor_parallel_size for one in found]
    assert all(one.pipeline_parallel_size == 2 and one.enable_expert_parallel for one in found)


def test_what_is_not_known_of_a_machine_is_said_to_be_assumed() -> None:
    """A node entry is cited; an accelerator without one has an assumed server."""
    assert "" == machine_of(accelerator("h100-sxm")).assumed
    assert 4 == machine_of(accelerator("t4"), "g4dn.12xlarge").num_devices
    assert "ethernet-100g" in machine_of(accelerator("rtx-5090")).assumed
    assert 256 == machine_of(accelerator("tpu-v5e")).num_devices
