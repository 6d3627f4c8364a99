"""Fleets that change and cannot work: told at their key, before anything runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from llmsim.errors import UserError
from llmsim.files.scenario_file import load_scenario

SCENARIO = """\
model: llama-3.1-8b
fleet:
  - name: a
    accelerator: a100-sxm-80gb
    replicas: 2
workload: {arrival: {kind: poisson, request_rate: 1}, input_tokens: 10, output_tokens: 10, num_requests: 5}
"""
SPOT = "spot: {hazard: {reclaims_per_instance_hour: 1, mean_outage_s: 60, zones: [x, y]}"
MESH = (
    "spot: {hazard: {reclaims_per_instance_hour: 1, mean_outage_s: 60}, "
    "on_reclaim: {kind: reparallelize, request_rate: 1}"
)


def problems(tmp_path: Path, pool: str, rest: str = "") -> list[str]:
    """What is wrong with the scenario with ``pool`` added to its pool, and ``rest`` to its end."""
    path = tmp_path / "fleet.yaml"
    path.write_text(SCENARIO.replace("replicas: 2", f"replicas: 2\n    {pool}") + rest)
    try:
        load_scenario(path)
    except UserError as error:
        return [str(problem).removeprefix(f"{path}:") for problem in error.problems]
    return []


@pytest.mark.parametrize(
    ("pool", "rest", "message"),
    [
        (SPOT + ", on_reclaim: migrate}", "", "fleet.0.spot.on_reclaim: zones 'x' and 'y' exchange data, and no link"),
        (
            SPOT + "}\n    provisioning: {weights_from: peer}",
            "",
            "fleet.0.provisioning.weights_from: zones 'x' and 'y' exchange data",
        ),
        (
            SPOT + "}\n    provisioning: {weights_from: hub}",
            "topology: {zones: [x, y, z], storage: [{name: hub, kind: object_store, zone: z}],"
            " links: [{between: [x, z], bandwidth: 10Gb/s}]}",
            "fleet.0.provisioning.weights_from: zones 'y' and 'z' exchange data",
        ),
        (
            "failures: [{at_s: 1, repair_s: 1}]\n    provisioning: {weights_from: hub}",
            "topology: {zones: [x, z], storage: [{name: hub, kind: object_store, zone: z}]}",
            "fleet.0.provisioning.weights_from: zones 'x' and 'z' exchange data",
        ),
        (SPOT + "}", "topology: {zones: [x, z]}", "fleet.0.spot.hazard.zones: unknown zone 'y'; known: x, z"),
        (SPOT + "}\n    zone: z", "", "fleet.0.zone: no replica is ever in 'z': spot capacity is in x, y"),
        ("provisioning: {weights_from: disc}", "", "weights_from: no storage is called 'disc'; did you mean 'disk'?"),
        (SPOT + "}\n    failures: [{at_s: 1, repair_s: 1}]", "", "failures: a spot pool loses instances by its"),
        (
            "failures: [{at_s: 1, repair_s: 1, instances: 3}]",
            "",
            "3 cannot crash: the pool has 2 × a replica's devices; lower it",
        ),
        (SPOT + ", on_reclaim: migrate}", "", "write topology.zones: [x, y, …], and add to"),
        (
            MESH + "}\n    role: decode\n  - {name: b, role: prefill, accelerator: l4}",
            "",
            "fleet.0.role: reparallelize works for pools that prefill and decode",
        ),
        (MESH + ", num_overprovision: 1}", "", "spot.num_overprovision: reparallelize takes every spot instance"),
        ("spot: {trace: t.csv, name: [a, a]}", "", "a trace is named twice in `name`"),
        (
            "role: prefill\n  - {name: b, role: decode, accelerator: l4}",
            "disaggregation: {router: session_affinity}",
            "disaggregation.router: session_affinity goes by sessions, and the workload has none",
        ),
        ("failures: [{at_s: 1}]", "", "fleet.0.failures.0.repair_s: required, but missing"),
    ],
)  # fmt: skip
def test_one_clear_message(tmp_path: Path, pool: str, rest: str, message: str) -> None:
    """At the key to change, with what to do."""
    [problem] = problems(tmp_path, pool, rest)

    assert message in problem


@pytest.mark.parametrize(
    ("pool", "rest"),
    [
        (SPOT + "}", ""),
        (SPOT + ", on_reclaim: drain}", "topology: {zones: [x, y]}"),
        (
            SPOT + ", on_reclaim: migrate}",
            "topology: {zones: [x, y], links: [{between: [x, y], bandwidth: 1Gb/s}]}",
        ),
        (SPOT + ", dynamic_ondemand_fallback: true}\n    zone: z", ""),
        (SPOT.replace("x, y", "x") + ", on_reclaim: migrate}\n    zone: z", "topology: {zones: [y, z]}"),
        ("failures: [{at_s: 1, repair_s: 1, instances: 2}]", ""),
    ],
)
def test_what_can_work_is_let_through(tmp_path: Path, pool: str, rest: str) -> None:
    """The same keys without the conflict."""
    assert [] == problems(tmp_path, pool, rest)


def test_a_crash_of_more_nodes_than_there_are(tmp_path: Path) -> None:
    """Nine replicas of one device each sit on two nodes of eight."""
    crash = "instance: p5.48xlarge\n    failures: [{at_s: 1, repair_s: 1, instances: 3}]"
    path = tmp_path / "fleet.yaml"
    content = SCENARIO.replace("accelerator: a100-sxm-80gb", crash).replace("replicas: 2", "replicas: 9")
    path.write_text(content)
    with pytest.raises(UserError, match=r"3 cannot crash: the pool has 2 × p5\.48xlarge; lower it"):
        load_scenario(path)


def test_two_pools_with_one_name(tmp_path: Path) -> None:
    """Both are named."""
    path = tmp_path / "fleet.yaml"
    path.write_text(SCENARIO.replace("workload:", "  - {name: a, accelerator: h100-sxm}\nworkload:"))
    with pytest.raises(UserError) as caught:
        load_scenario(path)

    assert ["2 pools are called 'a'" in str(problem) for problem in caught.value.problems] == [True, True]
