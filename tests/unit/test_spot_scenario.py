"""The pool's spot section, instance types and prices, as a scenario says them."""

from __future__ import annotations

from pathlib import Path

import pytest

from llmsim.errors import ScenarioError, UserError
from llmsim.files.prices import pool_prices
from llmsim.files.scenario_file import load_scenario
from llmsim.files.scenario_text import resolved_yaml, scenario_sha256
from llmsim.measure.records import StepLog
from llmsim.measure.summary import summarise
from llmsim.sim.build import PoolPlan
from llmsim.sim.run import simulate
from llmsim.spec.serving import PolicyRef

TRACE = "t_s,instances\n0,2\n60,1\n"
SCENARIO = """\
model: llama-3.1-8b
fleet:
  instance: g4dn.12xlarge
  tensor_parallel_size: 4
  spot:
    trace: capacity.csv
    notice_s: 30s
workload: {arrival: {kind: poisson, request_rate: 1}, input_tokens: 10, output_tokens: 10, num_requests: 5}
"""


def scenario(tmp_path: Path, old: str = "", new: str = "") -> Path:
    """A scenario beside its traces, with ``old`` replaced."""
    (tmp_path / "capacity.csv").write_text(TRACE)
    (tmp_path / "prices.csv").write_text("t_s,usd_per_hour\n0,1.2\n3600,2.4\n")
    path = tmp_path / "spot.yaml"
    assert old in SCENARIO
    path.write_text(SCENARIO.replace(old, new) if old else SCENARIO)
    return path


def problems(tmp_path: Path, old: str, new: str) -> list[str]:
    """What is wrong with the scenario after a change."""
    with pytest.raises(UserError) as caught:
        load_scenario(scenario(tmp_path, old, new))
    return [str(problem).removeprefix(f"{tmp_path}/spot.yaml:") for problem in caught.value.problems]


def test_an_instance_gives_accelerator_and_price(tmp_path: Path) -> None:
    """g4dn.12xlarge: four T4, $3.912 an hour on demand; a quarter of each for one."""
    [pool] = load_scenario(scenario(tmp_path)).scenario.fleet
    prices = pool_prices(pool)

    assert ("t4", 4, 3.912 / 4) == (pool.accelerator, prices.num_accelerators, prices.on_demand.at(0))
    assert 0.2 < prices.spot.at(0) / prices.on_demand.at(0) < 0.6


def test_a_quarter_of_an_instance_costs_all_of_it(tmp_path: Path) -> None:
    """One replica on one T4 of four pays for four; four of them pay a quarter each."""
    for replicas, usd in ((1, 3.912), (4, 3.912 / 4), (5, 2 * 3.912 / 5)):
        loaded = load_scenario(
            scenario(tmp_path, "tensor_parallel_size: 4", f"replicas: {replicas}"),
            ["engine.num_kv_tokens=999"],
        )
        plan = PoolPlan(loaded, loaded.scenario.fleet[0])
        record = plan.record(plan.engine(0, StepLog(), fast_forward=True))
        assert usd == pytest.approx(record.usd_per_hour)


def test_paths_are_the_scenarios_own(tmp_path: Path) -> None:
    """A relative trace starts at the file; the resolved scenario reads back as it was."""
    loaded = load_scenario(scenario(tmp_path))
    [pool] = loaded.scenario.fleet
    again = tmp_path / "elsewhere" / "resolved.yaml"
    again.parent.mkdir()
    again.write_text(resolved_yaml(loaded.scenario))

    assert str(tmp_path / "capacity.csv") == pool.spot.trace
    assert loaded.scenario == load_scenario(again).scenario


def test_another_trace_is_another_scenario(tmp_path: Path) -> None:
    """The hash is of what the trace says, not of where it lies."""
    before = scenario_sha256(load_scenario(scenario(tmp_path)).scenario)
    (tmp_path / "capacity.csv").write_text(TRACE + "90,2\n")

    assert before != scenario_sha256(load_scenario(tmp_path / "spot.yaml").scenario)


