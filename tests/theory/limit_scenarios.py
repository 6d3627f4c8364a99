"""Ten small fleets whose limit is looked for, by brute force and by the planner."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

LINE = {"kind": "linear", "iteration_s": 0.01, "per_token_s": 5e-5, "per_sequence_s": 2e-4,
        "per_decode_kv_token_s": 1e-7}  # fmt: skip
POOL = {"accelerator": "h100-sxm", "cost_model": LINE}
WAITING = {"scheduler": {"kind": "static", "batch_size": 8, "batch_timeout_s": 1.5}, "max_model_len": 500}
RATE = "workload.arrival.request_rate"


@dataclass(frozen=True)
class Case:
    """A fleet, what is turned up, and over which values."""

    over: str
    slo: dict[str, Any]
    fleet: Any = field(default_factory=dict)
    engine: dict[str, Any] = field(default_factory=dict)
    workload: dict[str, Any] = field(default_factory=dict)
    more: dict[str, Any] = field(default_factory=dict)

    def write(self, path: Path) -> Path:
        """The scenario as a file."""
        fleet = [POOL | pool for pool in (self.fleet if isinstance(self.fleet, list) else [self.fleet])]
        content = {
            "name": "small",
            "model": "llama-3.1-8b",
            "fleet": fleet,
            "engine": {"max_num_seqs": 16, "max_num_batched_tokens": 256, "num_kv_tokens": 8000}
            | self.engine,
            "workload": {
                "arrival": {"kind": "poisson", "request_rate": 5},
                "input_tokens": {"kind": "uniform", "min": 20, "max": 400},
                "output_tokens": {"kind": "uniform", "min": 5, "max": 40},
                "num_requests": 150,
            }
            | self.workload,
            "slo": {"percentile": 0.9} | self.slo,
            **self.more,
        }
        path.write_text(yaml.safe_dump(content))
        return path


CASES = {
    "chunked prefill": Case(f"{RATE}=2:48:2", {"ttft_ms": 150}),
    "whole prompts stall answers": Case(
        f"{RATE}=1:20:1", {"itl_ms": 24}, engine={"scheduler": "vllm", "max_num_batched_tokens": 1024}
    ),
    # A higher rate fills batches sooner. Of Poisson arrivals the first of a batch waits 1.5 s at 2 req/s,
    # 0.5 s at 10 req/s.
    "a batch that waits to be full": Case(f"{RATE}=0.5:15:0.5", {"ttft_ms": 1400}, engine=WAITING),
    "a batch that waits, nearly in time": Case(f"{RATE}=0.5:15:0.5", {"ttft_ms": 1570}, engine=WAITING),
    # With even gaps and four seats, batches grow up to 12 req/s and then fill before their time is up.
    "even gaps": Case(
        f"{RATE}=0.5:18:0.5",
        {"e2el_ms": 500, "percentile": 0.95},
        engine={
            "scheduler": {"kind": "static", "batch_size": 4, "batch_timeout_s": 0.25},
            "max_model_len": 500,
        },
        workload={
            "arrival": {"kind": "constant", "request_rate": 5},
            "input_tokens": 200,
            "output_tokens": 20,
        },
    ),
    "users in a closed loop": Case(
        "workload.arrival.max_concurrency=2:48:2",
        {"ttft_ms": 250, "tpot_ms": 40},
        workload={"arrival": {"kind": "closed", "max_concurrency": 8}},
    ),
    "a fleet that grows": Case(
        f"{RATE}=3:60:3",
        {"ttft_ms": 600},
        fleet={
            "replicas": 1,
            "provisioning": {"startup_delay_s": 0.5},
            "autoscale": {
                "max_replicas": 3,
                "interval_s": 0.5,
                "upscale_delay_s": 0.5,
                "downscale_delay_s": 2,
                "policy": {"kind": "target_tracking", "target_ongoing_requests": 5},
            },
        },
        more={"router": "least_requests"},
    ),
    # The same 150 requests: from 37 a second they are over before it crashes.
    "a crash after four seconds": Case(
        f"{RATE}=3:60:3",
        {"ttft_ms": 300},
        fleet={
            "replicas": 2,
            "provisioning": {"startup_delay_s": 1},
            "failures": [{"at_s": 4, "instances": 1, "repair_s": 4}],
        },
        more={"router": "least_requests"},
    ),
    "spot instances": Case(
        f"{RATE}=5:100:5",
        {"ttft_ms": 70},
        fleet={
            "replicas": 3,
            "usd_per_hour": 2.0,
            "provisioning": {"startup_delay_s": 3},
            "spot": {
                "hazard": {"reclaims_per_instance_hour": 60, "mean_outage_s": 4},
                "notice_s": 1,
                "price": 1.0,
                "on_reclaim": "restart",
            },
        },
        more={"router": "least_requests"},
    ),
    "sessions that stick": Case(
        f"{RATE}=4:72:4",
        {"ttft_ms": 200},
        fleet={"replicas": 3},
        workload={"num_sessions": 7},
        more={"router": "session_affinity"},
    ),
    "longer prompts": Case(
        "workload.input_tokens=100:1500:100", {"ttft_ms": 300}, engine={"max_model_len": 4000}
    ),
    "prefill and decode apart": Case(
        f"{RATE}=2:40:2",
        {"ttft_ms": 150, "tpot_ms": 30},
        fleet=[{"name": "p", "role": "prefill"}, {"name": "d", "role": "decode"}],
    ),
}
