"""Several seeds of one setting as one figure each: a mean over seeds, how sure it is, and what it must not hide."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import inf
from typing import Any

from llmsim.measure.batches import LEVEL
from llmsim.measure.describe import thin_sample_note
from llmsim.measure.student import Interval, mean_interval

LATENCIES = ("ttft_ms", "tpot_ms", "itl_ms", "e2el_ms")
HEADLINES = (
    *(f"{statistic}_{metric}" for metric in LATENCIES for statistic in ("mean", "p50", "p90", "p99")),
    "request_throughput",
    "request_goodput",
    "output_throughput",
    "total_token_throughput",
    "slo_attainment",
    "cost_usd",
    "usd_per_million_output_tokens",
    "energy_j",
)
"""Summary fields that replications estimate."""
SHARES = frozenset({"slo_attainment"})
OVERLOADED = "overloaded"
THIN = "more seeds do not make up for short runs"
"""What the note on runs too short for their P99 ends with."""


@dataclass(frozen=True)
class Estimate:
    """What the seeds say about one summary field.

    Attributes:
        field: The summary's name of it: ``p99_ttft_ms``.
        mean: Mean over the seeds.
        interval: Where the mean over all seeds lies, at ``LEVEL``; None from one seed.
        values: One per seed, in their order.
    """

    field: str
    mean: float
    interval: Interval | None
    values: tuple[float, ...]

    @property
    def count(self) -> int:
        """Number of seeds."""
        return len(self.values)

    @property
    def name(self) -> str:
        """What the figure is: the mean over seeds of a P99 is not the P99 of anything."""
        return (
            f"mean over {self.count} seeds of {self.field}" if self.count > 1 else f"{self.field} of one seed"
        )

    @property
    def relative_half_width(self) -> float | None:
        """Half the interval as a share of the mean; None from one seed, or where the mean is zero and spread is not."""
        if self.interval is None or (self.interval.half_width and not self.mean):
            return None
        return self.interval.half_width / abs(self.mean) if self.interval.half_width else 0.0

    @property
    def ends(self) -> tuple[float, float] | None:
        """The interval within what the field can be: nothing is below zero, and no share above one."""
        if self.interval is None:
            return None
        most = 1.0 if self.field in SHARES else inf
        return max(0.0, self.interval.low), min(most, self.interval.high)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        ends = self.ends and dict(zip(("low", "high"), self.ends, strict=True))
        half = self.interval and self.interval.half_width
        return {
            "name": self.name,
            "mean": self.mean,
            "half_width": half,
            **(ends or {"low": None, "high": None}),
            "n": self.count,
            "level": LEVEL,
        }


@dataclass(frozen=True)
class Group:
    """Seeds that may be averaged with each other: all overloaded, or none.

    Attributes:
        overloaded: Whether they are.
        seeds: Which.
        estimates: By summary field; fields that any of these seeds has no value of are left out.
    """

    overloaded: bool
    seeds: tuple[int, ...]
    estimates: dict[str, Estimate]

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "overloaded": self.overloaded,
            "seeds": list(self.seeds),
            "estimates": {field: each.as_dict() for field, each in self.estimates.items()},
        }


@dataclass(frozen=True)
class Replications:
    """The replications of one setting.

    Attributes:
        seeds: Those that ran to their end.
        failed: Those that did not.
        groups: The seeds that kept up, and those that were overloaded; only what there is of both.
        notes: What a reader must know about the figures.
    """

    seeds: tuple[int, ...]
    failed: tuple[int, ...]
    groups: tuple[Group, ...]
    notes: tuple[str, ...]

    @property
    def tried(self) -> int:
        """Number of seeds that were run."""
        return len(self.seeds) + len(self.failed)

    @property
    def is_mixed(self) -> bool:
        """Whether some seeds kept up and others did not: then there is no estimate of all."""
        return len(self.groups) > 1

    @property
    def overloaded(self) -> bool:
        """Whether any seed was overloaded."""
        return any(group.overloaded for group in self.groups)

    @property
    def estimates(self) -> dict[str, Estimate]:
        """By summary field; nothing where the seeds are mixed or all failed."""
        return self.groups[0].estimates if len(self.groups) == 1 else {}

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "seeds": list(self.seeds),
            "failed": list(self.failed),
            "mixed": self.is_mixed,
            "overloaded": self.overloaded,
            "estimates": {field: each.as_dict() for field, each in self.estimates.items()},
            "groups": [group.as_dict() for group in self.groups],
            "notes": list(self.notes),
        }


def estimate(field: str, values: Sequence[float]) -> Estimate:
    """The estimate of ``field`` from one value per seed, at least one."""
    interval = mean_interval(values)
    mean = interval.middle if interval else float(values[0])
    return Estimate(field, mean, interval, tuple(map(float, values)))


def replications(
    runs: Iterable[tuple[int, Mapping[str, Any] | None]], fields: Sequence[str] = HEADLINES
) -> Replications:
    """Put the seeds of one setting together.

    Overloaded runs are never averaged with others: their latencies grow with the length of the run, so that a
    mean over both kinds tells how many seeds were overloaded and nothing about latency.

    Args:
        runs: Seed and summary; None for a seed that failed.
        fields: Summary fields to estimate.
    """
    given = list(runs)
    done = [(seed, summary) for seed, summary in given if summary is not None]
    groups = tuple(
        _group(overloaded, members, fields)
        for overloaded in (False, True)
        if (members := [run for run in done if (run[1]["saturation"] == OVERLOADED) is overloaded])
    )
    failed = tuple(seed for seed, summary in given if summary is None)
    notes = [*_failed(failed, len(given)), *_saturated(groups), *_thin(done)]
    return Replications(tuple(seed for seed, _ in done), failed, groups, tuple(notes))


def _group(overloaded: bool, runs: list[tuple[int, Mapping[str, Any]]], fields: Sequence[str]) -> Group:
    values = {field: [summary.get(field) for _, summary in runs] for field in fields}
    known = {
        field: estimate(field, [float(value) for value in column if value is not None])
        for field, column in values.items()
        if None not in column
    }
    return Group(overloaded, tuple(seed for seed, _ in runs), known)


def _failed(failed: tuple[int, ...], tried: int) -> list[str]:
    return [f"{len(failed)} of {tried} replications failed: {_seeds(failed)}"] if failed else []


def _saturated(groups: tuple[Group, ...]) -> list[str]:
    if len(groups) > 1:
        kept_up, over = groups
        return [
            f"{len(over.seeds)} of {len(over.seeds) + len(kept_up.seeds)} replications are overloaded "
            f"({_seeds(over.seeds)}): they are not averaged with the others, so there is no estimate of all"
        ]
    if groups and groups[0].overloaded:
        return [
            "every replication is overloaded: latencies grow with the run's length and estimate nothing else"
        ]
    return []


def _thin(runs: list[tuple[int, Mapping[str, Any]]]) -> list[str]:
    """A note where runs are too short for their P99: a mean over seeds does not cure that."""
    if not runs:
        return []
    least = min(int(summary["completed"]) for _, summary in runs)
    note = thin_sample_note("every latency", 99.0, least)
    return [f"{note}; {THIN}"] if note else []


def _seeds(seeds: Sequence[int]) -> str:
    return f"seed{'s' * (len(seeds) > 1)} {', '.join(map(str, seeds))}"
