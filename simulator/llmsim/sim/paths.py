"""The way between two places, link by link."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from llmsim.sim.links import Link, Path
from llmsim.sim.places import Duplex, Part, Place

Between = Callable[[str | None, str | None], list[Link]]
"""The links from one zone to another; given one twice, those of the network within it."""


def path_between(source: Place, target: Place, between: Between) -> Path:
    """The way from ``source`` to ``target``; empty where they are one.

    A byte goes from its position in the source to the same position in the target. So a place on several
    machines uses the ports of all of them at once: each link carries the share of the bytes whose way
    leads over it, and the slowest one for its share decides. With equal machines that is their sum.
    """
    if source is target:
        return Path((), 0.0)
    shares: dict[Link, float] = {}
    latency_s = 0.0
    for part, other, share in _matched(source, target):
        way = _way(part, other, between)
        latency_s = max(latency_s, sum(link.latency_s for link in way))
        for link in way:
            shares[link] = shares.get(link, 0.0) + share
    return Path(tuple(shares.items()), latency_s)


def _matched(source: Place, target: Place) -> Iterator[tuple[Part, Part, float]]:
    """Which part of ``source`` has the bytes that go to which part of ``target``, and their share."""
    sent, received = (sum(part.weight for part in place.parts) for place in (source, target))
    start = 0  # positions in units of 1 / (sent · received), which both sides have whole numbers of
    for part in source.parts:
        end = start + part.weight * received
        other_start = 0
        for other in target.parts:
            other_end = other_start + other.weight * sent
            overlap = min(end, other_end) - max(start, other_start)
            if overlap > 0:
                yield part, other, overlap / (sent * received)
            other_start = other_end
        start = end


def _way(part: Part, other: Part, between: Between) -> list[Link]:
    """The links from one part to another, in order."""
    if part.server is not None and part.server is other.server:
        near = part.island is not None and part.island == other.island
        out, into = (part.scale_up, other.scale_up) if near else (part.host, other.host)
        return [*(duplex.out for duplex in out), *(duplex.into for duplex in reversed(into))]
    return [
        *(duplex.out for duplex in (*part.network, *_store_side(part, other))),
        *between(part.zone, other.zone),
        *(duplex.into for duplex in reversed((*other.network, *_store_side(other, part)))),
    ]


def _store_side(part: Part, store: Part) -> tuple[Duplex, ...]:
    """What the machine of ``part`` may read from ``store``; nothing where that is no store."""
    if store.store is None or part.server is None:
        return ()
    return (part.server.store(*store.store),)
