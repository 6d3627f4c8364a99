"""The shipped scenarios of fleets answer the questions they ask, as the docs say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import llmsim
from llmsim.files.scenario_file import load_scenario

SCENARIOS = Path(__file__).parents[2] / "scenarios"
MIXED = "fleet=[{name: mixed, accelerator: h100-sxm, tensor_parallel_size: 2, replicas: 4}]"


def answer(name: str, *sets: str) -> dict[str, Any]:
    return llmsim.run(load_scenario(SCENARIOS / f"{name}.yaml", sets)).summary


def test_prompts_apart_keep_tokens_even():
    """docs/fleet.md: what a mixed pool loses is the tail of TPOT; its TTFT is the better one."""
    fewer = "workload.num_requests=2000"
    apart, mixed = answer("disaggregated-70b", fewer), answer("disaggregated-70b", fewer, MIXED)

    assert apart["slo_attainment"] >= 0.99
    assert mixed["slo_attainment"] < 0.6
    assert mixed["p99_tpot_ms"] > 1.4 * apart["p99_tpot_ms"]
    assert mixed["p99_ttft_ms"] < apart["p99_ttft_ms"]
    assert (
        apart["accelerator_seconds"] / apart["duration"] == mixed["accelerator_seconds"] / mixed["duration"]
    )
