"""DistServe's simulator: the placement of OPT-13B on one node of four A100s (arXiv 2401.09670, OSDI'24).

Their search tries every pair of tensor degrees for one prefill and one decode instance, finds by bisection
the highest rate per GPU at which 90% of the requests meet each target, and counts the GPUs used.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path
from statistics import mean
from typing import Any

from reproduce.page import Reproduction, Row, relative
from reproduce.runs import highest, run

PUBLISHED_RATE = 1.56
"""Requests per second and GPU: the lower end of their last interval, 1.5625 to 1.71875."""
HIGHEST_RATE, TOLERANCE = 5.0, 0.25
"""Theirs, per GPU (``--max-per-gpu-rate 5 --esp 0.25``)."""
TTFT_MS, TPOT_MS = 200.0, 100.0
GPUS = 4

PERCENTILES = [0, 5, 10, 20, 30, 40, 50, 60, 70, 80, 90, 95, 100]
SHAREGPT = {
    "input_tokens": {
        "kind": "quantiles",
        "percentiles": PERCENTILES,
        "tokens": [9, 31, 94, 279, 430, 573, 758, 867, 1047, 1319, 1512, 1718, 2003],
    },
    "output_tokens": {
        "kind": "quantiles",
        "percentiles": PERCENTILES,
        "tokens": [2, 5, 9, 14, 23, 36, 67, 164, 236, 337, 478, 594, 1085],
    },
}
"""Percentiles of the 300 requests (mean 780 and 176 tokens) of their own ShareGPT runs: LLMServe/DistServe@20a1633,
simdistserve/benchmarks/alignment/data-ground-truth/opt-13b-sharegpt-workload/distserve-c21d11-300-6.exp."""

Lines = Mapping[tuple[int, str], dict[str, Any]]
"""Cost models by tensor degree and role."""


@dataclass(frozen=True)
class Placement:
    """How many instances of which tensor degree."""

    prefill_tp: int
    decode_tp: int
    prefill_count: int = 1
    decode_count: int = 1

    @property
    def gpus(self) -> int:
        """GPUs that it uses. Pure query."""
        return self.prefill_tp * self.prefill_count + self.decode_tp * self.decode_count

    def __str__(self) -> str:
        return f"prefill {self.prefill_count} × TP{self.prefill_tp}, decode {self.decode_count} × TP{self.decode_tp}"


PUBLISHED_PLACEMENT = Placement(prefill_tp=2, decode_tp=1)


def fitted_lines(data: Path) -> Lines:
    """Their fitted iteration times as cost models, by tensor degree and role; the small-batch decode line."""
    text = (data / "calibration" / "op_distserve_fit.csv").read_text().splitlines()
    rows = csv.DictReader(line for line in text if not line.startswith("#"))
    lines: dict[tuple[int, str], dict[str, Any]] = {}
    for row in rows:
        if row["engine"] != "distserve" or row["model"] != "facebook/opt-13b":
            continue
        seconds = {name: float(row[name]) / 1e3 for name in row if name.startswith(("prefill_", "dec_"))}
        lines[int(row["tp"]), "prefill"] = {
            "kind": "linear",
            "iteration_s": seconds["prefill_a"],
            "per_token_s": seconds["prefill_b"],
            "per_prefill_pair_s": 2 * seconds["prefill_c"],  # n² is twice the number of query-key pairs
        }
        lines[int(row["tp"]), "decode"] = {
            "kind": "linear",
            "iteration_s": seconds["dec_small_a"],
            "per_sequence_s": seconds["dec_small_c"],
            "per_decode_kv_token_s": seconds["dec_small_b"],
        }
    return lines


def scenario(
    placement: Placement,
    rate: float,
    lines: Lines,
    *,
    lengths: Mapping[str, Any] = SHAREGPT,
    num_requests: int = 300,
    seed: int = 0,
) -> dict[str, Any]:
    """``placement`` under Poisson arrivals at ``rate`` requests per second; prompts are batched without a limit."""

    def pool(role: str, degree: int, count: int) -> dict[str, Any]:
        return {
            "name": role,
            "role": role,
            "accelerator": "a100-sxm-80gb",
            "tensor_parallel_size": degree,
            "replicas": count,
            "cost_model": lines[degree, role],
        }

    return {
        "model": "opt-13b",
        "fleet": [
            pool("prefill", placement.prefill_tp, placement.prefill_count),
            pool("decode", placement.decode_tp, placement.decode_count),
        ],
        "engine": {"scheduler": "vllm", "max_num_batched_tokens": 100_000, "max_num_seqs": 4096},
        "workload": {
            "arrival": {"kind": "poisson", "request_rate": rate},
            "num_requests": num_requests,
            **lengths,
        },
        "router": "least_requests",
        "simulation": {"seed": seed},
    }


def meets(placement: Placement, lines: Lines, per_gpu_rate: float, **options: Any) -> bool:
    """Whether 90% of the requests meet the target of TTFT, and 90% that of TPOT, as they judge it."""
    summary = run(scenario(placement, per_gpu_rate * placement.gpus, lines, **options)).summary
    return summary["p90_ttft_ms"] < TTFT_MS and summary["p90_tpot_ms"] < TPOT_MS


def placements(*, single: bool) -> Iterator[Placement]:
    """Every placement on four GPUs; ``single`` keeps to one instance of each role, as their search does."""
    counts = (1,) if single else (1, 2, 3)
    for degrees in product((1, 2), (1, 2), counts, counts):
        if (placement := Placement(*degrees)).gpus <= GPUS:
            yield placement


def best_rate(placement: Placement, lines: Lines, *, tolerance: float = TOLERANCE, **options: Any) -> float:
    """Requests per second and GPU that ``placement`` takes, by their bisection."""
    check: Callable[[float], bool] = partial(meets, placement, lines, **options)
    return highest(check, 0.0, HIGHEST_RATE, tolerance)


def trace_lengths(data: Path) -> dict[str, Any]:
    """Other ShareGPT prompts, answered by Llama-3.1-8B (casys-kaist/LLMServingSim): 857 tokens in, 653 out."""
    path = data / "traces" / "sharegpt_llama31_300req_lengths.jsonl"
    return {"trace": str(path.resolve()), "lengths": {"kind": "samples"}}


def reproduce(data: Path) -> Reproduction:
    """Their search; the same with several instances of a role, and with other answers."""
    lines = fitted_lines(data)
    found = {each: best_rate(each, lines) for each in placements(single=True)}
    best = max(found, key=lambda each: found[each])
    fine = _fine(PUBLISHED_PLACEMENT, lines)
    several = {each: best_rate(each, lines) for each in placements(single=False)}
    rival = max((each for each in several if each not in found), key=lambda each: several[each])
    rival_fine = _fine(rival, lines)
    other = {each: best_rate(each, lines, lengths=trace_lengths(data)) for each in found}
    other_best = max(other, key=lambda each: other[each])
    return Reproduction(
        "DistServe: where to put prefill and decode",
        "LLMServe/DistServe@09804e8 simdistserve/README.md; OSDI'24, arXiv 2401.09670",
        "OPT-13B on four A100-80GB of one node, ShareGPT lengths of their own runs, Poisson arrivals, TTFT 0.2 s and "
        "TPOT 0.1 s for 90% each, 300 requests, their fitted prefill and decode lines as cost model, their bisection.",
        [
            Row("best placement", str(PUBLISHED_PLACEMENT), str(best), "", best == PUBLISHED_PLACEMENT),
            relative("requests/s and GPU, their bisection", PUBLISHED_RATE, found[best], within=0.25),
            relative("the same, mean of 3 × 3,000 requests", PUBLISHED_RATE, mean(fine), within=0.25),
        ],
        [
            "Their bisection has a grid of 0.156: 1.56 says from 1.5625 to 1.71875. Between seeds of 3,000 requests "
            f"it is {min(fine):.2f} to {max(fine):.2f} here.",
            f"Per GPU used: {best} takes {best.gpus} of the four. With the whole node paid for, its "
            f"{found[best] * best.gpus:.2f} req/s are {found[best] * best.gpus / GPUS:.2f} per GPU.",
            f"Every pair of single instances, in requests/s and GPU: {_listed(found)}.",
            f"With more than one instance of a role, which their search does not try, {rival} is as good: "
            f"{mean(rival_fine):.2f} ({min(rival_fine):.2f} to {max(rival_fine):.2f}). In both it is the KV memory of "
            "the one decode GPU that ends the rate.",
            "Their simulator moves KV in no time and without a memory limit; here it crosses NVLink, and a decode GPU "
            "holds what fits beside the weights.",
            "Long answers change the plan: with 300 ShareGPT prompts as Llama-3.1-8B answered them (653 tokens, almost "
            f"four times as long) the best is {other_best} ({other[other_best]:.2f}), as one A100 has no room for the "
            f"KV; all: {_listed(other)}.",
        ],
    )


def _fine(placement: Placement, lines: Lines) -> list[float]:
    """Its rate per GPU to 0.03, with ten times the requests, for three seeds."""
    return [best_rate(placement, lines, tolerance=0.03, num_requests=3000, seed=seed) for seed in range(3)]


def _listed(rates: Mapping[Placement, float]) -> str:
    return "; ".join(f"{each}: {rate:.2f}" for each, rate in rates.items())
