"""Links, and the ways through them."""

from __future__ import annotations

from math import inf
from typing import NamedTuple


class Link:
    """One direction of a connection, shared max-min fairly by the transfers on it.

    Attributes:
        name: For messages and reports.
        bytes_per_s: Most it carries; infinite where something else on the way always limits. Change it
            through :meth:`Network.set_capacity`.
        latency_s: From one end to the other, one way.
        is_up: Whether it still stands (:meth:`Network.fail`).
        carried_bytes: What has gone through with transfers that have ended, however they did.
    """

    __slots__ = ("bytes_per_s", "carried_bytes", "is_up", "latency_s", "name")

    def __init__(self, name: str, bytes_per_s: float, latency_s: float = 0.0) -> None:
        self.name = name
        self.bytes_per_s = bytes_per_s
        self.latency_s = latency_s
        self.is_up = True
        self.carried_bytes = 0.0

    def __repr__(self) -> str:
        return f"Link({self.name!r}, {self.bytes_per_s:g}, {self.latency_s:g})"


class Path(NamedTuple):
    """A way from one place to another.

    Attributes:
        hops: Each link on it, once, with its share of the bytes. Links one after the other have a share
            of 1; where a transfer is spread over parallel links, their shares add up to 1.
        latency_s: One way: the latencies of its links, added up.
    """

    hops: tuple[tuple[Link, float], ...]
    latency_s: float

    @classmethod
    def through(cls, *links: Link) -> Path:
        """The way through ``links``, one after the other."""
        return cls(tuple((link, 1.0) for link in links), sum(link.latency_s for link in links))

    @property
    def bytes_per_s(self) -> float:
        """What a transfer gets that is alone on it. Pure query."""
        return min((link.bytes_per_s / share for link, share in self.hops), default=inf)

    def seconds(self, num_bytes: float) -> float:
        """How long ``num_bytes`` take from end to end with nobody else on the way. Pure query."""
        return (num_bytes / self.bytes_per_s if num_bytes else 0.0) + self.latency_s
