"""Sarathi-Serve's ablation (arXiv 2403.02310, Table 4): hybrid batches alone, chunked prefills alone, and both."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from statistics import mean
from typing import Any

from reproduce.page import Reproduction, Row
from reproduce.runs import run
from reproduce.sarathi_lengths import TRACES

PUBLISHED = {
    ("sharegpt4", "hybrid"): (0.53, 0.68),
    ("sharegpt4", "chunked"): (1.04, 0.17),
    ("sharegpt4", "both"): (0.76, 0.14),
    ("arxiv", "hybrid"): (3.78, 1.38),
    ("arxiv", "chunked"): (5.38, 0.20),
    ("arxiv", "both"): (3.90, 0.17),
}
"""Seconds of P50 TTFT and P99 TBT, by trace and variant."""
NAMES = {
    "hybrid": "hybrid batches only",
    "chunked": "chunked prefills only",
    "both": "both",
}
REQUESTS, SEEDS = 128, 12
BUDGET = 512
"""Tokens of a chunk in the authors' script for this table; the paper's text says 1024."""
LIMIT = 0.25


@dataclass(frozen=True)
class Figure:
    """Over the seeds: the mean, the least and the greatest of one percentile, in seconds."""

    mean: float
    low: float
    high: float


def scenario(
    trace: str,
    variant: str,
    *,
    budget: int = BUDGET,
    rate: float | None = None,
    version: str | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    """One run of the table; hybrid batches alone have a budget that no prompt exceeds, so that all stay whole."""
    setting = TRACES[trace]
    return {
        "model": "yi-34b",
        "fleet": {"accelerator": "a100-sxm-80gb", "tensor_parallel_size": 2},
        "engine": {
            "version": version,  # of vLLM, whose host times it has
            "scheduler": "simple_chunking" if variant == "chunked" else "chunked_prefill",
            "max_num_batched_tokens": budget,
            "max_num_seqs": 128,
            "max_model_len": 20_000,  # of their 200K variant; the lengths keep within the trace's own limit
        },
        "workload": {
            "arrival": {"kind": "poisson", "request_rate": rate or setting.ablation_rate},
            "num_requests": REQUESTS,
            **setting.lengths,
        },
        "simulation": {"seed": seed},
    }


@cache
def figures(
    trace: str,
    variant: str,
    *,
    budget: int | None = None,
    rate: float | None = None,
    version: str | None = None,
    seeds: int = SEEDS,
) -> tuple[Figure, Figure]:
    """P50 TTFT and P99 TBT; without ``budget`` that of the script: for hybrid batches alone the longest request."""
    tokens = budget or (TRACES[trace].longest if variant == "hybrid" else BUDGET)
    scenarios = [
        scenario(trace, variant, budget=tokens, rate=rate, version=version, seed=seed)
        for seed in range(seeds)
    ]
    runs = [run(each).summary for each in scenarios]
    ttft_s, tbt_s = ([float(each[name]) / 1e3 for each in runs] for name in ("p50_ttft_ms", "p99_itl_ms"))
    return _figure(ttft_s), _figure(tbt_s)


def in_order(trace: str, which: int, **options: Any) -> list[str]:
    """The variants from the lowest to the highest P50 TTFT (``which`` 0) or P99 TBT (1)."""
    found = {variant: figures(trace, variant, **options)[which].mean for variant in NAMES}
    return sorted(found, key=lambda variant: found[variant])


def published_order(trace: str, which: int) -> list[str]:
    """The same in the paper."""
    return sorted(NAMES, key=lambda variant: PUBLISHED[trace, variant][which])


def reproduce(data: Path) -> Reproduction:
    """Table 4 with the script's budget, then what budget, rate and lengths change; ``data`` is not needed."""
    rows = [_row(trace, variant, which) for which in (0, 1) for trace in TRACES for variant in NAMES]
    orders = [_order_row(trace, which) for which in (0, 1) for trace in TRACES]
    return Reproduction(
        "Sarathi-Serve: hybrid batches, chunked prefills, and both",
        "arXiv 2403.02310 (OSDI'24) Tables 2 and 4; microsoft/sarathi-serve@02d2567 osdi-experiments/table-6, "
        "@13f16cf sarathi/core/scheduler",
        "Yi-34B on two A100-80GB with TP2; 128 requests, Poisson at 1 req/s (sharegpt4) and 0.5 req/s (arxiv), at "
        "most 128 at a time, as in the authors' script; lengths through the published quantiles, as neither trace is "
        "at hand. Hybrid batches only: `chunked_prefill` with a budget of 8192 and 16384 tokens; chunked prefills "
        f"only: `simple_chunking`, 512; both: `chunked_prefill`, 512. Here: the mean over {SEEDS} draws, and their "
        "range.",
        rows + orders,
        [_on_budget(), _on_rate(), _on_queue(), _on_whole_prompts(), _on_device(), _on_lengths()],
    )


