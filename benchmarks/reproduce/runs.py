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
