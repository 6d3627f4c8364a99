"""Which fleet? The question as it is asked, with what the scenario's ``plan:`` section says besides."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from llmsim.errors import UserError
from llmsim.files.scenario_file import LoadedScenario
from llmsim.measure.slo import has_targets
from llmsim.planning.axes import read_axes
from llmsim.planning.fleet_trial import Rules
from llmsim.planning.points import Base
from llmsim.planning.replay import is_replay
from llmsim.planning.space import Space, make_space
from llmsim.spec.plan import Plan


@dataclass(frozen=True)
class Question:
    """What is asked; what it leaves out the scenario's ``plan:`` section says.

    Attributes:
        vary: Each ``key=a,b,c``: the space to choose from.
        max_replicas: Of any fleet.
        replications: Seeds that judge a fleet.
        precision: How sure the attainment has to be, a share.
    """

    vary: Sequence[str] = ()
    max_replicas: int | None = None
    replications: int | None = None
    precision: float | None = None

    def section(self, loaded: LoadedScenario) -> Plan:
        """The ``plan:`` section of ``loaded`` with what the question says instead."""
        given = {
            "max_replicas": self.max_replicas,
            "replications": self.replications,
            "precision": self.precision,
        }
        section = loaded.scenario.plan or Plan()
        return section.model_copy(update={key: value for key, value in given.items() if value is not None})


@dataclass(frozen=True)
class Asked:
    """A question about a scenario, ready to be answered.

    Attributes:
        loaded: The scenario.
        section: How it is to be planned.
        space: The fleets to choose from.
    """

    loaded: LoadedScenario
    section: Plan
    space: Space

    @classmethod
    def of(cls, base: Base, question: Question, vary: Mapping[str, list[Any] | str] | None = None) -> Asked:
        """``question`` about the scenario of ``base``.

        Args:
            base: The scenario.
            question: What is asked.
            vary: More keys and their values, as in the section.

        Raises:
            UserError: With every problem of scenario and space.
        """
        loaded = base.load()
        section = question.section(loaded)
        axes = read_axes((), question.vary, section.vary | dict(vary or {}), f"{loaded.path}: plan.vary")
        return cls(loaded, section, make_space(base, axes, section.max_replicas))

    def rules(self) -> Rules:
        """When a fleet passes. Raises UserError where there is no target to pass by."""
        scenario = self.loaded.scenario
        slo = scenario.slo
        if not has_targets(slo) and slo.usd_per_million_output_tokens is None:
            raise UserError(
                "there are no targets, so nothing to plan for",
                hint="add `slo:`, or --goodput ttft:500 tpot:50",
            )
        return Rules(
            slo,
            scenario.simulation.seed,
            self.section.replications,
            self.section.precision,
            all(is_replay(one.at(1)) for one in self.space.candidates if one.loaded),
        )
