"""A timetable."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field, field_validator, model_validator

from llmsim.engine.run import TIE
from llmsim.sim.autoscalers.base import Autoscaler, PoolView
from llmsim.spec.base import Place, Strict
from llmsim.units import Quantity

if TYPE_CHECKING:
    from llmsim.spec.scenario import Scenario

CLOCK = re.compile(r"(\d\d?):([0-5]\d)(?::([0-5]\d))?")


class Entry(Strict):
    """From a time of the day on, so many replicas."""

    at: Annotated[float, Quantity("s")] = Field(
        ge=0, description="time of the day: '08:00', '08:00:30', or seconds from its start"
    )
    replicas: int = Field(ge=0, description="how many from then on")

    @field_validator("at", mode="before")
    @classmethod
    def _read_a_clock(cls, value: Any) -> Any:
        """``08:30`` in seconds; anything else as it is."""
        match = CLOCK.fullmatch(value) if isinstance(value, str) else None
        if match is None:
            return value
        hours, minutes, seconds = (int(part or 0) for part in match.groups())
        return 3600.0 * hours + 60 * minutes + seconds


class ScheduledOptions(Strict):
    """Options of ``policy: {kind: scheduled}``."""

    schedule: list[Entry] = Field(min_length=1, description="in order of time")
    period_s: Annotated[float, Quantity("s")] = Field(
        86400.0, gt=0, le=1e9, description="length of the day, which begins at 0 s; then it starts again"
    )

    @model_validator(mode="after")
    def _is_in_order(self) -> ScheduledOptions:
        for earlier, later in pairwise(self.schedule):
            if later.at <= earlier.at:
                raise ValueError(
                    f"the schedule goes from {_clock(earlier.at)} to {_clock(later.at)}; "
                    "write its times in order, each once"
                )
        if self.schedule[-1].at >= self.period_s:
            raise ValueError(
                f"{_clock(self.schedule[-1].at)} in the schedule is past its period_s ({self.period_s:g} s)"
            )
        return self


class Scheduled(Autoscaler):
    """What the timetable says; before its first time of the day, what its last one said."""

    Options = ScheduledOptions
    options: ScheduledOptions
    follows_load = False

    def desired(self, view: PoolView) -> int:
        """See :class:`Autoscaler`."""
        schedule = self.options.schedule
        time_s = view.now_s * (1 + TIE) % self.options.period_s
        return schedule[bisect_right(schedule, time_s, key=lambda entry: entry.at) - 1].replicas

    @classmethod
    def conflicts(cls, options: dict[str, Any], scenario: Scenario, pool: int) -> Iterator[tuple[Place, str]]:
        """See :class:`Autoscaler`."""
        limits = scenario.fleet[pool].autoscale
        if limits is None:
            return
        for index, entry in enumerate(options["schedule"]):
            if not limits.min_replicas <= entry["replicas"] <= limits.max_replicas:
                yield (
                    ("fleet", pool, "autoscale", "policy", "schedule", index, "replicas"),
                    f"{entry['replicas']} is outside min_replicas ({limits.min_replicas}) and max_replicas "
                    f"({limits.max_replicas})",
                )


def _clock(seconds: float) -> str:
    """As a time of the day, if it is one. Pure."""
    minutes, rest = divmod(seconds, 60)
    return f"{seconds:g} s" if rest else f"{minutes // 60:02.0f}:{minutes % 60:02.0f}"
