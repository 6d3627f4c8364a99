"""What a router is: it knows the replicas that accept requests, and says where the next one goes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from llmsim.engine.kv.base import NoOptions
from llmsim.engine.request import Request
from llmsim.rng import stream
from llmsim.sim.clock import Clock
from llmsim.sim.replica import Replica
from llmsim.spec.base import Place, Strict

if TYPE_CHECKING:
    from llmsim.spec.scenario import Scenario

DRAWS = 4096
"""Random numbers drawn at a time; has no influence on them."""


class Destination(Protocol):
    """Where a request can be sent."""

    @property
    def num_waiting(self) -> int:
        """Requests there that do not run: on the way, or in the queue."""
        ...

    def submit(self, req: Request) -> str:
        """Take ``req`` in, or say why it can never run there; empty when it is in."""
        ...

    def withdraw(self, req: Request) -> bool:
        """Take ``req``, which has not started, out of the queue; False when it is not there."""
        ...


class Setting(NamedTuple):
    """What a router is built into.

    Attributes:
        clock: For the age of what it knows.
        seed: Of its random streams.
        name: Tells its random streams from those of other routers of the run.
    """

    clock: Clock
    seed: int = 0
    name: str = ""

    def uniforms(self, purpose: str) -> Iterator[float]:
        """Random numbers in [0, 1) from the stream ``router.NAME.PURPOSE``."""
        rng = stream(self.seed, ".".join(part for part in ("router", self.name, purpose) if part))
        while True:
            yield from rng.random(DRAWS).tolist()


class Router(ABC):
    """Sends each arriving request somewhere. Sees what a real one could: never a request's future.

    Args:
        replicas: Those that accept requests now, in order; more join and some leave later, and for a
            while there may be none: no request is then shown to the router.
        options: What the scenario says beside ``kind``.
        setting: Clock and seed.

    Attributes:
        replicas: Those that accept requests now; the router's own list.
        needs: The request's attribute it decides by (``session_id``, ``hash_ids``); "" without one.
        watches: Whether it is to be told of requests that went to a replica or left one.
    """

    Options: type[Strict] = NoOptions
    needs: str = ""
    watches = False

    def __init__(self, replicas: Sequence[Replica], options: Strict | None, setting: Setting) -> None:
        self.replicas = list(replicas)
        self.options = options if options is not None else self.Options()
        self.setting = setting

    @abstractmethod
    def choose(self, req: Request) -> Destination:
        """Where ``req``, which has just arrived, goes. There is at least one replica."""

    def joined(self, replica: Replica) -> None:
        """``replica`` accepts requests from now on."""
        self.replicas.append(replica)

    def left(self, replica: Replica) -> None:
        """``replica`` accepts no more requests; those it has may still leave it later."""
        self.replicas.remove(replica)

    def sent(self, req: Request, replica: Any) -> None:  # noqa: B027  # most routers need not know
        """``req`` has gone to ``replica``, a destination this router chose."""

    def gone(self, requests: Sequence[Request], replica: Any) -> None:  # noqa: B027  # as above
        """``requests`` have left ``replica``: delivered, refused, dropped, lost or handed over."""

    @property
    def num_waiting(self) -> int:
        """Requests that wait at the replicas that accept some. Pure query."""
        return sum(replica.num_waiting for replica in self.replicas)

    @classmethod
    def conflicts(cls, options: dict[str, Any], scenario: Scenario) -> Iterator[tuple[Place, str]]:
        """(place, message) of each thing in ``scenario`` that this router cannot work with."""
        if cls.needs and scenario.workload.trace is None and cls.needs not in scenario.workload.labels:
            yield ("router",), LACKING[cls.needs].format(kind=scenario.router.kind)


LACKING = {
    "session_id": "{kind} goes by sessions, and the workload has none; write `sessions` or `num_sessions` under "
    "`workload`, or use a trace with a column `session_id` (or Bailian's `chat_id`)",
    "hash_ids": "{kind} goes by shared prefixes, and the workload has none; write `shared_prefix` or "
    "`sessions` under `workload`, or use a trace with `hash_ids` (Mooncake, Bailian)",
}
"""What to say of a workload without the labels that a router needs."""
