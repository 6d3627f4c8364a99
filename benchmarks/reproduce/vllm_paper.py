"""vLLM (SOSP'23): how many requests run at once, and the rates that Orca, FasterTransformer and vLLM sustain."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from reproduce.lengths import SHAPE, SHAREGPT, pair
from reproduce.page import Reproduction, Row, relative
from reproduce.runs import highest_from, normalised_latencies_s, run
from reproduce.vllm_steps import Steps, remark, steps_of

MODELS: dict[str, dict[str, Any]] = {
    "OPT-13B": {"model": "opt-13b", "accelerator": "a100-sxm-40gb", "devices": 1, "slots": 15_700},
    "OPT-66B": {"model": "opt-66b", "accelerator": "a100-sxm-40gb", "devices": 4, "slots": 9_700},
    "OPT-175B": {"model": "opt-175b", "accelerator": "a100-sxm-80gb", "devices": 8, "slots": 60_100},
}
"""Table 1: the device, and the KV slots beside the weights, in tokens."""
LONGEST = 2048
SYSTEMS: dict[str, dict[str, Any]] = {
    "FasterTransformer": {
        "name": "fastertransformer",
        "scheduler": "dynamic",
        "kv_cache": "contiguous_max",
    },
    "Orca (Max)": {"scheduler": "orca", "kv_cache": "contiguous_max"},
    "Orca (Pow2)": {"scheduler": "orca", "kv_cache": {"kind": "buddy", "reserve": "pow2"}},
    "Orca (Oracle)": {"scheduler": "orca", "kv_cache": {"kind": "buddy", "reserve": "oracle"}},
    "vLLM": {"scheduler": "vllm", "kv_cache": "paged"},
}
"""Their Orca is their own, in the program of vLLM: so it has vLLM 0.2's host times here."""
FIGURE_13A = {"Orca (Max)": 7.00, "Orca (Pow2)": 9.81, "Orca (Oracle)": 13.62, "vLLM": 30.42}
"""Mean batched requests, OPT-13B, ShareGPT at 2 requests/s."""
WITHIN = dict.fromkeys(FIGURE_13A, 0.15) | {"Orca (Max)": 0.001}
"""The first is arithmetic: seats that are always taken."""
RATIOS = {"Orca (Oracle)": (1.7, 2.7), "Orca (Max)": (2.7, 8.0), "FasterTransformer": (1.0, 22.0)}
"""Figure 12, ShareGPT: vLLM's rate over theirs, from the least to the most of the three models."""
OUTSIDE = 0.15
"""Share by which a ratio may lie outside the published range."""
LIMIT_S = 0.5
"""Mean normalised latency, s/token, up to which a rate counts as sustained: half the height of their plots."""


def scenario(
    system: str, rate: float, *, model: str = "OPT-13B", duration_s: float = 3600, shape: float = SHAPE
) -> dict[str, Any]:
    """``system`` at ``rate`` requests/s of ShareGPT's mean lengths, which arrive for ``duration_s``."""
    place = MODELS[model]
    return {
        "model": place["model"],
        "fleet": {"accelerator": place["accelerator"], "tensor_parallel_size": place["devices"]},
        "engine": {
            "name": "vllm",
            "version": "0.2" if system != "FasterTransformer" else None,
            "max_model_len": LONGEST,
            "num_kv_tokens": place["slots"],
            **SYSTEMS[system],
        },
        "workload": {
            "arrival": {"kind": "poisson", "request_rate": rate},
            "duration_s": duration_s,
            **pair(SHAREGPT, LONGEST, shape),
        },
    }


def mean_batch(system: str, *, shape: float = SHAPE, duration_s: float = 3600) -> float:
    """Mean batched requests at 2 requests/s, OPT-13B, while they arrive."""
    asked = scenario(system, 2.0, shape=shape, duration_s=duration_s)
    asked["simulation"] = {"max_duration_s": duration_s}
    return float(run(asked).summary["mean_batch_size"])


