"""Crashes at given times: instances go without notice, and come back repaired."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from llmsim.sim.clock import COMPLETION
from llmsim.spec.failures import Failure

if TYPE_CHECKING:
    from llmsim.sim.supply import Supply


class Repairs:
    """The machines of a pool that are broken: whoever asks for an instance gets one of them, once it is repaired."""

    def __init__(self, supply: Supply) -> None:
        self._supply = supply
        self._back_s: list[float] = []

    def expect(self) -> None:
        """Let the pool's failures happen at their times."""
        clock = self._supply.clock
        for failure in self._supply.pool.failures:
            clock.call(failure.at_s, COMPLETION, partial(self._crash, failure))

    def wait_s(self) -> float:
        """Seconds until the machine that takes a lost one's place can be started; that is its turn."""
        return max(0.0, self._back_s.pop(0) - self._supply.clock.now) if self._back_s else 0.0

    def _crash(self, failure: Failure) -> None:
        for instance in self._supply.instances[: failure.instances]:
            self._back_s.append(self._supply.clock.now + failure.repair_s)
            self._back_s.sort()
            self._supply.lose(instance, "crashed")
