"""Where a law is broken, in words: the number of cases and the first of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Columns = Mapping[str, npt.NDArray[Any]]

TOLERANCE = 1e-9
"""Relative: clocks that should agree may differ by rounding only."""


def first_case(law: str, broken: Bools, columns: Columns) -> Iterator[str]:
    """``law`` with the values of ``columns`` where ``broken`` holds first; nothing when it never does."""
    if broken.any():
        at = int(np.argmax(broken))
        values = ", ".join(f"{name} {column[at].item()!r}" for name, column in columns.items())
        yield f"{law} ({int(broken.sum())} cases; first: {values})"


def is_before(later: Floats, earlier: Floats) -> Bools:
    """Where ``later`` lies before ``earlier`` by more than rounding; nan never does."""
    return later < earlier - TOLERANCE * np.maximum(1.0, np.abs(earlier))
