"""Points on a Ray cluster: one on this machine, or one at an address. Needs ``llmsim[ray]``."""

from __future__ import annotations

import logging
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from llmsim.errors import UserError
from llmsim.planning.outcome import Outcome, play
from llmsim.planning.points import Point
from llmsim.planning.workers import AHEAD, Run
from llmsim.plugins import run_plugin

PATIENCE_S = 5.0
"""How long an address may take to answer."""

Source = tuple[str, bytes]
"""A plug-in file's path and content: its file need not be on the cluster."""


@contextmanager
def open_ray(address: str | None, workers: int | None, plugins: Sequence[Path]) -> Iterator[Run]:
    """Something that runs points on Ray.

    Args:
        address: ``ray://HOST:PORT``, where llmsim has to be installed and a scenario's files lie under the
            same paths; None starts a cluster on this machine, and ends it.
        workers: Its CPUs, for one on this machine; what it has by default.
        plugins: Files whose content every worker runs first.

    Raises:
        UserError: Ray is not installed, or the address does not answer.
    """
    try:
        import ray  # noqa: PLC0415  heavy, and an extra
    except ImportError:
        raise UserError("--on ray: Ray is not installed", hint="pip install 'llmsim[ray]'") from None
    if address is None:
        ray.init(
            num_cpus=workers, include_dashboard=False, log_to_driver=False, logging_level=logging.WARNING
        )
    else:
        _knock(address)
        _connect(ray, address)
    sources = tuple((str(path), path.read_bytes()) for path in plugins)
    remote = ray.remote(_play)
    resources: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]  # Ray has no type
    ahead = AHEAD * max(1, int(resources.get("CPU", 1)))
    try:
        yield lambda points: _run(ray, remote, points, sources, ahead)
    finally:
        ray.shutdown()


def _knock(address: str) -> None:
    """Somebody listens at ``address``: Ray itself waits half a minute before it says no."""
    try:
        host, port = urlsplit(address).hostname, urlsplit(address).port
        if not host or not port:
            raise ValueError
    except ValueError:
        raise UserError(f"--on {address}: write ray://HOST:PORT, such as ray://10.0.0.5:10001") from None
    try:
        socket.create_connection((host, port), timeout=PATIENCE_S).close()
    except OSError as error:
        raise UserError(
            f"--on {address}: does not answer: {error.strerror or error}",
            hint="`ray start --head` prints the address; its port for clients is 10001",
        ) from None


def _connect(ray: Any, address: str) -> None:
    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.WARNING)
    except Exception as error:  # Ray raises what its transport raises
        raise UserError(f"--on {address}: Ray does not answer there: {str(error).splitlines()[0]}") from error


def _run(
    ray: Any, remote: Any, points: Sequence[Point], sources: tuple[Source, ...], ahead: int
) -> Iterator[tuple[int, Outcome]]:
    """The outcomes as they come, ``ahead`` points given out at a time."""
    under_way: dict[Any, int] = {}
    waiting = iter(range(len(points)))
    while True:
        while len(under_way) < ahead and (index := next(waiting, None)) is not None:
            under_way[remote.remote(points[index], sources)] = index
        if not under_way:
            return
        ready, _ = ray.wait(list(under_way), num_returns=1)
        index = under_way.pop(ready[0])
        try:
            yield index, ray.get(ready[0])
        except ray.exceptions.RayError as error:
            reason = str(error).strip().splitlines()[-1]
            yield index, Outcome.failed(points[index], f"lost on the cluster: {reason}")


def _play(point: Point, sources: tuple[Source, ...]) -> Outcome:
    for path, content in sources:
        _run_once(path, content)
    return play(point)


@cache
def _run_once(path: str, content: bytes) -> None:
    run_plugin(Path(path), content)
