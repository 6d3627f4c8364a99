"""Pools that are laid out anew: one batch in a pipeline, who stays in a switch, and what a scenario must say."""

from __future__ import annotations

from pathlib import Path

import pytest

from llmsim.cost.linear import LinearCost, LinearOptions
from llmsim.cost.one_batch import OneBatch
from llmsim.errors import ScenarioError, UserError
from llmsim.files.scenario_file import load_scenario
from llmsim.sim.reparallel.mesh import Configuration, Device, ModelBytes, Position
from llmsim.sim.reparallel.migration import Rates
from llmsim.sim.reparallel.rates import rates_of
from llmsim.sim.reparallel.switch import Pipeline, Switch, Tactics, plan_switch
from llmsim.sim.run import simulate
from llmsim.sim.topology import Topology
from llmsim.spec.serving import Pool
from llmsim.spec.topology import Topology as TopologySpec

MODEL = ModelBytes([10.0] * 8, kv_token=0.25)
RATES = Rates(network=5.0, local=20.0, storage=2.0)


def on(instances: str, stages: int = 2, ranks: int = 2, tokens: int = 0) -> Pipeline:
    """A pipeline over ``instances`` of two devices each."""
    devices = [Device(name, number) for name in instances for number in range(2)]
    places = Configuration(1, stages, ranks, 4).positions()
    return Pipeline(stages, ranks, dict(zip(devices, places, strict=True)), tokens)


def switched(config: Configuration, usable: str, old: dict[int, Pipeline], **changes: object) -> Switch:
    """From ``old`` to ``config`` on the instances ``usable``."""
    devices = [Device(name, number) for name in usable for number in range(2)]
    tactics = Tactics(**{k: v for k, v in changes.items() if k != "senders"})  # type: ignore[arg-type]
    senders = changes.get("senders")
    return plan_switch(config, devices, old, MODEL, RATES, tactics, senders=senders)  # type: ignore[arg-type]


def test_one_batch_takes_all_stages_and_prompts_fill_them() -> None:
    """Two stages of 1 s + 0.1 s a token: a decode takes both; two prompts in two micro-batches overlap."""
    stage = LinearCost(LinearOptions(iteration_s=1.0, per_token_s=0.1, per_decode_kv_token_s=0.01))
    pipeline = OneBatch([stage, stage])

    assert pipeline.tokens_s(2, 2, 2) == pytest.approx(2 * 1.2)
    assert pipeline.decode_line(2, [100], [2]) == pytest.approx(
        (2.0, 0.04, pipeline.decode_line(2, [1], [0])[2])
    )
    assert pipeline.tokens_s(200, 2, 2) == pytest.approx(
        3 * 11.0
    )  # 2 + 2 - 1 turns of one prompt, not 2 × 21
    assert pipeline.tokens_s(4, 2, 2) == pytest.approx(2 * 1.4)  # short prompts go together
    assert pipeline.bound_seconds(2, 2, 2) == {"other": pytest.approx(2.4)}


def test_whole_pipelines_stay_and_the_furthest_context_goes_on() -> None:
    """Of three pipelines one stays; of the two that lose an instance, the one with more tokens is taken over."""
    old = {0: on("ab", tokens=4), 1: on("cd", tokens=9), 2: on("ef", tokens=20)}
    switch = switched(Configuration(2, 2, 2, 4), "abce", old)
    (arrival,) = switch.arrivals

    assert [0] == list(switch.stay)
    assert 2 == arrival.context
    assert arrival.has_kv
    assert {"c", "e"} == {device.instance for device in arrival.devices}
    assert arrival.devices[Device("e", 0)].stage == 0  # where its part of the KV is
    kv = sum(move.num_bytes for move in switch.plan if move.kv)
    assert kv == pytest.approx(4 * 20 * 0.25)  # the other stage's four layers
    assert all(move.target.instance == "c" for move in switch.plan)


def test_a_context_that_nobody_can_send_is_cut_off() -> None:
    old = {0: on("ab", tokens=8)}
    alive = [Device("b", 0), Device("b", 1)]
    switch = switched(Configuration(1, 2, 2, 4), "bc", old, senders=alive)

    assert not switch.arrivals[0].has_kv
    assert not any(move.kv for move in switch.plan)
    assert {None} == {move.source for move in switch.plan}  # the layers of a come from storage
    assert switch.seconds == pytest.approx(40 / RATES.storage)


