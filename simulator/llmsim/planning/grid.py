"""A sweep before it is run: its settings, and how often each is run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from llmsim.errors import UserError
from llmsim.files.scenario_file import LoadedScenario
from llmsim.planning.axes import Axis, read_axes
from llmsim.planning.outcome import Outcome
from llmsim.planning.points import Base, Setting, points, settings_of
from llmsim.planning.precision import StoppingRule, rule_of
from llmsim.planning.store import Store
from llmsim.planning.sweep import Progress, by_setting, run_points, run_until_precise
from llmsim.planning.workers import Run
from llmsim.spec.sweep import Sweep


@dataclass(frozen=True)
class Wanted:
    """What is asked for beside the scenario's ``sweep:`` section, which says the rest.

    Attributes:
        over, vary: Texts of ``--over`` and ``--vary``; a key of the section is replaced.
        replications: Runs of each setting, with ``precision`` the most.
        precision: Replicate until the intervals are this narrow, a share.
    """

    over: Sequence[str] = ()
    vary: Sequence[str] = ()
    replications: int | None = None
    precision: float | None = None


@dataclass(frozen=True)
class Grid:
    """Every setting of a sweep.

    Attributes:
        loaded: The scenario before anything is varied.
        axes: Keys that are varied over listed values.
        settings: In grid order.
        replications: Runs of each, unless ``rule`` is there to say.
        rule: When there are enough.
    """

    loaded: LoadedScenario
    axes: Sequence[Axis]
    settings: Sequence[Setting]
    replications: int
    rule: StoppingRule | None

    @classmethod
    def of(cls, base: Base, wanted: Wanted, over: Mapping[str, list[Any] | str] | None = None) -> Grid:
        """The grid that options and the scenario's section make together.

        Args:
            base: The scenario.
            wanted: The options.
            over: More keys and their values, as in the section.

        Raises:
            UserError: With every problem of all of them; nothing is varied and nothing replicated.
        """
        loaded = base.load()
        section = loaded.scenario.sweep or Sweep()
        axes = read_axes(
            wanted.over, wanted.vary, section.over | dict(over or {}), f"{loaded.path}: sweep.over"
        )
        rule = rule_of(wanted.precision or section.precision, wanted.replications)
        replications = wanted.replications or section.replications
        if not axes and not section.points and replications == 1 and rule is None:
            raise UserError(
                "nothing to sweep: the scenario has no `sweep:` section",
                hint="give --over workload.arrival.request_rate=1:20:1, --vary engine.scheduler=orca,vllm, or "
                "--replications 5",
            )
        return cls(loaded, axes, settings_of(base, axes, section.points), replications, rule)

    def endings(self, outcomes: Sequence[Outcome]) -> list[tuple[Mapping[str, Any], str]]:
        """With ``precision``, what ended the replications of each setting, in words; else nothing. Pure."""
        if self.rule is None:
            return []
        return [(each.settings, self.rule.ended(each.together)) for each in by_setting(outcomes)]

    def run(self, run: Run, store: Store | None = None, progress: Progress | None = None) -> list[Outcome]:
        """Its outcomes, in grid order; see :func:`~llmsim.planning.sweep.run_points`."""
        seed = self.loaded.scenario.simulation.seed
        if self.rule:
            outcomes, _ = run_until_precise(self.settings, seed, self.rule, run, store, progress)
            return outcomes
        return run_points(points(self.settings, seed, self.replications), run, store, progress)
