"""What a workload says of its requests beside their lengths: whose they are, and what they ask for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

from llmsim.engine.request import Request
from llmsim.errors import Problem, ScenarioError
from llmsim.files.traces import Trace
from llmsim.rng import Streams
from llmsim.spec.workload import Workload

Draws = dict[str, Callable[[int], list[str]]]
"""Attribute of a request to what draws its next n values."""


def label_source(workload: Workload, streams: Streams, trace: Trace | None) -> Callable[[], Draws]:
    """Begins anew with the labels the workload draws, at each call.

    Raises:
        ScenarioError: The trace has labels of its own that the workload would draw.
    """
    own = set(trace.labels) if trace is not None and workload.has_row_lengths else set()
    keys = {
        "session_id": "num_sessions",
        "model": "models",
        "hash_ids": "shared_prefix",
        "segments": "segments",
    }
    twice = [keys[name] for name in sorted(own & workload.labels)]
    if twice:
        message = "the trace says that itself, row by row; remove it"
        raise ScenarioError([Problem(f"workload.{key}", message) for key in twice])
    return partial(_draws, workload, streams)


def _draws(workload: Workload, streams: Streams) -> Draws:
    draws: Draws = {}
    if workload.num_sessions is not None and workload.sessions is None:
        sessions = _picks([str(number) for number in range(workload.num_sessions)], streams("sessions"))
        draws["session_id"] = sessions
    if workload.models is not None:
        draws["model"] = _picks(
            list(workload.models), streams("models"), np.array(list(workload.models.values()))
        )
    return draws


def _picks(
    values: list[str], rng: np.random.Generator, weights: np.ndarray[Any, Any] | None = None
) -> Callable[[int], list[str]]:
    """Draws of ``values``, equally likely or by ``weights``."""
    if weights is None:
        return lambda n: [values[place] for place in (rng.random(n) * len(values)).astype(int).tolist()]
    shares = np.cumsum(weights) / weights.sum()
    return lambda n: [
        values[place] for place in np.searchsorted(shares, rng.random(n), side="right").tolist()
    ]


def labelled(requests: Iterator[Request], labels: dict[str, list[Any]]) -> Iterator[Request]:
    """``requests``, each with its value of every label."""
    for name, values in labels.items():
        requests = map(partial(_label, name), requests, values)
    return requests


def _label(name: str, req: Request, value: Any) -> Request:
    setattr(req, name, value)
    return req