def test_without_peers_everything_comes_from_storage() -> None:
    old = {0: on("ab", tokens=8)}
    tactics = {"keeps_pipelines": False, "from_peers": False, "keeps_contexts": False, "matches": False}
    switch = switched(Configuration(1, 2, 2, 4), "ab", old, **tactics)

    assert sum(move.num_bytes for move in switch.plan) == MODEL.total
    assert switch.seconds == pytest.approx(40 / RATES.storage)
    assert switch.arrivals[0].context is None


def test_a_pipeline_may_begin_before_its_last_stage_is_there() -> None:
    """All 80 bytes go over one link of 5 a second; the last stage is reached half an iteration of 4 s later."""
    old = {0: on("a", stages=2, ranks=1)}
    devices, config = [Device("c", 0), Device("c", 1)], Configuration(1, 2, 1, 4)
    both = (Tactics(), Tactics(progressive=False))
    early, late = (plan_switch(config, devices, old, MODEL, RATES, t, decode_s=4.0) for t in both)

    assert late.seconds == pytest.approx(80 / 5)
    assert early.seconds == pytest.approx(80 / 5 - 2)


def test_rates_are_the_machines() -> None:
    """g4dn.12xlarge: 50 Gb/s, PCIe between its T4s, a disk of its own."""
    topology = Topology(TopologySpec())
    rates = rates_of(topology, Pool(instance="g4dn.12xlarge", accelerator="t4"), 4)

    assert rates.network == pytest.approx(6.25e9)
    assert rates.storage == pytest.approx(3.5e9)
    assert rates.local > rates.network
    assert all(len(server.free) == server.type.num_devices for server in topology.servers())


SCENARIO = """
model: opt-6.7b
fleet:
  instance: g4dn.12xlarge
  tensor_parallel_size: 4
  spot: {{trace: spot.csv, on_reclaim: {policy}}}
workload: {{arrival: {{kind: poisson, request_rate: 1}}, input_tokens: 10, output_tokens: 10, num_requests: 5}}
"""


@pytest.mark.parametrize(
    ("policy", "message"),
    [
        ("reparallelize", "request_rate"),
        ("{kind: reparallelize, request_rate: 0}", "greater than 0"),
        ("{kind: reroute, request_rate: 1, plan_four: 3}", "plan_for"),
        ("{kind: reparalelize, request_rate: 1}", "reparallelize"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, policy: str, message: str) -> None:
    (tmp_path / "spot.csv").write_text("t_s,instances\n0,2\n")
    (tmp_path / "run.yaml").write_text(SCENARIO.format(policy=policy))
    with pytest.raises(UserError, match=message):
        load_scenario(tmp_path / "run.yaml")


def test_capacity_that_never_holds_a_pipeline_is_refused(tmp_path: Path) -> None:
    (tmp_path / "spot.csv").write_text("t_s,instances\n0,1\n60,0\n120,1\n")
    policy = "{kind: reparallelize, request_rate: 1}"
    text = SCENARIO.format(policy=policy).replace("tensor_parallel_size: 4", "tensor_parallel_size: 8")
    (tmp_path / "run.yaml").write_text(text)
    with pytest.raises(ScenarioError, match=r"never holds more than 1 instances .4 devices.*8 at least"):
        simulate(load_scenario(tmp_path / "run.yaml"))


def test_a_pool_that_takes_all_there_is_cannot_be_scaled(tmp_path: Path) -> None:
    (tmp_path / "spot.csv").write_text("t_s,instances\n0,2\n")
    text = SCENARIO.format(policy="{kind: reroute, request_rate: 1}")
    (tmp_path / "run.yaml").write_text(
        text.replace("  spot:", "  autoscale: {policy: queue, max_replicas: 2}\n  spot:")
    )
    with pytest.raises(ScenarioError, match="remove `autoscale`"):
        simulate(load_scenario(tmp_path / "run.yaml"))


def test_positions_run_rank_by_rank() -> None:
    assert [Position(0, 0, 0), Position(0, 0, 1), Position(0, 1, 0)] == list(
        Configuration(2, 2, 2, 1).positions()
    )[:3]
    assert "2 pipelines of PP 2, TP 8, batch 4" == Configuration(2, 2, 8, 4).in_words()
