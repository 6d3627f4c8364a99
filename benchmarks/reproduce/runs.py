"""Scenarios made by a program, and the search for the highest rate they take."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml

import llmsim

Rates = Callable[[float], bool]


def run(scenario: dict[str, Any]) -> llmsim.Result:
    """Simulate ``scenario``, as a file would say it; paths in it are absolute."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "scenario.yaml"
        path.write_text(yaml.safe_dump(scenario))
        return llmsim.run(path)


def highest(meets: Rates, low: float, high: float, tolerance: float) -> float:
    """The highest rate that meets its targets, by bisection; 0 where none above ``low`` was found to.

    Args:
        meets: Whether a rate does.
        low: A rate taken to meet them.
        high: A rate taken not to.
        tolerance: The search ends when the interval is shorter than that.

    Returns:
        The lower end of the last interval.
    """
    while high - low > tolerance:
        middle = (low + high) / 2
        if meets(middle):
            low = middle
        else:
            high = middle
    return low


def highest_from(meets: Rates, start: float, share: float = 0.04) -> float:
    """The highest rate that meets its targets, to ``share`` of itself; ``start`` is taken to meet them."""
    low = start
    while meets(2 * low):
        low *= 2
    return highest(meets, low, 2 * low, share * low)


def normalised_latencies_s(result: llmsim.Result) -> list[float]:
    """End-to-end latency per output token of every request that came to its end."""
    done = (req for req in result.record.requests if req.finish_s > 0)
    return [(req.finish_s - req.arrival_s) / req.output_tokens for req in done]
