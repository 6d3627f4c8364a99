"""What a format is given, and what it gives back."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from llmsim import plugins
from llmsim.errors import Problem, UserError
from llmsim.files.scenario_file import LoadedScenario
from llmsim.measure.records import RunRecord
from llmsim.registry import nearest
from llmsim.spec.arrivals import (
    BurstArrivals,
    ClosedArrivals,
    ConstantArrivals,
    GammaArrivals,
    PoissonArrivals,
)

NANOSECONDS = 9
"""Decimals of a time in seconds: what Python's ``time.perf_counter`` resolves, which real clients use."""


@dataclass(frozen=True)
class FinishedRun:
    """A run and its summary."""

    record: RunRecord
    summary: Mapping[str, Any]
    loaded: LoadedScenario


class Export(ABC):
    """A file format of another tool.

    What a simulation cannot know is null where the format allows it and absent elsewhere, never made up.

    Attributes:
        file_name: What the file is called in a results directory.
    """

    file_name: ClassVar[str]

    @abstractmethod
    def pieces(self, run: FinishedRun) -> Iterator[str]:
        """The file's text, piece by piece: the same for the same run. Pure query."""


def read_formats(texts: Iterable[str]) -> list[str]:
    """The formats that ``--export`` names, in order: each text is one, or several separated by commas.

    Raises:
        UserError: With every name that is no format.
    """
    names = [name.strip() for text in texts for name in text.split(",")]
    known = plugins.EXPORTS.names()
    problems = [
        Problem(f"--export {name}", f"no such format; {nearest(name, known)}")
        for name in names
        if name not in known
    ]
    if problems:
        raise UserError(problems)
    return list(dict.fromkeys(names))


@dataclass(frozen=True)
class Load:
    """How requests came, in the words of load generators.

    Attributes:
        request_rate: Per second; infinite when nothing but ``max_concurrency`` holds requests back.
        burstiness: Shape of the gaps' gamma distribution; None where they follow no such one.
        max_concurrency: Most requests in flight; None without a limit.
    """

    request_rate: float
    burstiness: float | None
    max_concurrency: int | None = None

    @classmethod
    def of(cls, run: FinishedRun) -> Load:
        """The workload's. Arrivals whose rate changes have the mean rate at which they were offered."""
        workload = run.loaded.scenario.workload
        cap = workload.max_concurrency
        match workload.arrival if workload.sessions is None else None:
            case ClosedArrivals(max_concurrency=users):
                return cls(float("inf"), 1.0, users)
            case BurstArrivals(every_s=None):
                return cls(float("inf"), 1.0, cap)
            case GammaArrivals(request_rate=rate, burstiness=burstiness):
                return cls(rate, burstiness, cap)
            case PoissonArrivals(request_rate=rate):
                return cls(rate, 1.0, cap)
            case ConstantArrivals(request_rate=rate):
                return cls(rate, float("inf"), cap)
        arrival_s = run.record.table.arrival_s
        span_s = float(arrival_s.max() - arrival_s.min()) if len(arrival_s) else 0.0
        return cls((len(arrival_s) - 1) / span_s if span_s else float("inf"), None, cap)
