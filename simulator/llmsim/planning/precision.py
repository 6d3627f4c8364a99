"""``--precision 5%``: replicate until the intervals are that narrow, and say what ended it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, isfinite

from llmsim.errors import UserError
from llmsim.planning.replicate import Estimate, Replications

LEAST, MOST = 5, 30
"""Replications before the first look and at most: fewer know their own spread too badly to stop by it."""
FEWEST = 3
"""Replications that a user may bound it by."""
FIELDS = ("mean_ttft_ms", "mean_tpot_ms", "mean_e2el_ms", "output_throughput")
"""What is to be that precise unless other fields are named."""


def read_precision(text: str, option: str = "--precision") -> float:
    """``5%`` or ``0.05`` as a share.

    Raises:
        UserError: It is not a share above 0 and below 1.
    """
    try:
        share = float(text.rstrip("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        share = 0.0
    if not 0 < share < 1:
        raise UserError(
            f"{option}: {text!r} is not a share between 0 and 100%", hint="write it as 5% or as 0.05"
        )
    return share


@dataclass(frozen=True)
class StoppingRule:
    """When there are enough replications.

    The relative half-width γ is demanded as γ/(1 + γ), of the estimate instead of the unknown mean. Source: Law and
    Kelton, "Simulation Modeling and Analysis", section 9.4.1, which also warns that stopping by the spread so far
    leaves intervals a little short of their level.

    Attributes:
        precision: Relative half-width to reach.
        least, most: Bounds on the number of replications.
        fields: Summary fields that have to reach it; one without an estimate has no say.
    """

    precision: float
    least: int = LEAST
    most: int = MOST
    fields: Sequence[str] = FIELDS

    def more(self, found: Replications) -> int:
        """How many replications to add: 0 when it is enough, at most as many as there are."""
        if found.tried < self.least:
            return self.least - found.tried
        if self.ended(found):
            return 0
        return min(max(self._needed(found), found.tried + 1), 2 * found.tried, self.most) - found.tried

    def ended(self, found: Replications) -> str:
        """What ended it, in words; '' while more replications are wanted."""
        if found.tried < self.least:
            return ""
        if found.is_mixed:
            return (
                "stopped: some replications are overloaded and some are not; more would not make one figure"
            )
        known = [found.estimates[field] for field in self.fields if field in found.estimates]
        if not known:
            return "stopped: the replications have no figure to be precise about"
        worst = max(known, key=_relative)
        if _relative(worst) <= self._target:
            return f"{len(found.seeds)} replications reach ±{100 * self.precision:.3g}% of the mean"
        if found.tried < self.most:
            return ""
        return (
            f"{found.tried} replications, the most allowed, leave {worst.field} at "
            f"±{100 * _relative(worst):.3g}% of its mean; ±{100 * self.precision:.3g}% was asked for"
        )

    @property
    def _target(self) -> float:
        return self.precision / (1 + self.precision)

    def _needed(self, found: Replications) -> int:
        """Replications that would do if the spread stayed as it is: half-widths shrink as 1/√n."""
        known = [found.estimates[field] for field in self.fields if field in found.estimates]
        factor = max(map(_relative, known)) / self._target
        return ceil(len(found.seeds) * factor**2) if isfinite(factor) else self.most


def rule_of(precision: float | None, most: int | None) -> StoppingRule | None:
    """The rule of a ``--precision`` that ``--replications`` limits; None without the former.

    Raises:
        UserError: So few replications cannot tell how sure they are.
    """
    if precision is None:
        return None
    most = most or MOST
    if most < FEWEST:
        raise UserError(
            f"--replications {most} with --precision: at least {FEWEST} are needed to tell how sure they are",
            hint=f"--replications is the most that --precision may run; {MOST} by default",
        )
    return StoppingRule(precision, min(LEAST, most), most)


def _relative(each: Estimate) -> float:
    share = each.relative_half_width
    return float("inf") if share is None else share
