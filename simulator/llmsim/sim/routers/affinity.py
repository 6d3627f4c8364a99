"""Routers that send what belongs together to one replica, where its KV may still be."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from math import ceil

from pydantic import Field

from llmsim.engine.request import Request
from llmsim.sim.replica import Replica
from llmsim.sim.routers.base import Setting
from llmsim.sim.routers.loads import LoadOptions, RequestLoads
from llmsim.sim.routers.ring import HashRing
from llmsim.spec.base import Strict


class _Affinity(RequestLoads):
    """Goes by a key of the request; one without a key goes where the fewest requests are."""

    def __init__(self, replicas: Sequence[Replica], options: Strict | None, setting: Setting) -> None:
        super().__init__(replicas, options, setting)
        self._ring = HashRing(self.replicas)

    def joined(self, replica: Replica) -> None:
        """See :class:`Router`."""
        super().joined(replica)
        self._ring.add(replica)

    def left(self, replica: Replica) -> None:
        """See :class:`Router`."""
        super().left(replica)
        self._ring.remove(replica)

    def choose(self, req: Request) -> Replica:
        """See :class:`Router`."""
        known, key = self.look(), self.key(req)
        return self.place(key, known) if key else self.replicas[known.index(min(known))]

    @abstractmethod
    def key(self, req: Request) -> str:
        """What ``req`` has in common with those it belongs to; empty without. Pure query."""

    @abstractmethod
    def place(self, key: str, known: list[int]) -> Replica:
        """Where requests with ``key`` go."""


class SessionAffinity(_Affinity):
    """All requests of a session to one replica, by consistent hashing of the session's id.

    When a replica goes, its sessions spread over the others; when one comes, it takes its share of all.
    As vLLM production-stack's ``session`` routing.
    """

    needs = "session_id"

    def key(self, req: Request) -> str:
        """See the base class."""
        return req.session_id

    def place(self, key: str, known: list[int]) -> Replica:
        """See the base class."""
        return self._ring.owner(key)


class PrefixOptions(LoadOptions):
    """Options of ``router: {kind: prefix_affinity}``."""

    prefix_blocks: int = Field(
        2,
        ge=1,
        description="hashed blocks at the start of a prompt that make up its key. The first alone tells nothing "
        "where all prompts begin alike, as those of Mooncake's conversation trace do",
    )
    load_factor: float = Field(
        1.25,
        gt=1,
        description="a replica takes at most this many times the mean number of requests; beyond it, the "
        "next on the ring takes them",
    )


class PrefixAffinity(_Affinity):
    """Prompts that begin alike to one replica, by consistent hashing with bounded loads.

    Source: Mirrokni, Thorup, Zadimoghaddam 2018, "Consistent Hashing with Bounded Loads", SODA (arXiv
    1608.01350); KubeAI's ``PrefixHash`` and SGLang's ``prefix_hash`` route by it. It has no image of what
    the caches hold: a key's home is where it is served, except while that is overloaded.
    """

    needs = "hash_ids"
    Options = PrefixOptions
    options: PrefixOptions

    def key(self, req: Request) -> str:
        """See the base class. Block hashes are chained: one of them stands for all before it."""
        ids = req.hash_ids
        return str(ids[min(self.options.prefix_blocks, len(ids)) - 1]) if ids else ""

    def place(self, key: str, known: list[int]) -> Replica:
        """See the base class."""
        most = ceil(self.options.load_factor * (sum(known) + 1) / len(known))
        for replica in self._ring.owners(key):
            if known[self._positions[replica]] < most:
                return replica
        return self._ring.owner(key)