def test_a_price_trace_is_of_the_instance(tmp_path: Path) -> None:
    """Its price buys the four accelerators of the pool's instance, from the second hour on twice as dear."""
    path = scenario(tmp_path, "    notice_s: 30s", "    price: {trace: prices.csv}")
    series = pool_prices(load_scenario(path).scenario.fleet[0]).spot

    assert (0.3, 0.6) == (series.at(0), series.at(3600))


@pytest.mark.parametrize(
    ("written", "ref"),
    [
        ("drain", PolicyRef("drain", {})),
        ("{kind: migrate, margin: 0.5}", PolicyRef("migrate", {"margin": 0.5})),
    ],
)
def test_on_reclaim_is_a_name_or_a_mapping(tmp_path: Path, written: str, ref: PolicyRef) -> None:
    """As every policy."""
    path = scenario(tmp_path, "notice_s: 30s", f"on_reclaim: {written}")

    assert ref == load_scenario(path).scenario.fleet[0].spot.on_reclaim


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("instance: g4dn.12xlarge", "replicas: 1", "3:3: fleet.accelerator: required, but missing (or `instance`)"),
        (
            "instance: g4dn.12xlarge",
            "instance: g4dn.12xlarge\n  accelerator: h100-sxm",
            "3:13: fleet.instance: g4dn.12xlarge has t4, but accelerator says h100-sxm; remove one of the two",
        ),
        ("trace: capacity.csv", "start_s: 5", "6:5: fleet.spot: spot capacity comes from either `trace` or `hazard`"),
        ("notice_s: 30s", "notice_s: 3min", "fleet.spot.notice_s: Input should be less than or equal to 120"),
        (
            "trace: capacity.csv",
            "hazard: {reclaims_per_instance_hour: 1, mean_outage_s: 60, zones: [a, a]}",
            "a is there twice; give each zone its own name",
        ),
        (
            "trace: capacity.csv",
            "name: west\n    hazard: {reclaims_per_instance_hour: 1, mean_outage_s: 60}",
            "`name` is about a trace, and there is none",
        ),
        ("capacity.csv", "none.csv", "no such trace file"),
        ("    notice_s: 30s", "    price: {trace: capacity.csv}", "a price series has the columns t_s and"),
        ("    notice_s: 30s", "    start_s: 9\n    name: west", "has no traces by name, so it has no 'west'"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_with_its_place(tmp_path: Path, old: str, new: str, message: str) -> None:
    """One problem, at its key."""
    [problem] = problems(tmp_path, old, new)

    assert message in problem


def test_a_trace_without_capacity_runs_nothing(tmp_path: Path) -> None:
    """Told when the scenario is read, not when the fleet stands still."""
    path = scenario(tmp_path)
    (tmp_path / "capacity.csv").write_text("t_s,instances\n0,0\n")
    with pytest.raises(ScenarioError, match=r"fleet\.spot\.trace: .*no capacity in the whole trace"):
        load_scenario(path)


def test_a_fleet_that_serves_nobody_is_given_up(tmp_path: Path) -> None:
    """Instances that last a second and need ten minutes to start: the run ends, and says why."""
    (tmp_path / "storm.yaml").write_text(
        "model: llama-3.1-8b\n"
        "fleet: {accelerator: h100-sxm, provisioning: {startup_delay_s: 600}, spot: {hazard: "
        "{reclaims_per_instance_hour: 3600, mean_outage_s: 1}, notice_s: 0}}\n"
        "workload: {arrival: {kind: burst}, input_tokens: 10, output_tokens: 4000, num_requests: 3}\n"
    )
    loaded = load_scenario(tmp_path / "storm.yaml")
    record = simulate(loaded)

    assert {"unfinished"} == {req.status for req in record.requests}
    summary = summarise(record, loaded.scenario, sha256="", version="")
    assert any("10,000 instances were lost in a row" in note for note in summary["notes"])
