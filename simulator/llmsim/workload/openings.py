"""Requests of a group of users that no other request brings: all of them, or the first of each session."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from itertools import repeat
from typing import Any, Protocol

import numpy as np

from llmsim.engine.request import Request
from llmsim.rng import Streams
from llmsim.spec.prefixes import SharedPrefix
from llmsim.spec.sessions import Sessions
from llmsim.workload import lengths
from llmsim.workload.labels import Draws
from llmsim.workload.plain import RequestStream
from llmsim.workload.prefixes import Prefixes, with_prefixes
from llmsim.workload.sessions import Session, SessionSource
from llmsim.workload.sources import ArrivalSource, nothing_by_itself

TIMES = 256
"""Times drawn at a time; has no influence on them."""

Openings = Callable[[], Iterator[Request]]
"""Begins anew with them."""

StartLengths = Callable[[], lengths.Take]
"""Begins anew with requests' lengths."""


class Offer(Protocol):
    """What users of one kind ask, beside its lengths."""

    @property
    def shared_prefix(self) -> SharedPrefix | None:
        """What their prompts begin with."""

    @property
    def sessions(self) -> Sessions | None:
        """How their requests follow one another."""


def prefix_source(offer: Offer, draws: Streams, number: int = 0) -> Callable[[], Prefixes] | None:
    """Begins anew with the prefixes of the ``number``-th group of users; None where they share none."""
    shared = offer.shared_prefix
    return None if shared is None else lambda: Prefixes(shared, number, draws("prefixes"))


def with_shared(start: StartLengths, prefixes: Callable[[], Prefixes] | None) -> StartLengths:
    """``start`` with prefixes, where there are any."""
    return start if prefixes is None else with_prefixes(start, prefixes)


def untimed(
    offer: Offer,
    start: StartLengths,
    draws: Streams,
    live: dict[str, Session],
    *,
    number: int = 0,
    label: str = "",
    max_tokens: int | None = None,
    cached_tokens: float = 0,
    start_labels: Callable[[], Draws] = dict,
) -> Openings:
    """The openings of the ``number``-th group of users, without times; there is no end.

    Args:
        offer, start: What they ask; lengths without shared prefixes.
        draws: The random streams, the group's own.
        live: Where sessions are put that are opened.
        label: Before a session's number in its name.
        max_tokens, cached_tokens: As the workload says.
        start_labels: What else is drawn for each of them.
    """
    prefixes = prefix_source(offer, draws, number)
    if offer.sessions is None:
        alone = RequestStream(
            ArrivalSource(nothing_by_itself),
            with_shared(start, prefixes),
            total=None,
            max_tokens=max_tokens,
            cached_tokens=cached_tokens,
            start_labels=start_labels,
        )
        return alone.untimed
    kept = start if max_tokens is None else partial(_cut, start, max_tokens)
    source = SessionSource(offer.sessions, kept, draws, prefixes, number, label)
    same = {} if max_tokens is None else {"max_tokens": max_tokens}
    return lambda: marked(_drawn(source.openings(live), start_labels()), same)


def _cut(start: StartLengths, max_tokens: int) -> lengths.Take:
    """Lengths with outputs cut at their users' limit."""
    take = start()

    def cut(n: int) -> lengths.Lengths:
        drawn = take(n)
        return drawn._replace(outputs=np.minimum(drawn.outputs, max_tokens))

    return cut


def _drawn(openings: Iterator[Request], draws: Draws) -> Iterator[Request]:
    """``openings``, each with its value of every label drawn."""
    return map(partial(_label, draws), openings) if draws else openings


def _label(draws: Draws, req: Request) -> Request:
    for name, draw in draws.items():
        setattr(req, name, draw(1)[0])
    return req


def marked(openings: Iterator[Request], same: Mapping[str, Any]) -> Iterator[Request]:
    """``openings``, all with the same values."""
    return map(partial(_mark, tuple(same.items())), openings) if same else openings


def _mark(same: tuple[tuple[str, Any], ...], req: Request) -> Request:
    for name, value in same:
        setattr(req, name, value)
    return req


def timed(openings: Iterator[Request], source: ArrivalSource) -> Iterator[Request]:
    """``openings`` at the times of ``source``, to its end."""
    return map(_at, _times(source), openings)


def _at(arrival_s: float, req: Request) -> Request:
    req.arrival_s = arrival_s
    return req


def _times(source: ArrivalSource) -> Iterator[float]:
    take, left = source.start(), source.count
    for _ in repeat(None):
        size = TIMES if left is None else min(TIMES, left)
        if not size:
            return
        yield from take(size).tolist()
        left = None if left is None else left - size
