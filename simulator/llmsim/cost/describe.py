"""The roofline table of one iteration as data, for reports and for `--json`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from llmsim.cost.roofline import RooflineStage
from llmsim.cost.rows import OpRow


@dataclass(frozen=True)
class RooflineReport:
    """One iteration on one device of each stage, operator by operator.

    Attributes:
        batch: Sequences that decode.
        context: Tokens each of them has cached.
        prefill: New prompt tokens of one more sequence; 0 for none.
        ridge_flops_per_byte: Arithmetic intensity at which datasheet compute and memory meet.
    """

    batch: int
    context: int
    prefill: int
    rows: Sequence[OpRow]
    ridge_flops_per_byte: float
    peak_flops_per_s: float
    hbm_bytes_per_s: float
    provenance: str

    @property
    def time_s(self) -> float:
        """The iteration through all stages, in seconds. Pure query."""
        return sum(row.time_s for row in self.rows)

    def stage_s(self, stage: int) -> float:
        """One stage's part of the iteration, in seconds. Pure query."""
        return sum(row.time_s for row in self.rows if row.stage == stage)

    def to_dict(self) -> dict[str, Any]:
        """The report in JSON's types. Pure query."""
        stages = sorted({row.stage for row in self.rows})
        bounds = sorted({row.bound for row in self.rows})
        return {
            "batch": self.batch,
            "context": self.context,
            "prefill": self.prefill,
            "time_s": self.time_s,
            "stage_s": [self.stage_s(stage) for stage in stages],
            "bound_s": {b: sum(row.time_s for row in self.rows if row.bound == b) for b in bounds},
            "ridge_flops_per_byte": self.ridge_flops_per_byte,
            "peak_flops_per_s": self.peak_flops_per_s,
            "hbm_bytes_per_s": self.hbm_bytes_per_s,
            "efficiency": self.provenance,
            "ops": [self._row(row) for row in self.rows],
        }

    def _row(self, row: OpRow) -> dict[str, Any]:
        return {
            "stage": row.stage,
            "op": row.name,
            "launches": row.launches,
            **row.work._asdict(),
            "arithmetic_intensity": row.arithmetic_intensity,
            "bound": row.bound,
            "time_s": row.time_s,
            "share": row.time_s / self.time_s,
        }


def roofline_report(
    stages: Sequence[RooflineStage], batch: int, context: int, prefill: int = 0
) -> RooflineReport:
    """The table of an iteration that decodes ``batch`` sequences and prefills ``prefill`` tokens. Pure query.

    Raises:
        ValueError: There is nothing to compute, or a count is negative.
    """
    if min(batch, context, prefill) < 0 or batch + prefill == 0:
        raise ValueError(f"nothing to compute: batch {batch}, context {context}, prefill {prefill}")
    sequences = batch + (prefill > 0)
    rows = [
        row
        for stage in stages
        for row in stage.op_rows(
            batch + prefill,
            sequences,
            sequences,
            chunks=[(prefill, 0)] if prefill else [],
            decoding=batch,
            kv_tokens=[batch * span.read(context) for span in stage.spans],
        )
    ]
    first = stages[0]
    ridge = first.peak_flops_per_s / first.hbm_bytes_per_s
    return RooflineReport(
        batch, context, prefill, rows, ridge, first.peak_flops_per_s, first.hbm_bytes_per_s, first.provenance
    )
