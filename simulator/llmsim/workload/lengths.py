"""Draws prompt and output lengths.

However many are taken at a time, the same lengths come in the same order: each draw uses the random
stream one request after another, and what a redraw leaves over is kept for the next call.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from llmsim.files.traces import Trace
from llmsim.rng import Streams
from llmsim.spec.lengths import (
    ChoiceTokens,
    LogNormalTokens,
    NormalTokens,
    QuantileTokens,
    Tokens,
    UniformTokens,
)
from llmsim.workload.profile import LengthTable

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]


class Lengths(NamedTuple):
    """Lengths of some requests.

    Attributes:
        inputs, outputs: Tokens. shape (num_requests,) each
        class_names: Their classes; None where all are of the default class.
        labels: What a trace says of them beside, by the request's attribute; None without.
    """

    inputs: IntArray
    outputs: IntArray
    class_names: list[str] | None = None
    labels: dict[str, list[Any]] | None = None


Take = Callable[[int], Lengths]
"""``take(n)``: the next n requests' lengths."""

Draw = Callable[[int], IntArray]
"""``draw(n)``: the next n lengths of one kind."""


def independent(input_tokens: Tokens, output_tokens: Tokens, streams: Streams) -> Take:
    """Prompt and output lengths drawn apart, each from a stream of its own."""
    draw_input = drawer(input_tokens, streams("lengths.input"))
    draw_output = drawer(output_tokens, streams("lengths.output"))
    return lambda n: Lengths(draw_input(n), draw_output(n))


def drawer(tokens: Tokens, rng: np.random.Generator) -> Draw:
    """What draws lengths as ``tokens`` says."""
    match tokens:
        case UniformTokens():
            span = tokens.max - tokens.min + 1
            return lambda n: tokens.min + (rng.random(n) * span).astype(np.int64)
        case NormalTokens():
            return _Redrawn(tokens, lambda n: rng.normal(tokens.mean, tokens.std, n))
        case LogNormalTokens():
            return _Redrawn(tokens, lambda n: rng.lognormal(tokens.mu, tokens.sigma, n))
        case QuantileTokens():
            return lambda n: _whole(np.interp(rng.random(n) * 100, tokens.percentiles, tokens.tokens))
        case ChoiceTokens():
            values = np.array(tokens.tokens)
            shares = np.cumsum(tokens.weights or [1.0] * len(values))
            return lambda n: values[np.searchsorted(shares / shares[-1], rng.random(n), side="right")]
        case _:
            return lambda n: np.full(n, tokens)


class _Redrawn:
    """Draws until a length is within its limits (rejection sampling)."""

    def __init__(self, tokens: NormalTokens | LogNormalTokens, draw: Callable[[int], FloatArray]) -> None:
        self._least = tokens.min
        self._most = tokens.longest
        self._draw = draw
        self._left = np.empty(0, dtype=np.int64)

    def __call__(self, n: int) -> IntArray:
        """The next n lengths."""
        parts, have = [self._left], len(self._left)
        while have < n:
            drawn = np.rint(self._draw(n))
            accepted = drawn[(drawn >= self._least) & (drawn <= self._most)].astype(np.int64)
            parts.append(accepted)
            have += len(accepted)
        pool = np.concatenate(parts)
        self._left = pool[n:]
        return pool[:n]


class TableLengths:
    """Lengths from joint quantiles: a bin at random, then each length from its own quantiles there."""

    def __init__(self, table: LengthTable, rng: np.random.Generator) -> None:
        self._levels = np.array(table.percentiles) / 100  # (num_levels,)
        self._inputs = np.array(table.input_tokens, dtype=np.float64)  # (num_bins, num_levels)
        self._outputs = np.array(table.output_tokens, dtype=np.float64)  # (num_bins, num_levels)
        self._rng = rng

    def __call__(self, n: int) -> Lengths:
        """The next n requests' lengths."""
        uniform = self._rng.random((n, 2))
        place = uniform[:, 0] * len(self._inputs)
        row = place.astype(np.int64)
        return Lengths(
            self._quantile(self._inputs, row, place - row), self._quantile(self._outputs, row, uniform[:, 1])
        )

    def _quantile(self, table: FloatArray, row: IntArray, level: FloatArray) -> IntArray:
        """``table[row]`` at ``level``, straight lines between the levels given. shape (n,)"""
        below = np.searchsorted(self._levels, level, side="right") - 1
        low, high = self._levels[below], self._levels[below + 1]
        share = (level - low) / (high - low)
        return _whole(table[row, below] * (1 - share) + table[row, below + 1] * share)


class RowOrder:
    """Rows of a trace one after another, from the first again after the last."""

    def __init__(self, trace: Trace) -> None:
        self._trace = trace
        self._next = 0

    def __call__(self, n: int) -> Lengths:
        """The next n requests' lengths."""
        rows = np.arange(self._next, self._next + n) % len(self._trace)
        self._next += n
        return _rows(self._trace, rows)


def random_rows(trace: Trace, rng: np.random.Generator) -> Take:
    """Rows of a trace drawn at random, with replacement."""
    return lambda n: _rows(trace, (rng.random(n) * len(trace)).astype(np.int64))


def _rows(trace: Trace, rows: IntArray) -> Lengths:
    names = trace.class_names
    class_names = None if names is None else [names[row] for row in rows.tolist()]
    labels = {name: [values[row] for row in rows.tolist()] for name, values in trace.labels.items()}
    return Lengths(trace.input_tokens[rows], trace.output_tokens[rows], class_names, labels)


def _whole(tokens: FloatArray) -> IntArray:
    """Rounded to whole tokens; the ends of a distribution are whole, so nothing falls below 1."""
    return np.rint(tokens).astype(np.int64)
