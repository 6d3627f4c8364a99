"""The space of fleets that the user allows: candidates, each at any number of replicas."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product
from typing import Any

from llmsim.errors import Problem, ScenarioError, UserError
from llmsim.files.scenario_file import LoadedScenario
from llmsim.planning.axes import Axis
from llmsim.planning.points import Base, Setting, settings_of
from llmsim.sim.build import PoolPlan
from llmsim.spec.serving import Pool

REPLICAS = "fleet.replicas"
SPOT_SHARE = "spot_share"
"""Varies like a scenario key: which share of a pool's replicas are interruptible, by the pool's ``spot`` section."""


@dataclass(frozen=True)
class Candidate:
    """One entry of the space, before its number of replicas is chosen.

    Attributes:
        values: What it has of its own: key to value.
        loaded: The scenario; None when it cannot be loaded.
        problem: Why not, in words.
        spot_share: Of its replicas; None leaves the pool as it is.
        searches: Whether its number of replicas is for the planner to choose.
    """

    values: Mapping[str, Any]
    loaded: LoadedScenario | None
    problem: str | None = None
    spot_share: float | None = None
    searches: bool = True

    def at(self, replicas: int) -> LoadedScenario:
        """Its scenario with so many replicas. Pure query; not for one that cannot be loaded."""
        assert self.loaded is not None  # the caller has looked
        if not self.searches:
            return self.loaded
        scenario = self.loaded.scenario
        fleet = _split(scenario.fleet[0].model_copy(update={"replicas": replicas}), self.spot_share)
        return replace(self.loaded, scenario=scenario.model_copy(update={"fleet": fleet}))

    def values_at(self, replicas: int) -> dict[str, Any]:
        """What it has of its own with so many replicas. Pure query."""
        return {**self.values, REPLICAS: replicas} if self.searches else dict(self.values)

    @cached_property
    def is_fixed(self) -> bool:
        """Whether nothing of its fleets changes while they serve, so that they cost what they cost."""
        if self.loaded is None or self.spot_share is not None:
            return self.spot_share == 0
        return all(pool.is_fixed for pool in self.loaded.scenario.fleet)

    def size(self, replicas: int) -> tuple[float | None, int]:
        """($ an hour on demand, accelerators) of all its replicas; no price where one is unknown. Pure query.

        Raises:
            UserError: It cannot be built.
        """
        loaded = self.at(replicas)
        dollars: float | None = 0.0
        devices = 0
        for pool in loaded.scenario.fleet:
            plan = PoolPlan(loaded, pool)
            copies = pool.replicas * pool.data_parallel_size
            price = plan.usd_per_hour()
            dollars = None if dollars is None or price is None else dollars + copies * price
            devices += copies * plan.plan.num_devices
        return dollars, devices


@dataclass(frozen=True)
class Space:
    """All candidates, and how many replicas each may have.

    Attributes:
        axes: What is varied.
        notes: What a reader should know about it.
    """

    candidates: tuple[Candidate, ...]
    axes: tuple[Axis, ...]
    max_replicas: int
    notes: tuple[str, ...] = ()


def make_space(base: Base, axes: Sequence[Axis], max_replicas: int) -> Space:
    """The candidates that ``axes`` make of a scenario.

    Raises:
        ScenarioError: A value that spoils every candidate, an unknown key, shares of what has no market.
        UserError: There is no room for a replica.
    """
    if max_replicas < 1:
        raise UserError(f"--max-replicas {max_replicas}: a fleet has at least one replica; give 1 or more")
    shares = next((axis for axis in axes if axis.key == SPOT_SHARE), None)
    settings = settings_of(base, [axis for axis in axes if axis is not shares])
    given = any(_is_replicas(axis.key) for axis in axes)
    if shares is not None:
        _check_shares(shares, settings, given=given)
    candidates = [
        _candidate(setting, share, given=given)
        for setting, share in product(settings, shares.values if shares else (None,))
    ]
    return Space(tuple(candidates), tuple(axes), max_replicas, tuple(_notes(candidates, axes, given=given)))


def _candidate(setting: Setting, share: float | None, *, given: bool) -> Candidate:
    values = dict(setting.values) | ({} if share is None else {SPOT_SHARE: share})
    fleet = setting.loaded.scenario.fleet if setting.loaded else []
    searches = not given and len(fleet) == 1 and fleet[0].autoscale is None
    return Candidate(values, setting.loaded, setting.problem, share, searches)


def _is_replicas(key: str) -> bool:
    return key.startswith("fleet.") and key.endswith(".replicas")


def _check_shares(axis: Axis, settings: Sequence[Setting], *, given: bool) -> None:
    problems = []
    wrong = [value for value in axis.values if not (isinstance(value, int | float) and 0 <= value <= 1)]
    if wrong:
        message = f"{wrong[0]!r} is no share; write numbers from 0 (on demand) to 1 (spot)"
        problems.append(Problem(f"{axis.option} {SPOT_SHARE}", message))
    fleets = [setting.loaded.scenario.fleet for setting in settings if setting.loaded]
    if given or any(len(fleet) > 1 or fleet[0].spot is None or fleet[0].autoscale for fleet in fleets):
        message = (
            "needs one pool with a `spot` section, which says what the market is, without `autoscale`, and "
            "replicas for the planner to choose"
        )
        problems.append(Problem(f"{axis.option} {SPOT_SHARE}", message))
    if problems:
        raise ScenarioError(problems)


def _split(pool: Pool, share: float | None) -> list[Pool]:
    """``pool`` as an on-demand pool and one of spot instances; a pool without replicas is left out."""
    if share is None:
        return [pool]
    spot = round(share * pool.replicas)
    parts = (
        (pool.replicas - spot, {"spot": None, "name": f"{pool.name}-on-demand"}),
        (spot, {"name": f"{pool.name}-spot"}),
    )
    return [pool.model_copy(update={**update, "replicas": count}) for count, update in parts if count]


def _notes(candidates: Sequence[Candidate], axes: Sequence[Axis], *, given: bool) -> list[str]:
    notes = []
    if not axes:
        notes.append(
            "nothing is varied but the number of replicas; --vary fleet.accelerator=h100-sxm,l40s or a `plan:` "
            "section allows more"
        )
    if given:
        notes.append("numbers of replicas are those that are varied, and none else")
    elif not all(one.searches for one in candidates if one.loaded):
        notes.append(
            "fleets of several pools, or with an autoscaler, are taken with the replicas that the scenario gives; "
            "--vary fleet.0.replicas=1,2,4 varies them"
        )
    return notes
