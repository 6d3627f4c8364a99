"""DeepSpeed-FastGen (arXiv 2401.08671): sixteen replicas of Llama-2-70B behind a load balancer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from reproduce.page import Reproduction, Row, relative
from reproduce.runs import run

ONE, SIXTEEN = 1.46, 23.7
"""Requests per second of one replica and of sixteen."""
REPLICAS = 16
CLIENTS = 32
"""In flight per replica: the most of their throughput curves; the figure itself does not say."""
INPUT, OUTPUT, SPREAD = 2600, 60, 0.30
"""Mean tokens of prompts and answers, normal, and their standard deviation as a share ("30% variance")."""
CONTEXT = 4096


def scenario(
    replicas: int, *, router: str = "least_requests", num_requests: int = 512, clients: int = CLIENTS
) -> dict[str, Any]:
    """``clients`` per replica, who send ``num_requests`` per replica; SplitFuse is chunked prefill."""
    return {
        "model": "llama-2-70b",
        "fleet": {"accelerator": "a100-sxm-80gb", "tensor_parallel_size": 4, "replicas": replicas},
        "engine": {"scheduler": "chunked_prefill", "max_num_batched_tokens": 2048, "max_num_seqs": 256},
        "workload": {
            "arrival": {"kind": "closed", "max_concurrency": clients * replicas},
            "num_requests": num_requests * replicas,
            "input_tokens": {"kind": "normal", "mean": INPUT, "std": SPREAD * INPUT, "max": CONTEXT - 200},
            "output_tokens": {"kind": "normal", "mean": OUTPUT, "std": SPREAD * OUTPUT, "max": 200},
        },
        "router": router,
    }


def throughput(replicas: int, **options: Any) -> float:
    """Requests per second of so many replicas."""
    return float(run(scenario(replicas, **options)).summary["request_throughput"])


def reproduce(data: Path) -> Reproduction:
    """One replica, sixteen, and sixteen with other routers; ``data`` is not needed."""
    one, sixteen = throughput(1), throughput(REPLICAS)
    others = {name: throughput(REPLICAS, router=name) for name in ("round_robin", "power_of_two", "random")}
    few = throughput(1, clients=8)
    flops = 2 * 69e9 * (INPUT + OUTPUT) / (4 * 312e12)  # of one request, in seconds of the four A100s' peak
    by_router = ", ".join(f"`{name}` {rate / one:.1f}×" for name, rate in others.items())
    return Reproduction(
        "DeepSpeed-FastGen: sixteen replicas",
        "deepspeedai/DeepSpeed@862edef blogs/deepspeed-fastgen/README.md §4E, Figure 6; arXiv 2401.08671",
        "Llama-2-70B, each replica four A100-80GB with TP4; prompts of 2600 tokens and answers of 60, normal with 30% "
        "deviation; a closed loop of 32 clients and 512 requests per replica; token budget 2048; `least_requests`.",
        [
            relative("one replica, requests/s", ONE, one, within=0.25),
            relative("sixteen replicas, requests/s", SIXTEEN, sixteen, within=0.25),
            Row(
                "sixteen replicas against one",
                f"{SIXTEEN / ONE:.1f}×",
                f"{sixteen / one:.2f}×",
                f"{sixteen / one / REPLICAS - 1:+.1%} from linear (limit 2%)",
                abs(sixteen / one / REPLICAS - 1) <= 0.02,
            ),
        ],
        [
            f"Scaling by router: `least_requests` {sixteen / one:.1f}×, {by_router}. What is lost of 16 is the end of "
            "the run, where replicas wait for the last.",
            f"The absolute rate is too high. {ONE} req/s are {ONE * flops:.0%} of the four cards' peak, {one:.2f} are "
            f"{one * flops:.0%}. The curves here are of cuBLAS and FlashAttention as vLLM calls them, all-reduces "
            "included; FastGen's first release ran kernels and a Python batcher of its own, of which no timing is "
            f"published. No engine file was made to fit. With 8 clients in flight it is {few:.2f} here; the figure "
            "does not say how many there were.",
        ],
    )