def sustained(system: str, model: str, *, duration_s: float = 3600) -> float:
    """The highest rate with a mean normalised latency of ``LIMIT_S``, to 4%."""

    def meets(rate: float) -> bool:
        result = run(scenario(system, rate, model=model, duration_s=duration_s))
        return fmean(normalised_latencies_s(result)) <= LIMIT_S

    return highest_from(meets, 0.02)


def rates(model: str, *, duration_s: float = 3600) -> dict[str, float]:
    """Sustained requests/s by system; Orca (Pow2) has no published range."""
    return {name: sustained(name, model, duration_s=duration_s) for name in SYSTEMS if name != "Orca (Pow2)"}


def steps(system: str, model: str, *, rate: float = 20.0, duration_s: float = 600) -> Steps:
    """Its steps under more than it can serve."""
    asked = scenario(system, rate, model=model, duration_s=duration_s / 6)
    asked["simulation"] = {"max_duration_s": duration_s}
    return steps_of(run(asked), after_s=duration_s / 6)


def reproduce(data: Path) -> Reproduction:
    """Figures 13a and 12; ``data`` is not needed."""
    batches = {system: mean_batch(system) for system in FIGURE_13A}
    found = {name: rates(name, duration_s=900 if name == "OPT-175B" else 3600) for name in MODELS}
    rows = [
        relative(f"mean batched requests, {system}", published, batches[system], within=WITHIN[system])
        for system, published in FIGURE_13A.items()
    ]
    for system, (least, most) in RATIOS.items():
        ratios = [each["vLLM"] / each[system] for each in found.values()]
        rows.append(_range_row(f"vLLM against {system}, sustained rate", least, most, ratios))
    return Reproduction(
        "vLLM: paged KV against reservations",
        "Kwon et al. 2023, SOSP, arXiv 2309.06180: Table 1, Figures 11, 12 and 13a, and §6.2",
        "OPT-13B on one A100-40GB, 66B on four, 175B on eight A100-80GB, with the KV slots of Table 1; Poisson "
        "arrivals for an hour (15 minutes for 175B); lengths lognormal with ShareGPT's mean tokens 161.31 and 337.99 "
        f"(after a cut at 1024) and a deviation of the logarithm of {SHAPE:g}; a rate is sustained while the mean "
        f"normalised latency is at most {LIMIT_S} s/token.",
        rows,
        _remarks(found),
    )


def _range_row(what: str, least: float, most: float, ratios: Sequence[float]) -> Row:
    """A row about a published range over the models, by model; met where each is inside, or a little outside."""
    met = least * (1 - OUTSIDE) <= min(ratios) and max(ratios) <= most * (1 + OUTSIDE)
    theirs = f"up to {most:g}×" if least == 1.0 else f"{least:g}× to {most:g}×"
    ours = " / ".join(f"{ratio:.2f}×" for ratio in ratios)
    return Row(what, theirs, ours, f"13B / 66B / 175B (limit {OUTSIDE:.0%} outside)", met)


def _remarks(found: dict[str, dict[str, float]]) -> list[str]:
    by_model = "; ".join(
        f"{model}: " + ", ".join(f"{system} {rate:.2f}" for system, rate in each.items())
        for model, each in found.items()
    )
    shapes = "; ".join(
        f"{shape:g}: " + " / ".join(f"{mean_batch(each, shape=shape):.2f}" for each in FIGURE_13A)
        for shape in (0.8, 1.2)
    )
    return [
        f"Sustained requests/s. {by_model}.",
        f"The lengths are published as histograms only. Mean batched requests with other shapes: {shapes}. Prompts and "
        "answers are drawn apart; in ShareGPT they belong together.",
        remark(
            (steps("Orca (Oracle)", "OPT-66B"), steps("vLLM", "OPT-66B")),
            (steps("Orca (Oracle)", "OPT-175B"), steps("vLLM", "OPT-175B")),
            wanted=RATIOS["Orca (Oracle)"][0],
        ),
        "“Up to 22×” is over all workloads of Figure 12, Alpaca's short answers included; with ShareGPT's it is less "
        "here. FasterTransformer pads prompts to the longest of the batch.",
        "The paged kernel's 20–26% longer attention (Figure 18a) is not charged to vLLM.",
    ]
