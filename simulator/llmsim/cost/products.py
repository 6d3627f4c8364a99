"""Matrix products: dense ones, and those of routed experts (F8).

Both take ``floor + max(c, m) + overlap·min(c, m)``: ``c`` the arithmetic, ``m`` the bytes. The fits to
kernel timings (``llmsim.calibrate.kernels``) use the functions of this file.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from llmsim.cost.ops import Needs, Op, Work

CLOCKS_FALL_S = 2e-3
"""Kernels of about this length at peak are long enough for the power limit to lower the clocks."""


def wave_rows(rows: int, tile_rows: tuple[int, int], column_tiles: int, split: int, num_sms: int) -> float:
    """Rows that each multiprocessor computes: tiles in whole waves, the last filled by split-K. Pure query.

    A tile's rows are a power of two between the two of ``tile_rows``.
    """
    tile = min(tile_rows[1], max(tile_rows[0], 1 << (rows - 1).bit_length()))
    tiles = -(-rows // tile) * column_tiles
    return tile * -(-tiles * split // num_sms) / split


def hidden(compute: float, memory: float, overlap: float) -> tuple[float, float]:
    """The two needs, the longer with the part of the shorter that it does not hide. Pure query."""
    if compute > memory:
        return compute + overlap * memory, memory
    return compute, memory + overlap * compute


@dataclass(frozen=True)
class GemmOp(Op):
    """(n, k) × (k, columns): full tiles in waves over the multiprocessors, weights streamed once.

    Attributes:
        flops_per_s: Sustained by full tiles; short kernels reach ``1 + boost`` times that.
        fill: Steps of the k loop that a tile's prologue and epilogue take.
        overlap: Part of the shorter of arithmetic and streaming that the longer does not hide.
    """

    k: int
    columns: int
    weight_bytes: float
    activation_bytes_per_row: float
    flops_per_s: float
    bytes_per_s: float
    num_sms: int
    split: int
    tile_rows: tuple[int, int]
    tile_columns: int
    fill: float
    boost: float
    overlap: float

    def work(self, n: int) -> Work:
        """See :meth:`Op.work`."""
        return Work(2.0 * n * self.k * self.columns, self.weight_bytes, n * self.activation_bytes_per_row)

    @cached_property
    def _each(self) -> tuple[int, float, float, float, float]:
        """Column tiles; seconds per row of a wave, of the weights, per row of activations; boost's fall per row."""
        flop_s = 2.0 / self.flops_per_s
        row_s = flop_s * self.num_sms * self.tile_columns * (self.k + self.fill)
        streams = self.weight_bytes / self.bytes_per_s, self.activation_bytes_per_row / self.bytes_per_s
        return (
            -(-self.columns // self.tile_columns),
            row_s,
            *streams,
            flop_s * self.k * self.columns / CLOCKS_FALL_S,
        )

    def needs(self, n: int) -> Needs:
        """See :meth:`Op.needs`."""
        column_tiles, row_s, weight_s, activation_s, fall = self._each
        compute = wave_rows(n, self.tile_rows, column_tiles, self.split, self.num_sms) * row_s
        compute /= 1 + self.boost / (1 + n * fall)
        return Needs(*hidden(compute, weight_s + n * activation_s, self.overlap), launch=self._launch(n))

    def least_s(self) -> float:
        """See :meth:`Op.least_s`: no row goes to waste, at the highest clocks, or only activations stream."""
        column_tiles, row_s, _, activation_s, _ = self._each
        return max(column_tiles / self.num_sms * row_s / (1 + self.boost), activation_s)


def distinct_experts(num_experts: float, top_k: float, draws: float) -> float:
    """Expected number of experts that ``draws`` tokens touch when routing is even. Pure query."""
    missed: float = (1 - top_k / num_experts) ** draws
    return num_experts * (1 - missed)


@dataclass(frozen=True)
class ExpertsOp(Op):
    """All routed experts of a layer in one fused kernel.

    ``n`` tokens touch E·(1 − (1 − k/E)^(1 + fresh·(n−1))) distinct experts, whose weights are read
    once; ``fresh`` below 1: tokens like the experts that others chose.

    With expert parallelism a rank holds ``share`` of the experts, all of each, and computes for the
    tokens of ``alike`` data-parallel ranks; routing is taken to be even over ranks.
    """

    num_experts: int
    top_k: int
    flops_per_row: float
    expert_bytes: float
    activation_bytes_per_row: float
    flops_per_s: float
    bytes_per_s: float
    fresh: float
    overlap: float
    share: float = 1.0
    alike: int = 1

    def distinct(self, n: int) -> float:
        """Expected number of experts on the device that n tokens of each rank touch. Pure query."""
        draws = 1 + self.fresh * (n * self.alike - 1)
        return self.share * distinct_experts(self.num_experts, self.top_k, draws)

    def work(self, n: int) -> Work:
        """See :meth:`Op.work`."""
        rows = n * self.alike * self.top_k * self.share
        weights = self.distinct(n) * self.expert_bytes
        return Work(rows * self.flops_per_row, weights, rows * self.activation_bytes_per_row)

    def needs(self, n: int) -> Needs:
        """See :meth:`Op.needs`."""
        rows = n * self.alike * self.top_k * self.share
        compute = rows * self.flops_per_row / self.flops_per_s
        memory = self.distinct(n) * self.expert_bytes + rows * self.activation_bytes_per_row
        return Needs(*hidden(compute, memory / self.bytes_per_s, self.overlap), launch=self._launch(n))

    def least_s(self) -> float:
        """See :meth:`Op.least_s`: the experts' weights are read for nothing."""
        rows = self.alike * self.top_k * self.share
        return rows * max(
            self.flops_per_row / self.flops_per_s, self.activation_bytes_per_row / self.bytes_per_s
        )
