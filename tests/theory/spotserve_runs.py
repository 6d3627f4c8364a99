"""SpotServe's own setting as scenarios: traces, arrivals and layer times from the shared data."""

from __future__ import annotations

import csv
import json
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from llmsim.files.scenario_file import load_scenario
from llmsim.measure.records import RunRecord
from llmsim.sim.run import simulate

SPOTSERVE = Path(__file__).parents[3] / "shared" / "data" / "spot" / "spotserve"

MODELS = {  # name, profile, arrivals file, required rate, smallest pipeline (TP, PP) of Table 1
    "6.7B": ("opt-6.7b", "6.7B", "1.5", 2.0, (4, 1)),
    "20B": ("gpt-20b", "h6144", "0.35", 0.4, (4, 3)),
    "30B": ("opt-30b", "h7168", "0.2", 0.2, (8, 2)),
}
"""The 30B table is of h 7168 and 48 layers, which is OPT-30B's shape. Rates are the artifact's ``REQUIRED_TPT``."""

TRACES = {"A_S": "0304_real", "B_S": "0506_real", "A_S+O": "0304_ondemand", "B_S+O": "0506_ondemand"}
SPOT_USD, ON_DEMAND_USD = 1.9046, 3.912
"""Per instance-hour, in the artifact's ``tradeoff_plot.py``."""


def end_s(trace: str) -> float:
    """When the trace says DONE."""
    lines = (SPOTSERVE / f"trace_{TRACES[trace]}.txt").read_text().splitlines()
    return json.loads(lines[-1])[0] / 1e3


def gamma_arrivals(rate: float, count: int, seed: int, cv: float = 6.0) -> list[float]:
    """Arrival times whose gaps vary by ``cv``, as the paper's text says."""
    shape = 1 / cv**2
    gaps = np.random.default_rng(seed).gamma(shape, 1 / (shape * rate), count)
    return np.cumsum(gaps).tolist()


def file_arrivals(rate: str) -> list[float]:
    """The artifact's own."""
    with (SPOTSERVE / f"arrivals_{rate}_cv6.txt").open() as file:
        return [float(row[1]) for row in csv.reader(file)]


def scenario(
    model: str, trace: str, policy: dict[str, Any], cost: str, *, hours: float | None = None
) -> dict[str, Any]:
    """The scenario, but for the requests. ``trace`` may be a number of on-demand instances instead."""
    name, profile, _, rate, (tp, pp) = MODELS[model]
    if policy.get("adapt") is False:  # the artifact's ablation takes no pipeline of fewer than 16
        tp, pp = 8, 2
    table = {"kind": "table", "path": str(SPOTSERVE / f"t4x4_profile_{profile}.json")}
    return {
        "model": name,
        "fleet": {
            "instance": "g4dn.12xlarge",
            "tensor_parallel_size": tp,
            "pipeline_parallel_size": pp,
            "cost_model": table if cost == "table" else {"kind": "roofline"},
            "provisioning": {"startup_delay_s": 0},
            "spot": {
                "trace": str(SPOTSERVE / f"trace_{TRACES[trace]}.txt") if trace in TRACES else trace,
                "notice_s": 30,
                "price": SPOT_USD / 4,
                "on_reclaim": {"request_rate": rate, "estimate": "spotserve"} | policy,
            },
        },
        "engine": {
            "name": "fastertransformer",
            "scheduler": "static",
            "kv_cache": "contiguous_max",
            "max_num_seqs": 4,
            "max_num_batched_tokens": 2560,
            "max_model_len": 640,
            "dtype": "float32",
        },
        "router": "central_queue",
    }


POLICIES: dict[str, dict[str, Any]] = {
    "spotserve": {"kind": "reparallelize"},
    "reparallelization": {"kind": "reparallelize", "migrate": False},
    "rerouting": {"kind": "reroute", "plan_for": 10},
    "plain": {
        "kind": "reparallelize",
        "match": False,
        "contexts": False,
        "progressive": False,
        "adapt": False,
    },
}


@cache
def run(
    model: str, trace: str, policy: str, cost: str = "table", cv: float | None = None, changes: str = "{}"
) -> RunRecord:
    """One run. ``trace`` "8 on demand" is that many instances for good; ``cv`` draws gaps anew; None: the files'."""
    until_s = 1080.0 if trace not in TRACES else end_s(trace)
    rate = MODELS[model][2]
    times = file_arrivals(rate) if cv is None else gamma_arrivals(float(rate), 9000, 0, cv)
    with TemporaryDirectory() as folder:
        path = Path(folder)
        rows = [f"{time_s},512,128" for time_s in times if time_s < until_s]
        (path / "requests.csv").write_text("\n".join(["arrival_s,input_tokens,output_tokens", *rows]) + "\n")
        if trace not in TRACES:
            (path / "fixed.csv").write_text(f"t_s,instances\n0,{trace.partition(' ')[0]}\n")
        where = trace if trace in TRACES else str(path / "fixed.csv")
        content = scenario(model, where, POLICIES[policy] | json.loads(changes), cost)
        content["workload"] = {"trace": str(path / "requests.csv")}
        (path / "run.yaml").write_text(json.dumps(content))
        return simulate(load_scenario(path / "run.yaml"))


def latencies_s(record: RunRecord) -> np.ndarray:
    """E2E of every completed request."""
    return np.sort([req.finish_s - req.arrival_s for req in record.requests if req.status == "completed"])


def p99_s(record: RunRecord) -> float:
    """As the artifact takes it: the sorted latencies at ⌊0.99 n⌋."""
    latencies = latencies_s(record)
    return float(latencies[int(len(latencies) * 0.99)])
