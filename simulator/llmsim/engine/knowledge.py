"""What a scheduler may know beside its queue: what a predictor says, what was promised, how fast the server is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from llmsim.engine.predictor import Predictor
from llmsim.engine.predictors.certain import Nothing
from llmsim.engine.profile import Profile
from llmsim.spec.targets import Targets

NO_TARGETS = Targets()


def _promises_nothing(class_name: str) -> Targets:
    return NO_TARGETS


@dataclass(frozen=True)
class Knowledge:
    """What the operator of a server tells its scheduler.

    Attributes:
        predictor: Says how long outputs will be.
        targets_of: The latency targets of a request class.
        profile: How long a request takes that has the server to itself.
    """

    predictor: Predictor = field(default_factory=lambda: Nothing(1 << 30))
    targets_of: Callable[[str], Targets] = _promises_nothing
    profile: Profile = field(default_factory=Profile)
