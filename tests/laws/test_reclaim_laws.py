"""Spot pools under random reclaims: nothing is lost or doubled, and fast-forward still equals stepping."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llmsim.contracts import outcome, require_same
from llmsim.files.scenario_file import LoadedScenario, load_scenario
from llmsim.sim.run import simulate

SCENARIO = """
name: reclaims
model: llama-3.1-8b
fleet:
  accelerator: a100-sxm-80gb
  replicas: {replicas}
  pipeline_parallel_size: {stages}
  usd_per_hour: 2.0
  cost_model: {{kind: linear, iteration_s: 0.006, per_token_s: 2.2e-5, per_sequence_s: 2.0e-6,
    per_prefill_pair_s: 1.0e-9, per_decode_kv_token_s: 4.0e-8}}
  provisioning: {{startup_delay_s: {startup_s}}}
  spot:
    hazard: {{reclaims_per_instance_hour: {rate}, mean_outage_s: {outage_s}, correlated_share: 0.3, zones: [a, b]}}
    notice_s: {notice_s}
    on_reclaim: {policy}
    price: 1.0
    num_overprovision: {extra}
    dynamic_ondemand_fallback: {fallback}
topology: {{zones: [a, b], links: [{{between: [a, b], bandwidth: 10Gb/s, round_trip_ms: 1}}]}}
engine: {{scheduler: {scheduler}, num_kv_tokens: {kv_tokens}, max_num_seqs: 8, max_num_batched_tokens: 128}}
workload:
  arrival: {arrival}
  input_tokens: {{kind: uniform, min: 1, max: 300}}
  output_tokens: {{kind: uniform, min: 1, max: 200}}
  num_requests: 60
router: {router}
simulation: {{seed: {seed}, fast_forward: {fast_forward}}}
"""


@dataclass(frozen=True)
class Case:
    """One random setting."""

    replicas: int
    stages: int
    startup_s: float
    rate: float
    outage_s: float
    notice_s: float
    policy: str
    extra: int
    fallback: str
    scheduler: str
    kv_tokens: int
    arrival: str
    router: str
    seed: int

    def load(self, path: Path, *, fast_forward: bool) -> LoadedScenario:
        """The scenario in a file of ``path``."""
        file = path / f"{fast_forward}.yaml"
        file.write_text(SCENARIO.format(**vars(self), fast_forward=str(fast_forward).lower()))
        return load_scenario(file)


cases = st.builds(
    Case,
    replicas=st.integers(1, 4),
    stages=st.sampled_from([1, 1, 2]),
    startup_s=st.sampled_from([0, 2.0, 15.0]),
    rate=st.sampled_from([60, 300, 900]),
    outage_s=st.sampled_from([2, 20]),
    notice_s=st.sampled_from([0, 1.5, 30]),
    policy=st.sampled_from(["restart", "drain", "migrate"]),
    extra=st.sampled_from([0, 1]),
    fallback=st.sampled_from(["true", "false"]),
    scheduler=st.sampled_from(["chunked_prefill", "vllm", "orca", "static"]),
    kv_tokens=st.sampled_from([640, 4000]),
    arrival=st.sampled_from(
        ["{kind: poisson, request_rate: 6}", "{kind: closed, max_concurrency: 12}", "{kind: burst}"]
    ),
    router=st.sampled_from(["round_robin", "least_requests", "central_queue", "least_tokens"]),
    seed=st.integers(0, 10_000),
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(case=cases)
def test_fast_forward_equals_stepping_under_reclaims(case: Case, tmp_path_factory: pytest.TempPathFactory):
    """Same decisions and times; every request done once, with all its tokens; every cost an integral."""
    path = tmp_path_factory.mktemp("reclaims")
    fast, slow = (simulate(case.load(path, fast_forward=mode)) for mode in (True, False))

    require_same(outcome(fast), outcome(slow), f"{case}")
    for record in (fast, slow):
        assert {"completed"} == {req.status for req in record.requests}
        assert all(req.generated == req.output_tokens for req in record.requests)
        assert 60 == len({req.id for req in record.requests})
    assert [e.kind for e in fast.fleet.events] == [e.kind for e in slow.fleet.events]
    assert (
        sum(req.lost_tokens for req in fast.requests) == fast.fleet.summary(0.0, fast.end_s)["lost_kv_tokens"]
    )


@pytest.mark.parametrize("policy", ["restart", "drain", "migrate"])
def test_after_a_storm_nobody_is_stuck(policy: str, tmp_path: Path) -> None:
    """Every instance is reclaimed at once, and all come back: every request is done, once."""
    (tmp_path / "storm.csv").write_text("t_s,instances\n0,3\n4,0\n40,3\n")
    file = tmp_path / "storm.yaml"
    file.write_text(
        f"""
model: llama-3.1-8b
fleet:
  accelerator: a100-sxm-80gb
  replicas: 3
  provisioning: {{startup_delay_s: 5}}
  spot: {{trace: storm.csv, notice_s: 1, on_reclaim: {policy}, price: 1.0}}
  cost_model: {{kind: linear, iteration_s: 0.006, per_token_s: 2.2e-5}}
engine: {{num_kv_tokens: 100000}}
workload: {{arrival: {{kind: poisson, request_rate: 20}}, input_tokens: 100, output_tokens: 300, num_requests: 300}}
"""
    )
    record = simulate(load_scenario(file))

    assert {"completed"} == {req.status for req in record.requests}
    assert all(req.generated == req.output_tokens for req in record.requests)
    assert 3 == record.fleet.summary(0.0, record.end_s)["reclaims"]
    assert 36 <= record.fleet.summary(0.0, record.end_s)["downtime_s"] < 36 + 5 + 60
