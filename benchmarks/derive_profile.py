"""Derives a workload profile from a request trace: its rate over time and its joint length quantiles.

    python benchmarks/derive_profile.py azure-2023-conversation AzureLLMInferenceTrace_conv.csv \
        > workloads/azure-2023-conversation.yaml

The trace may be of any format that `llmsim trace info` knows. For a profile of your own give its name,
--window and --source; `profile: mine.yaml` in a scenario then uses it. The same trace gives the same bytes.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from llmsim.files.traces import Trace, read_trace

NUM_BINS = 20
PERCENTILES = (0, 1, 2, 5, 10, 20, 30, 40, 50, 60, 70, 80, 90, 95, 98, 99, 99.5, 100)
AZURE_2023 = (
    "Azure LLM inference traces 2023 (github.com/Azure/AzurePublicDataset, data/{file} at b469a11), "
    "published with Patel et al., Splitwise: Efficient Generative LLM Inference Using Phase Splitting, "
    "ISCA 2024"
)
KNOWN: dict[str, dict[str, Any]] = {
    "azure-2023-conversation": {
        "description": "One hour of a conversation service at Azure, 2023-11-16",
        "source": AZURE_2023.format(file="AzureLLMInferenceTrace_conv.csv"),
        "licence": "CC-BY-4.0",
        "window_s": 60.0,
    },
    "azure-2023-code": {
        "description": "One hour of a code completion service at Azure, 2023-11-16: long prompts, bursts",
        "source": AZURE_2023.format(file="AzureLLMInferenceTrace_code.csv"),
        "licence": "CC-BY-4.0",
        "window_s": 5.0,
    },
}
"""What is said of each shipped profile, and the length of its windows."""


def main() -> None:
    """Prints the profile of a trace."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("name", help=f"name of the profile; known: {', '.join(KNOWN)}")
    parser.add_argument("trace", type=Path)
    parser.add_argument("--window", type=float, help="length of a window of the rate, in s")
    parser.add_argument("--source", help="where the trace comes from")
    arguments = parser.parse_args()
    about = {"description": "A trace", "source": arguments.trace.name, "licence": "unknown", "window_s": 60.0}
    about |= KNOWN.get(arguments.name, {})
    about["window_s"] = arguments.window or about["window_s"]
    about["source"] = arguments.source or about["source"]
    sys.stdout.write(profile_text(arguments.name, read_trace(arguments.trace), about))


def profile_text(name: str, trace: Trace, about: dict[str, Any]) -> str:
    """The profile of ``trace`` as a YAML file."""
    command = f"python benchmarks/derive_profile.py {name} TRACE"
    lines = [
        f"name: {name}",
        *(f'{key}: "{about[key]}"' for key in ("description", "source", "licence")),
        f'derived_by: "{command}"',
    ]
    if trace.arrival_s is not None:
        lines += rate_lines(trace.arrival_s, about["window_s"])
    return "\n".join([*lines, *length_lines(trace)]) + "\n"


def rate_lines(arrival_s: np.ndarray, window_s: float) -> list[str]:
    """Mean rate per window, and the burstiness that is left when time runs at that rate.

    Placing each arrival at Λ(t), the requests expected by then, turns gaps into multiples of the mean
    gap at that moment. Gamma gaps of burstiness b have CV² = 1/b, so b = 1/CV².
    """
    duration_s = round(float(arrival_s[-1]), 3)
    edges = np.append(np.arange(0, duration_s, window_s), duration_s)
    counts = np.histogram(np.minimum(arrival_s, duration_s), edges)[0]
    rates = [f"{rate:.4g}" for rate in counts / np.diff(edges)]
    gaps = np.diff(np.interp(arrival_s, edges, np.append(0, np.cumsum(counts))))
    burstiness = gaps.mean() ** 2 / gaps.var()
    return [
        "rate:",
        f"  window_s: {window_s}",
        f"  duration_s: {duration_s}",
        f"  burstiness: {burstiness:.3g}",
        "  requests_per_s:",
        *rows(rates, per_line=20, indent="    "),
    ]


def length_lines(trace: Trace) -> list[str]:
    """Quantiles of both lengths in bins of equally many requests, by prompt length."""
    order = np.argsort(trace.input_tokens, kind="stable")
    bins = np.array_split(order, NUM_BINS)
    lines = ["lengths:", f"  percentiles: [{', '.join(map(str, PERCENTILES))}]"]
    for key, tokens in (("input_tokens", trace.input_tokens), ("output_tokens", trace.output_tokens)):
        lines.append(f"  {key}:")
        for rows_of_bin in bins:
            values = np.rint(np.percentile(tokens[rows_of_bin], PERCENTILES)).astype(int)
            lines.append(f"    - [{', '.join(map(str, values))}]")
    return lines


def rows(cells: list[str], per_line: int, indent: str) -> Iterable[str]:
    """``cells`` as a YAML list over several lines."""
    starts = range(0, len(cells), per_line)
    parts = [", ".join(cells[start : start + per_line]) for start in starts]
    yield f"{indent}[{parts[0]}" + ("," if len(parts) > 1 else "]")
    for number, part in enumerate(parts[1:], start=2):
        yield f"{indent} {part}" + ("," if number < len(parts) else "]")


if __name__ == "__main__":
    main()
