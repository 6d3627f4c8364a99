"""Replicas for the load that will be there when they are."""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Iterator
from math import inf
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

from pydantic import Field, model_validator

from llmsim.sim.autoscalers.base import NOTHING_KNOWN, Autoscaler, PoolView, Setting, enough, within
from llmsim.spec.base import Place, Strict
from llmsim.units import Quantity

if TYPE_CHECKING:
    from llmsim.spec.scenario import Scenario


class ForecastOptions(Strict):
    """Options of ``policy: {kind: forecast}``."""

    method: Literal["linear", "seasonal_naive"] = Field(
        "linear",
        description="linear: the trend of the look-back; seasonal_naive: as one period before, and linear until "
        "there was one",
    )
    target_ongoing_requests: Annotated[float, Field(gt=0, le=1e6)] | None = Field(
        None, description="requests that a replica is to run at a time; with the time that each runs, measured, "
        "the rate it carries",
    )  # fmt: skip
    target_qps_per_replica: Annotated[float, Quantity("1/s"), Field(gt=0, le=1e6)] | None = Field(
        None, description="or that rate itself (SkyServe's name)"
    )
    look_back_period_s: Annotated[float, Quantity("s")] = Field(
        600.0,
        gt=0,
        le=1e6,
        description="what the trend is seen in; the default is an assumption (SkyServe: 60)",
    )
    horizon_s: Annotated[float, Quantity("s"), Field(ge=0, le=1e6)] | None = Field(
        None, description="how far ahead; null is the time until a replica wanted now serves"
    )
    tolerance: Annotated[float, Quantity("share")] = Field(
        0.1, ge=0, lt=1, description="deviation from what the pool carries that changes nothing (HPA: 0.1)"
    )
    period_s: Annotated[float, Quantity("s")] = Field(
        86400.0, gt=0, le=1e9, description="after which the load repeats (seasonal_naive)"
    )

    @model_validator(mode="after")
    def _fits_together(self) -> ForecastOptions:
        if (self.target_ongoing_requests is None) == (self.target_qps_per_replica is None):
            raise ValueError(
                "what a replica carries is said by target_ongoing_requests or by target_qps_per_replica; "
                "give one of the two"
            )
        if self.method == "seasonal_naive" and self.period_s < self.look_back_period_s + (
            self.horizon_s or 0
        ):
            raise ValueError(
                f"period_s ({self.period_s:g} s) is shorter than look_back_period_s and horizon_s together"
            )
        return self


class Interval(NamedTuple):
    """What was between two looks."""

    start_s: float
    end_s: float
    arrivals: int
    turnover: float
    """Mean of the requests that began to run and those that were done."""
    running_s: float
    """Requests running at its end, times its length."""


