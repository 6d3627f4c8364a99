"""Rows of the roofline table: one operator of one iteration, with all its layers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from llmsim.cost.ops import Needs, Op, Work


@dataclass(frozen=True)
class OpRow:
    """What one operator does in an iteration on one device, and what bounds it."""

    stage: int
    name: str
    launches: int
    work: Work
    bound: str
    time_s: float

    @property
    def arithmetic_intensity(self) -> float | None:
        """FLOPs per byte of device memory; None for operators that touch none. Pure query."""
        return self.work.flops / self.work.hbm_bytes if self.work.hbm_bytes else None


def op_row(stage: int, op: Op, n: int) -> OpRow:
    """The row of an operator for a count of ``n``. Pure query."""
    needs = op.needs(n)
    bound = "launch" if op.floor_s > max(needs) else needs.bound()
    return OpRow(stage, op.name, op.layers, op.work(n).times(op.layers), bound, op.seconds(n))


def attention_row(stage: int, name: str, layers: int, works: Sequence[Work], needs: Sequence[Needs]) -> OpRow:
    """The row of attention over several chunks, or over the decoding sequences together. Pure query."""
    work = Work(*(layers * sum(column) for column in zip(*works, strict=True)))
    total = Needs(*(sum(column) for column in zip(*needs, strict=True)))
    return OpRow(stage, name, layers, work, total.bound(), layers * sum(max(need) for need in needs))
