"""Pools that are laid out anew under random reclaims: nothing is lost or doubled, fast-forward equals stepping."""

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
name: mesh
model: opt-6.7b
fleet:
  instance: g4dn.12xlarge
  replicas: {replicas}
  tensor_parallel_size: 2
  cost_model: {{kind: linear, iteration_s: 0.06, per_token_s: 2.2e-4, per_decode_kv_token_s: 4.0e-7}}
  provisioning: {{startup_delay_s: {startup_s}}}
  spot:
    hazard: {{reclaims_per_instance_hour: {rate}, mean_outage_s: {outage_s}, correlated_share: 0.3, zones: [a, b]}}
    notice_s: {notice_s}
    on_reclaim: {policy}
    price: 1.0
topology: {{zones: [a, b], links: [{{between: [a, b], bandwidth: 10Gb/s, round_trip_ms: 1}}]}}
engine: {{scheduler: {scheduler}, num_kv_tokens: 4000, max_num_seqs: 4, max_num_batched_tokens: 128,
  max_model_len: 400}}
workload:
  arrival: {{kind: poisson, request_rate: 3}}
  input_tokens: {{kind: uniform, min: 1, max: 100}}
  output_tokens: {{kind: uniform, min: 1, max: 60}}
  num_requests: 40
router: {router}
simulation: {{seed: {seed}, fast_forward: {fast_forward}}}
"""

POLICIES = [
    "{kind: reparallelize, request_rate: 3, engine_start_s: 2}",
    "{kind: reparallelize, request_rate: 3, match: false, progressive: false, contexts: false, engine_start_s: 1}",
    "{kind: reparallelize, request_rate: 3, migrate: false, engine_start_s: 2}",
    "{kind: reparallelize, request_rate: 3, adapt: false, most_instances: 2, engine_start_s: 0}",
    "{kind: reroute, request_rate: 3, plan_for: 3, engine_start_s: 1}",
]


@dataclass(frozen=True)
class Case:
    """One random setting."""

    replicas: int
    startup_s: float
    rate: float
    outage_s: float
    notice_s: float
    policy: str
    scheduler: str
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
    startup_s=st.sampled_from([0, 2.0]),
    rate=st.sampled_from([30, 120, 300]),
    outage_s=st.sampled_from([2, 20]),
    notice_s=st.sampled_from([0, 1.5, 30]),
    policy=st.sampled_from(POLICIES),
    scheduler=st.sampled_from(["static", "orca", "chunked_prefill"]),
    router=st.sampled_from(["central_queue", "least_requests"]),
    seed=st.integers(0, 10_000),
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(case=cases)
def test_fast_forward_equals_stepping_when_pools_are_laid_out_anew(
    case: Case, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Same decisions and times; every request done once, with all its tokens; lost KV adds up."""
    path = tmp_path_factory.mktemp("mesh")
    fast, slow = (simulate(case.load(path, fast_forward=mode)) for mode in (True, False))

    require_same(outcome(fast), outcome(slow), f"{case}")
    assert {"completed"} == {req.status for req in fast.requests}
    assert all(req.generated == req.output_tokens for req in fast.requests)
    assert 40 == len({req.id for req in fast.requests})
    assert fast.fleet is not None
    summary = fast.fleet.summary(0.0, fast.end_s)
    assert summary["lost_kv_tokens"] == sum(req.lost_tokens for req in fast.requests)
    assert all(holding.end_s >= holding.start_s for holding in fast.holdings)
    if "migrate: false" in case.policy or "reroute" in case.policy:
        assert summary["moved_bytes"] == summary["moved_kv_tokens"] == 0


def test_a_migrated_request_goes_on_where_it_was(tmp_path: Path) -> None:
    """A pipeline over two of three instances, one announced as going: no token is computed or made twice."""
    (tmp_path / "spot.csv").write_text("t_s,event,instance\n0,add,a\n0,add,b\n0,add,c\n12,remove,a\n")
    file = tmp_path / "run.yaml"
    text = SCENARIO.format(
        replicas=2,
        startup_s=0,
        rate=1,
        outage_s=1,
        notice_s=5,
        policy=POLICIES[0],
        scheduler="static",
        router="central_queue",
        seed=1,
        fast_forward="true",
    )
    hazard = text[text.index("    hazard:") : text.index("    notice_s:")]
    text = text.replace("tensor_parallel_size: 2", "tensor_parallel_size: 8")
    text = text.replace("output_tokens: {kind: uniform, min: 1, max: 60}", "output_tokens: 60")
    file.write_text(text.replace(hazard, "    trace: spot.csv\n"))
    record = simulate(load_scenario(file))
    summary = record.fleet.summary(0.0, record.end_s) if record.fleet else {}
    moved = [req for req in record.requests if req.moves]

    assert moved
    assert summary["moved_kv_tokens"] > 0 == summary["lost_kv_tokens"]
    assert all(req.lost_tokens == req.discarded_tokens == 0 for req in moved)
    prefilled = record.steps.column("prefill_tokens").sum()
    assert prefilled == sum(req.input_tokens + req.moves for req in record.requests)
