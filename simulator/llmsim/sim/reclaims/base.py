"""What a reclaim policy is: it is told in advance, and does what it can until the instance is gone."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from llmsim.engine.kv.base import NoOptions
from llmsim.sim.instances import Deployment
from llmsim.spec.base import Strict

if TYPE_CHECKING:
    from llmsim.sim.supply import Supply


class Reclaim(ABC):
    """Whatever a policy does, what is still there when the instance goes is stopped: its requests lose
    their KV, and go to other replicas to have prompt and generated tokens computed anew.

    Args:
        supply: The pool it belongs to.
        options: What the scenario says beside ``kind``.
    """

    Options: type[Strict] = NoOptions

    def __init__(self, supply: Supply, options: Strict | None = None) -> None:
        self.supply = supply
        self.options = options if options is not None else self.Options()

    @abstractmethod
    def noticed(self, deployment: Deployment, deadline_s: float) -> None:
        """``deployment``, which serves or drains, will be gone at ``deadline_s``."""
