"""Several groups of users in one stream, each with random numbers of its own, merged as they are read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from heapq import merge
from math import inf
from operator import attrgetter
from pathlib import Path
from typing import NamedTuple

import numpy as np

from llmsim.engine.request import Request
from llmsim.errors import InvariantError, Problem, ScenarioError
from llmsim.files.servegen import read_clients
from llmsim.rng import Streams, streams
from llmsim.spec.arrivals import MAX_REQUESTS, Arrival, ClientsArrivals, ClosedArrivals, requests_per_s
from llmsim.spec.clients import Client, ClientFile
from llmsim.spec.workload import Workload
from llmsim.workload import lengths
from llmsim.workload.describe import describe
from llmsim.workload.followed import FollowedStream
from llmsim.workload.openings import Openings, marked, timed, untimed
from llmsim.workload.servegen import client_requests
from llmsim.workload.sessions import Session
from llmsim.workload.sources import drawn_source, faster

PICKS = 256
"""Choices of a client drawn at a time; has no influence on them."""


class _Merged(NamedTuple):
    """Openings of all clients: with times, and without; their mean rate, and when they end by themselves."""

    timed: Openings
    untimed: Openings
    mean_rate: float | None
    end_s: float = inf


def open_clients(workload: Workload, seed: int, base_dir: Path) -> FollowedStream:
    """The requests of all clients of ``workload``.

    Raises:
        TraceError: The clients' file cannot be read.
        ScenarioError: There would be more requests than can be simulated.
    """
    live: dict[str, Session] = {}
    clients = workload.listed_clients
    if isinstance(workload.clients, ClientFile):
        merged = _of_file(workload, workload.clients, seed, base_dir)
    else:
        groups = [_group(workload, place, client, seed, live) for place, client in enumerate(clients)]
        merge_all = _own_arrivals if isinstance(workload.arrival, ClientsArrivals) else _shared_arrivals
        merged = merge_all(workload, groups, seed)
    end_s = workload.duration_s or (inf if workload.num_requests else merged.end_s)
    expected = (merged.mean_rate or 0.0) * end_s
    if workload.num_requests is None and inf > expected > MAX_REQUESTS:
        message = f"about {expected:.3g} requests; at most {MAX_REQUESTS:,} can be simulated"
        raise ScenarioError(Problem("workload.duration_s", message))
    arrival = workload.arrival
    return FollowedStream(
        merged.timed,
        merged.untimed,
        live,
        width=workload.beam_width,
        follows=workload.has_sessions,
        total=workload.num_requests,
        end_s=end_s,
        max_concurrency=arrival.max_concurrency if isinstance(arrival, ClosedArrivals) else None,
        most_in_flight=workload.max_concurrency,
        mean_rate=merged.mean_rate,
        description=describe(workload, merged.mean_rate),
        labels=workload.labels,
        models=frozenset(client.model or "" for client in clients) or frozenset({""}),
    )


def _streams(seed: int, name: str) -> Streams:
    return streams(seed, f"clients.{name}.")


def _group(workload: Workload, place: int, client: Client, seed: int, live: dict[str, Session]) -> Openings:
    """The openings of ``client``, the ``place``-th, without times."""
    prompt = client.input_tokens or workload.input_tokens
    output = client.output_tokens or workload.output_tokens
    if prompt is None or output is None:
        raise InvariantError("a client without lengths passed its checks")
    draws = _streams(seed, client.name)
    openings = untimed(
        client,
        partial(lengths.independent, prompt, output, draws),
        draws,
        live,
        number=place,
        label=f"{client.name}-",
        max_tokens=workload.max_tokens,
        cached_tokens=0 if client.sessions else workload.cached_input_tokens,
    )
    same = {
        "class_name": client.slo_class,
        "tenant": client.tenant if client.tenant is not None else client.name,
        "priority": client.priority,
        "model": client.model or "",
    }
    return lambda: marked(openings(), same)


def _each(client: Client) -> float:
    """Requests that each opening of ``client`` is on average."""
    return client.sessions.mean_requests if client.sessions else 1.0


def _own_arrivals(workload: Workload, groups: Sequence[Openings], seed: int) -> _Merged:
    """Every client at times of its own."""
    assert isinstance(workload.arrival, ClientsArrivals)  # asked before
    own = [(client, client.arrival) for client in workload.listed_clients if client.arrival is not None]
    rates = [requests_per_s(arrival) * _each(client) for client, arrival in own]
    factor = workload.arrival.factor(sum(rates))
    sources = [drawn_source(faster(arrival, factor), _streams(seed, client.name)) for client, arrival in own]

    def openings() -> Iterator[Request]:
        each = [timed(group(), source) for group, source in zip(groups, sources, strict=True)]
        return merge(*each, key=attrgetter("arrival_s"))

    return _Merged(openings, openings, sum(rates) * factor)


def _shared_arrivals(workload: Workload, groups: Sequence[Openings], seed: int) -> _Merged:
    """All clients at the workload's times, each of which is one's by chance."""
    arrival: Arrival = workload.arrival
    source = drawn_source(arrival, streams(seed))
    clients = workload.listed_clients
    weights = np.array([client.share or 0.0 for client in clients])
    shares = np.cumsum(weights) / weights.sum()
    each = float(weights @ [_each(client) for client in clients] / weights.sum())

    def openings() -> Iterator[Request]:
        rng, started = streams(seed)("clients"), [group() for group in groups]
        while True:
            for place in np.searchsorted(shares, rng.random(PICKS), side="right").tolist():
                yield next(started[place])

    rate = None if source.mean_rate is None else source.mean_rate * each
    return _Merged(lambda: timed(openings(), source), openings, rate)


def _of_file(workload: Workload, file: ClientFile, seed: int, base_dir: Path) -> _Merged:
    """Clients of a file, once over its day."""
    assert isinstance(workload.arrival, ClientsArrivals)  # asked before
    found = read_clients(base_dir / Path(file.file).expanduser(), file.file, file.category)[
        : file.num_clients
    ]
    own_rate = sum(client.mean_rate for client in found)
    factor = workload.arrival.factor(own_rate)

    def openings() -> Iterator[Request]:
        each = [
            marked(
                client_requests(client, file.start_s, factor, _streams(seed, client.name)),
                {"tenant": client.name},
            )
            for client in found
        ]
        return merge(*each, key=attrgetter("arrival_s"))

    return _Merged(openings, openings, own_rate * factor, float(found[0].edges_s[-1]))