class Forecast(Autoscaler):
    """The arrival rate of ``horizon_s`` from now, over the rate that a replica carries, rounded up.

    The rate is that of the straight line with the least squared error through the rates between looks (their
    mean, until there has been one look-back), or the mean of a look-back around the same moment one period
    ago (Hyndman and Athanasopoulos, "Forecasting: Principles and Practice", 3rd ed., chapters 5.2 and 7).

    A replica that runs N requests for S seconds each carries N/S (Little's law). S is taken from the requests
    that ran in the look-back, and the mean of those that began and those that ended: so it does not grow with
    a queue, and is right on a rising load. The load at hand plays no other part: that it will go away is a
    forecast, too. MArk (Zhang et al., ATC 2019) provisions ahead of time the same way, by an LSTM.
    """

    Options = ForecastOptions
    options: ForecastOptions

    def __init__(self, options: ForecastOptions, setting: Setting = NOTHING_KNOWN) -> None:
        super().__init__(options, setting)
        self.horizon_s = setting.startup_s if options.horizon_s is None else options.horizon_s
        self._recent: deque[Interval] = deque()
        self._running = 0
        self._first_s = inf
        self._ends_s = [0.0]
        self._counts = [0]
        """Arrivals up to each time of ``_ends_s``."""

    def desired(self, view: PoolView) -> int:
        """See :class:`Autoscaler`."""
        self._remember(view)
        carries = self.options.target_qps_per_replica or self._measured_rate()
        if carries is None:
            return view.target
        rate = self.rate(view.now_s + self.horizon_s)
        return (
            view.target
            if within(rate, carries * view.target, self.options.tolerance)
            else enough(rate, carries)
        )

    def rate(self, time_s: float) -> float:
        """Requests per second expected at ``time_s``; never negative."""
        if self.options.method == "seasonal_naive":
            middle_s, half_s = time_s - self.options.period_s, self.options.look_back_period_s / 2
            if middle_s >= half_s and middle_s + half_s <= self._ends_s[-1]:
                return (self._arrived(middle_s + half_s) - self._arrived(middle_s - half_s)) / (2 * half_s)
        return max(0.0, self._trend(time_s))

    def _remember(self, view: PoolView) -> None:
        recent, start_s = self._recent, view.now_s - view.interval_s
        self._first_s = min(self._first_s, start_s)
        turnover = view.completions + (view.running - self._running) / 2
        self._running = view.running
        recent.append(Interval(start_s, view.now_s, view.arrivals, turnover, view.running * view.interval_s))
        while len(recent) > 1 and recent[0].start_s < view.now_s - self.options.look_back_period_s * (
            1 + 1e-9
        ):
            recent.popleft()
        if self.options.method == "seasonal_naive":
            self._ends_s.append(view.now_s)
            self._counts.append(self._counts[-1] + view.arrivals)

    def _measured_rate(self) -> float | None:
        """What a replica with ``target_ongoing_requests`` running completes per second; None before anything ran."""
        turnover = sum(each.turnover for each in self._recent)
        running_s = sum(each.running_s for each in self._recent)
        target = self.options.target_ongoing_requests
        return target * turnover / running_s if target and turnover > 0 and running_s else None

    def _trend(self, time_s: float) -> float:
        """The least-squares line through the rates of the look-back, at ``time_s``; intervals weigh by length."""
        points = [
            ((each.start_s + each.end_s) / 2, each.end_s - each.start_s, each.arrivals)
            for each in self._recent
            if each.end_s > each.start_s
        ]
        length_s = sum(width for _, width, _ in points)
        if not length_s:
            return 0.0
        mean_s = sum(middle * width for middle, width, _ in points) / length_s
        mean = sum(arrivals for _, _, arrivals in points) / length_s
        spread = sum(width * (middle - mean_s) ** 2 for middle, width, _ in points)
        if not spread or self._recent[-1].end_s - self._first_s < self.options.look_back_period_s:
            return mean
        slope = (
            sum((middle - mean_s) * (arrivals - mean * width) for middle, width, arrivals in points) / spread
        )
        return mean + slope * (time_s - mean_s)

    def _arrived(self, time_s: float) -> float:
        """Requests up to ``time_s``, within what has been seen."""
        after = max(1, bisect_left(self._ends_s, time_s))
        start_s, end_s = self._ends_s[after - 1], self._ends_s[after]
        before, count = self._counts[after - 1], self._counts[after]
        return before + (count - before) * (time_s - start_s) / (end_s - start_s)

    @classmethod
    def conflicts(cls, options: dict[str, Any], scenario: Scenario, pool: int) -> Iterator[tuple[Place, str]]:
        """See :class:`Autoscaler`."""
        mine = scenario.fleet[pool]
        others = [
            each.name
            for each in scenario.fleet
            if each is not mine and scenario.model_of(each).ref == scenario.model_of(mine).ref
        ]
        if others:
            yield (
                ("fleet", pool, "autoscale", "policy"),
                f"forecast goes by the arrivals for a model, and pool '{others[0]}' serves the same one; let one "
                "pool serve it, or use target_tracking",
            )