def _on_budget() -> str:
    at_1024 = "; ".join(
        f"{trace} {NAMES[variant]} {_said(figures(trace, variant, budget=1024))} ({_published(trace, variant)})"
        for trace in TRACES
        for variant in ("chunked", "both")
    )
    return (
        "Budget: the paper's text says 1024, the authors' script 512. The published TBT are of 512: a pass of 1024 "
        "tokens took their engine 0.214 to 0.218 s (figure-2/prefill.csv, table-2/results.csv of the artifact; "
        f"{_alone_s(1024):.3f} s here), one of 512 0.106 s ({_alone_s(512):.3f} s here). With 1024, P50 TTFT / P99 "
        f"TBT here and published: {at_1024}. So the TTFT are nearer to 1024, the TBT to 512; no budget gives both."
    )


def _on_rate() -> str:
    slower = "; ".join(
        f"{NAMES[variant]} {_said(figures('sharegpt4', variant, rate=0.7))} ({_published('sharegpt4', variant)})"
        for variant in NAMES
    )
    return (
        "Rate: the paper's text gives none. Passes took their engine longer than they take here, so at the script's "
        "rates its TTFT could not have been shorter: less was offered, or the 128 prompts were short ones. At 0.7 "
        f"req/s, one of the rates of osdi-experiments/figure-7, sharegpt4 has: {slower}."
    )


def _on_queue() -> str:
    gap_s = float(run(scenario("arxiv", "chunked")).summary["p50_itl_ms"]) / 1e3
    quiet = figures("arxiv", "chunked", rate=0.4)[0].mean
    return (
        f"Arxiv, chunked prefills only: {gap_s:.3f} s, the median between tokens, hold a chunk of 512 and "
        f"the turn of the decodes. That is {BUDGET / gap_s:,.0f} prompt tokens a second, and 0.5 req/s bring 3,875: at "
        f"its end a queue hangs on the draw. At 0.4 req/s P50 TTFT is {quiet:.1f} s."
    )


def _on_whole_prompts() -> str:
    cut = _said(figures("arxiv", "hybrid", budget=8192))
    return (
        "Arxiv, hybrid batches only: with whole prompts P99 TBT is the time of a long prompt, and two in five "
        "have more than 8192 tokens, which alone took their engine 1.86 s (figure-2/prefill.csv). A published 1.38 s "
        f"says that passes were cut shorter than the script has it. With a budget of 8192 it is {cut} here "
        f"({_published('arxiv', 'hybrid')})."
    )


def _on_device() -> str:
    older = _said(figures("sharegpt4", "both", version="0.2"))
    return (
        "Their cards are PCIe ones of 300 W, joined in pairs by NVLink bridges. They stand here as two of a DGX: the "
        "all-reduce of such a pair is as fast (185 MB in 0.995 ms, microsoft/vidur@7d47513), long prompts are not "
        f"(4096 tokens: 0.758 s there, {_alone_s(4096):.3f} s here), nor are chunks: TBT is too low by as much as the "
        "pass of 512 is. Host times are those of vLLM V1, with which 32 decodes at a context of 4096 take about what "
        "a fifth of the strict targets says (see the next section); with vLLM 0.2's, both together on sharegpt4 have "
        f"{older}."
    )


def _on_lengths() -> str:
    return (
        "Lengths: the medians of prompts are as others quote them; the other quantiles could not be checked against "
        "the paper. Of sharegpt4's trace, which the artifact has, a slice of 201 rows has means of 2473 and 418 "
        "tokens where the lines used here have 2601 and 448. The arxiv trace of up to 16,384 tokens was not found; "
        "Vidur's is cut at 4096."
    )


@cache
def _alone_s(tokens: int) -> float:
    """Seconds of a pass over a prompt of so many tokens, by itself."""
    lone = scenario("arxiv", "both", budget=tokens)
    lone["workload"] = {
        "arrival": {"kind": "closed", "max_concurrency": 1},
        "num_requests": 1,
        "input_tokens": tokens,
        "output_tokens": 1,
    }
    record = run(lone).record
    return float(record.steps.column("first_s")[0])


def _figure(values: list[float]) -> Figure:
    return Figure(mean(values), min(values), max(values))


def _row(trace: str, variant: str, which: int) -> Row:
    theirs, ours = PUBLISHED[trace, variant][which], figures(trace, variant)[which]
    error = ours.mean / theirs - 1
    return Row(
        f"{trace}, {NAMES[variant]}: {('P50 TTFT', 'P99 TBT')[which]}",
        f"{theirs:.2f} s",
        f"{ours.mean:.2f} s ({ours.low:.2f} to {ours.high:.2f})",
        f"{error:+.0%} (limit {LIMIT:.0%})",
        abs(error) <= LIMIT,
    )


def _order_row(trace: str, which: int) -> Row:
    theirs, ours = published_order(trace, which), in_order(trace, which)
    return Row(
        f"{trace}: order by {('P50 TTFT', 'P99 TBT')[which]}",
        " < ".join(NAMES[each] for each in theirs),
        " < ".join(NAMES[each] for each in ours),
        "",
        theirs == ours,
    )


def _said(pair: tuple[Figure, Figure]) -> str:
    return f"{pair[0].mean:.2f} / {pair[1].mean:.2f} s"


def _published(trace: str, variant: str) -> str:
    ttft_s, tbt_s = PUBLISHED[trace, variant]
    return f"{ttft_s:.2f} / {tbt_s:.2f}"
