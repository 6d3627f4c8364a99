"""What one run of many answers: figures that travel between processes and lie in a store."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import llmsim
from llmsim.errors import LlmsimError, UserError
from llmsim.measure.quantiles import curves
from llmsim.measure.summary import summarise
from llmsim.planning.points import Point
from llmsim.sim.run import simulate


@dataclass(frozen=True)
class Outcome:
    """The answer of one point: a summary, or a problem.

    Attributes:
        settings, seed, sha256: The point's.
        summary: The figures of ``summary.json``; None when the point failed.
        curves: Metric to its quantiles at ``measure.quantiles.LEVELS``; None when the point failed.
        problem: Why it failed, in words.
        is_final: Whether another try would end the same: a result, or the user's mistake.
    """

    settings: Mapping[str, Any]
    seed: int
    sha256: str
    summary: dict[str, Any] | None = None
    curves: dict[str, list[float]] | None = None
    problem: str | None = None
    is_final: bool = True

    @classmethod
    def failed(cls, point: Point, problem: str, *, is_final: bool = False) -> Outcome:
        """The answer of a point that cannot be run, or whose run broke."""
        return cls(point.settings, point.seed, point.sha256, problem=problem, is_final=is_final)


def play(point: Point) -> Outcome:
    """Run one point. A failure is an outcome as well: it does not take other points with it.

    Raises:
        KeyboardInterrupt: The run was interrupted; half a run is no answer.
    """
    if point.loaded is None:
        return Outcome.failed(point, point.problem or "cannot be loaded", is_final=True)
    try:
        return _played(point)
    except UserError as error:
        return Outcome.failed(point, " ".join(str(error).split()), is_final=True)
    except LlmsimError as error:
        return Outcome.failed(point, f"llmsim is at fault: {' '.join(str(error).split())}")
    except MemoryError:
        return Outcome.failed(point, "out of memory: fewer requests or fewer --workers need less")
    except Exception as error:
        return Outcome.failed(point, f"llmsim or a plug-in is at fault: {type(error).__name__}: {error}")


def _played(point: Point) -> Outcome:
    assert point.loaded is not None
    record = simulate(point.loaded)
    if record.interrupted:
        raise KeyboardInterrupt
    table = record.table
    summary = summarise(
        record, point.loaded.scenario, sha256=point.sha256, version=llmsim.__version__, table=table
    )
    return Outcome(point.settings, point.seed, point.sha256, summary, curves(table))
