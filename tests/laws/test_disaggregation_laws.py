"""Prefill and decode apart: every token made once, back-pressure without a deadlock, fast-forward equal to stepping."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llmsim.contracts import outcome, require_same
from llmsim.files.scenario_file import load_scenario
from llmsim.sim.run import simulate

SCENARIO = """
name: apart
model: llama-3.1-8b
fleet:
  - &pool
    name: prefill
    role: prefill
    accelerator: h100-sxm
    replicas: {prefill}
    pipeline_parallel_size: {stages}
    {prefill_scaling}
    cost_model: &line {{kind: linear, iteration_s: 0.006, per_token_s: 2.2e-5, per_sequence_s: 2.0e-6,
      per_prefill_pair_s: 1.0e-9, per_decode_kv_token_s: 4.0e-8}}
  - {{name: decode, role: decode, accelerator: h100-sxm, replicas: {decode}, cost_model: *line {spot} {decode_scaling}}}
  - {{name: both, role: mixed, accelerator: h100-sxm, replicas: {mixed}, cost_model: *line}}
engine: {{scheduler: {scheduler}, num_kv_tokens: {kv_tokens}, max_num_seqs: {seqs}, max_num_batched_tokens: 128}}
disaggregation: {{kv_transfer: {transfer}, router: {decode_router}}}
workload:
  arrival: {arrival}
  input_tokens: {{kind: uniform, min: 1, max: 300}}
  output_tokens: {{kind: uniform, min: 1, max: 120}}
  num_requests: 60
router: {router}
simulation: {{seed: {seed}, fast_forward: {fast_forward}}}
"""
SPOT = (
    ", usd_per_hour: 2.0, provisioning: {startup_delay_s: 2}, spot: {hazard: {reclaims_per_instance_hour: 300, "
    "mean_outage_s: 5}, notice_s: 1, price: 1.0, on_reclaim: %s}"
)
SCALING = (
    "autoscale: {max_replicas: 3, interval_s: 0.3, "
    "policy: {kind: scheduled, period_s: 1.5, schedule: [{at: 0, replicas: 3}, {at: 0.6, replicas: 1}]}}"
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    case=st.fixed_dictionaries(
        {
            "prefill": st.integers(1, 3),
            "decode": st.integers(1, 3),
            "mixed": st.integers(1, 2),
            "stages": st.sampled_from([1, 1, 2]),
            "scheduler": st.sampled_from(["chunked_prefill", "vllm", "orca"]),
            "kv_tokens": st.sampled_from([640, 4000]),
            "seqs": st.sampled_from([2, 8]),
            "transfer": st.sampled_from(["whole", "layerwise"]),
            "router": st.sampled_from(["round_robin", "least_requests", "least_tokens"]),
            "decode_router": st.sampled_from(["round_robin", "least_requests", "random"]),
            "arrival": st.sampled_from(
                ["{kind: poisson, request_rate: 12}", "{kind: closed, max_concurrency: 9}", "{kind: burst}"]
            ),
            "spot": st.sampled_from(["", "", SPOT % "restart", SPOT % "migrate"]),
            "prefill_scaling": st.sampled_from(["", SCALING + "\n    provisioning: {startup_delay_s: 0.1}"]),
            "decode_scaling": st.sampled_from(["", ", " + SCALING]),
            "seed": st.integers(0, 10_000),
        }
    ),
)
def test_fast_forward_equals_stepping(case: dict[str, object], tmp_path_factory: pytest.TempPathFactory):
    path = tmp_path_factory.mktemp("apart")
    records = []
    for mode in ("true", "false"):
        file = path / f"{mode}.yaml"
        file.write_text(SCENARIO.format(**case, fast_forward=mode))
        records.append(simulate(load_scenario(file)))

    fast, slow = records
    require_same(outcome(fast), outcome(slow), f"{case}")
    assert {"completed"} == {req.status for req in fast.requests}
    assert all(req.generated == req.output_tokens for req in fast.requests)


def test_one_request_alone_is_its_parts(tmp_path: Path):
    """Prefill, the KV's time on the wire, then decode: TTFT is the prefill's, the first gap holds the transfer."""
    line = "{kind: linear, iteration_s: 0.01, per_token_s: 1.0e-5}"
    pool = "accelerator: h100-sxm, node: p5.48xlarge, tensor_parallel_size: 8, usd_per_hour: 1"
    file = tmp_path / "one.yaml"
    file.write_text(
        f"""
model: llama-3.1-8b
fleet:
  - {{name: p, role: prefill, {pool}, cost_model: {line}}}
  - {{name: d, role: decode, {pool}, cost_model: {line}}}
engine: {{num_kv_tokens: 10000}}
workload: {{arrival: {{kind: constant, request_rate: 1}}, input_tokens: 1000, output_tokens: 3, num_requests: 1}}
"""
    )
    record = simulate(load_scenario(file))
    [req] = record.requests
    kv_bytes = 1000 * 131_072  # 32 layers × 2 × 8 heads × 128 × 2 bytes a token
    wire_s = kv_bytes / 400e9  # 3,200 Gb/s between two p5 nodes

    assert 0.02 == pytest.approx(req.first_token_s - req.arrival_s, rel=1e-9)
    assert 1 == record.handover.requests
    assert kv_bytes == record.handover.kv_bytes
    assert wire_s < record.handover.exposed_s < wire_s + 50e-6  # the latency of the way comes on top
    assert 2 * 0.01001 + record.handover.exposed_s == pytest.approx(
        req.finish_s - req.first_token_s, rel=1e-9
    )


@pytest.mark.parametrize("kv_cache", ["buddy", "contiguous_max", "token", "radix"])
def test_any_pool_holds_what_is_on_its_way(tmp_path: Path, kv_cache: str):
    """Several prompts wait for their KV to be fetched at a time, in whatever the pool gives out."""
    text = SCENARIO.format(
        prefill=1, decode=1, mixed=1, stages=1, scheduler="chunked_prefill", kv_tokens=4000, seqs=8, seed=1,
        transfer="whole", router="round_robin", decode_router="round_robin", arrival="{kind: burst}", spot="",
        prefill_scaling="", decode_scaling="", fast_forward="true",
    )  # fmt: skip
    file = tmp_path / "one.yaml"
    file.write_text(text.replace("engine: {", f"engine: {{max_model_len: 500, kv_cache: {kv_cache}, "))
    record = simulate(load_scenario(file))
    assert record.handover.requests > 10
    assert {"completed"} == {req.status for req in record.requests}
