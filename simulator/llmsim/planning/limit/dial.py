"""What is turned up to find a limit: a scenario key, and the load that each of its values means."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from llmsim.errors import Problem, ScenarioError, UserError
from llmsim.files.changes import Change, place_of
from llmsim.files.known_keys import value_at
from llmsim.files.scenario_file import LoadedScenario
from llmsim.planning.axes import Axis
from llmsim.spec.arrivals import (
    BurstArrivals,
    ClosedArrivals,
    MmppArrivals,
    ScaledArrivals,
    TraceArrivals,
)
from llmsim.spec.workload import Workload

ARRIVAL = "workload.arrival"
TIME_SCALE = "workload.time_scale"
FALLING = {TIME_SCALE, f"{ARRIVAL}.every_s"}
"""Keys whose load is one over their value."""
_LEADING = re.compile(r"\s*([-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?)")


@dataclass(frozen=True)
class Dial:
    """One number of a scenario, from little load to much.

    Attributes:
        key: Of the scenario.
        given: The load that the scenario has itself; None where it says nothing.
        unit: Of the load, for reports: ``req/s``.
        is_whole: Whether only whole loads exist.
        values: Load to the key's value where the user gave them; otherwise they are computed.
        whole_arrival: What stands beside the key in ``workload.arrival``, which a file may leave out.
    """

    key: str
    given: float | None
    unit: str = ""
    is_whole: bool = False
    values: dict[float, Any] = field(default_factory=dict)
    whole_arrival: dict[str, Any] | None = None

    def value(self, load: float) -> Any:
        """The key's value at ``load``. Pure query."""
        if load in self.values:
            return self.values[load]
        number = 1 / load if self.key in FALLING else load
        return round(number) if self.is_whole else float(f"{number:.12g}")

    def changes(self, load: float) -> list[Change]:
        """What gives the scenario this load. Pure query."""
        value = self.value(load)
        option = f"{'--over ' if self.values else ''}{self.key}={value}"
        if self.whole_arrival is None:
            return [Change(place_of(self.key), value, option)]
        name = self.key.rpartition(".")[2]
        return [Change(place_of(ARRIVAL), self.whole_arrival | {name: value}, option)]


def dial_of(loaded: LoadedScenario) -> Dial:
    """The dial of the scenario's own kind of arrivals: its rate, its concurrency, or the pace of its trace.

    Raises:
        UserError: One burst has neither.
    """
    workload = loaded.scenario.workload
    match workload.arrival:
        case ScaledArrivals(request_rate=None):
            return _of_arrival(workload, "rate_scale", "× its own rate", given=1.0)
        case ClosedArrivals():
            unit = "users" if workload.sessions else "in flight"
            return _of_arrival(workload, "max_concurrency", unit, is_whole=True)
        case BurstArrivals(size=int()):
            return _of_arrival(workload, "size", "requests in a burst", is_whole=True)
        case BurstArrivals():
            raise UserError(
                "one burst has no rate to turn up",
                hint="name what to turn up: --over workload.num_requests=100:5000:100",
            )
        case TraceArrivals():
            return Dial(TIME_SCALE, 1 / workload.time_scale, "× the trace's rate")
        case arrival:
            own_rate = arrival.own_rate if isinstance(arrival, MmppArrivals) else None
            unit = "sessions/s" if workload.sessions else "req/s"
            return _of_arrival(workload, "request_rate", unit, given=own_rate)


def _of_arrival(
    workload: Workload, name: str, unit: str, *, is_whole: bool = False, given: float | None = None
) -> Dial:
    arrival = workload.arrival.model_dump(mode="json", exclude_none=True)
    load = arrival.get(name, given)
    return Dial(f"{ARRIVAL}.{name}", load, unit, is_whole, whole_arrival=arrival)


def dial_over(axis: Axis, loaded: LoadedScenario) -> Dial:
    """The dial that the user named, with the values of its range.

    Raises:
        ScenarioError: A value is not a number.
    """
    number = [_number(value) for value in axis.values]
    wrong = [value for value, found in zip(axis.values, number, strict=True) if found is None]
    falls = axis.key in FALLING
    if wrong or (falls and any(found is not None and found <= 0 for found in number)):
        what = f"{wrong[0]} is not a number" if wrong else "has to be more than 0"
        message = f"{what}; a limit is looked for in a range: --over {axis.key}=1:20:1"
        raise ScenarioError(Problem(f"{axis.option} {axis.key}", message))
    values = {
        (1 / found if falls else found): value
        for found, value in zip(number, axis.values, strict=True)
        if found is not None
    }
    if any(isinstance(value, str) for value in axis.values):
        return Dial(axis.key, None, values=values)  # in the user's unit, not in the scenario's
    given = _number(value_at(place_of(axis.key), loaded.scenario.model_dump(mode="json")))
    return Dial(axis.key, 1 / given if falls and given else given, _unit(axis.key), values=values)


def _unit(key: str) -> str:
    units = {
        "request_rate": "req/s",
        "max_concurrency": "in flight",
        "rate_scale": "× its own rate",
    }
    return units.get(key.rpartition(".")[2], "")


def _number(value: Any) -> float | None:
    """What ``value`` counts, its unit aside; None where it counts nothing."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return float(value)
    found = _LEADING.match(value) if isinstance(value, str) else None
    return float(found[1]) if found else None


def single_axis(axes: Sequence[Axis]) -> Axis | None:
    """The one axis a limit is looked for on; None where none is named.

    Raises:
        UserError: More than one is.
    """
    if len(axes) > 1:
        keys = " and ".join(axis.key for axis in axes)
        raise UserError(f"--find limit turns up one key, and {keys} are varied; keep one --over")
    return axes[0] if axes else None
