"""Splitwise's clusters at equal cost, each at the highest rate at which it meets their targets."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from llmsim.measure.requests import RequestTable
from reproduce.runs import highest, run
from reproduce.splitwise_times import line, seconds

A100, H100 = "a100-sxm-80gb", "h100-sxm"
NODES = {A100: "dgx-a100", H100: "dgx-h100"}
USD_PER_HOUR = {A100: 2.21, H100: 4.76}
"""Of one GPU (Mutinifni/splitwise-sim@3780880 notebooks/utils.py)."""
BUDGET = 10 * USD_PER_HOUR[H100]
"""A quarter of their 40 DGX-H100 or 86 DGX-A100, in $/h for one GPU of each machine."""
PROMPT_BATCH = 2048
HIGHEST_RATE = 80.0
TRACES = {"coding": "azure_llm_2023_code.csv", "conversation": "azure_llm_2023_conv.csv"}
SLOWDOWNS = {"ttft": (2.0, 3.0, 6.0), "tbt": (1.25, 1.5, 5.0), "e2e": (1.25, 1.5, 5.0)}
"""At most so many times a DGX-A100 that has the request to itself, at P50, P90 and P99 (arXiv 2311.18677,
Table VI, quoted from memory: the paper was not opened again)."""


@dataclass(frozen=True)
class Cluster:
    """So many machines, each one replica with TP8. Without token machines, the others do both."""

    name: str
    prompt: str
    prompts: int
    token: str = A100
    tokens: int = 0

    @property
    def cost(self) -> float:
        """$/h for one GPU of each machine. Pure query."""
        return self.prompts * USD_PER_HOUR[self.prompt] + self.tokens * USD_PER_HOUR[self.token]

    def __str__(self) -> str:
        return (
            f"{self.name} ({self.prompts}P, {self.tokens}T)"
            if self.tokens
            else f"{self.name} ({self.prompts})"
        )


def affordable(accelerator: str, left: float = BUDGET) -> int:
    """Machines that ``left`` pays for."""
    return int(left / USD_PER_HOUR[accelerator] + 1e-9)


BASELINES = (
    Cluster("Baseline-A100", A100, affordable(A100)),
    Cluster("Baseline-H100", H100, affordable(H100)),
)


def splits(
    name: str, prompt: str, token: str, shares: tuple[float, ...], budget: float = BUDGET
) -> Iterator[Cluster]:
    """Clusters that spend these shares of ``budget`` on prompt machines, the rest on token machines."""
    for share in shares:
        prompts = max(1, round(share * budget / USD_PER_HOUR[prompt]))
        left = affordable(token, budget - prompts * USD_PER_HOUR[prompt])
        if left:
            yield Cluster(name, prompt, prompts, token, left)


def scenario(cluster: Cluster, rate: float, trace: Path, *, num_requests: int) -> dict[str, Any]:
    """``cluster`` under Poisson arrivals with the trace's lengths."""

    def pool(role: str, accelerator: str, count: int) -> dict[str, Any]:
        return {
            "name": role,
            "role": role,
            "accelerator": accelerator,
            "node": NODES[accelerator],
            "tensor_parallel_size": 8,
            "replicas": count,
            "cost_model": line(accelerator),
        }

    both = [pool("prefill", cluster.prompt, cluster.prompts), pool("decode", cluster.token, cluster.tokens)]
    return {
        "model": "llama-2-70b",
        "fleet": both if cluster.tokens else pool("mixed", cluster.prompt, cluster.prompts),
        "engine": {
            "scheduler": "chunked_prefill",
            "max_num_batched_tokens": PROMPT_BATCH,
            "max_num_seqs": 512,
            "max_model_len": 16_384,
        },
        "disaggregation": {"kv_transfer": "layerwise", "router": "least_tokens"},
        "workload": {
            "arrival": {"kind": "poisson", "request_rate": rate},
            "trace": str(trace.resolve()),
            "lengths": {"kind": "samples"},
            "num_requests": num_requests,
        },
        "router": "least_tokens",
    }


def meets(cluster: Cluster, trace: Path, rate: float, *, num_requests: int) -> bool:
    """Whether all nine targets are met."""
    result = run(scenario(cluster, rate, trace, num_requests=num_requests))
    found = slowdowns(RequestTable.of(result.record.requests, result.record.end_s))
    return all(
        np.percentile(found[name], percentile) <= limit
        for name, limits in SLOWDOWNS.items()
        for percentile, limit in zip((50, 90, 99), limits, strict=True)
    )


def slowdowns(table: RequestTable) -> dict[str, np.ndarray[Any, Any]]:
    """Times of each request over those on an idle DGX-A100."""
    cost = line(A100)
    first = np.array([seconds(cost, int(n), 1, n * (n + 1) / 2) for n in table.input_tokens])
    token = seconds(cost, 1, 1, 0)
    later = table.output_tokens - 1
    several = later > 0
    ttft = table.first_token_s - table.arrival_s
    e2e = table.finish_s - table.arrival_s
    return {
        "ttft": ttft / first,
        "tbt": ((e2e - ttft)[several] / later[several]) / token,
        "e2e": e2e / (first + later * token),
    }


def throughput(cluster: Cluster, trace: Path, *, num_requests: int = 1500, tolerance: float = 1.25) -> float:
    """Requests per second at most."""
    check = partial(meets, cluster, trace, num_requests=num_requests)
    return highest(check, 0.0, HIGHEST_RATE, tolerance)
