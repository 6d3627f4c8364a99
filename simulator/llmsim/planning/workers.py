"""Who runs the points: this process, a pool of processes, or a Ray cluster. All give the same outcomes."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import connection, get_context
from pathlib import Path
from threading import Thread
from typing import Any

from llmsim.errors import UserError
from llmsim.planning.outcome import Outcome, play
from llmsim.planning.points import Point
from llmsim.plugins import load_plugin_file

Run = Callable[[Sequence[Point]], Iterator[tuple[int, Outcome]]]
"""Points in, (position, outcome) out as they finish."""

PLACES = "pool, here, ray or ray://HOST:PORT"
GUARD = "put what the script does under `if __name__ == '__main__':`, or give where=llmsim.Where(on='here')"
AHEAD = 2
"""Points given out per worker: one that runs and one that waits, so that none idles and few die with it."""


@contextmanager
def open_workers(on: str = "pool", workers: int | None = None, plugins: Sequence[Path] = ()) -> Iterator[Run]:
    """Something that runs points; it stays open between calls.

    Args:
        on: ``pool`` (processes of this machine), ``here`` (this process), ``ray`` (a Ray cluster on this
            machine) or ``ray://HOST:PORT``.
        workers: Processes; as many as CPUs by default.
        plugins: Files that every worker runs first.

    Raises:
        UserError: No such place, or it does not answer.
    """
    if on == "ray" or on.startswith("ray://"):
        from llmsim.planning.on_ray import open_ray  # noqa: PLC0415  an extra, imported where it is used

        with open_ray(None if on == "ray" else on, workers, plugins) as run:
            yield run
        return
    if on not in ("pool", "here"):
        raise UserError(f"--on {on}: no such place; choose {PLACES}")
    _refuse_unguarded_script()
    count = workers or available_cpus()
    if on == "here" or count == 1:
        yield _run_here
        return
    pool = _Pool(count, plugins)
    try:
        yield pool.run
    except KeyboardInterrupt:
        pool.stop()
        raise
    finally:
        pool.close()


def width_of(on: str, workers: int | None) -> int:
    """Points that run side by side, for searches that can make use of several. Pure query."""
    return workers or (1 if on == "here" else available_cpus())


def available_cpus() -> int:
    """The CPUs that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _refuse_unguarded_script() -> None:
    """A worker imports the script that started it; it must not start workers of its own."""
    if getattr(multiprocessing.current_process(), "_inheriting", False):
        raise UserError(
            "this script starts worker processes as soon as it is imported",
            hint=GUARD,
        )


def _run_here(points: Sequence[Point]) -> Iterator[tuple[int, Outcome]]:
    for index, point in enumerate(points):
        yield index, play(point)


class _Pool:
    """Processes that run points; one that dies takes down its own point alone."""

    def __init__(self, workers: int, plugins: Sequence[Path]) -> None:
        self._workers = workers
        self._plugins = tuple(plugins)
        self._processes: ProcessPoolExecutor | None = None
        self._first: Future[None] | None = None
        self._started: set[multiprocessing.process.BaseProcess] = set()

    def run(self, points: Sequence[Point]) -> Iterator[tuple[int, Outcome]]:
        """The outcomes as they come. A point that kills its process, and again when alone, has failed.

        Raises:
            UserError: Processes end before they run anything.
        """
        waiting = deque(range(len(points)))
        while waiting:
            suspects = yield from self._until_one_dies(points, waiting)
            for index in suspects:
                if (yield from self._until_one_dies(points, deque([index]))):
                    problem = "its process was killed, twice: was there too little memory?"
                    yield index, Outcome.failed(points[index], problem)

    def _until_one_dies(
        self, points: Sequence[Point], waiting: deque[int]
    ) -> Generator[tuple[int, Outcome], None, list[int]]:
        """Runs what is ``waiting``; returns what was under way when a process died, nothing if none did."""
        under_way: dict[Future[Outcome], int] = {}
        try:
            while waiting or under_way:
                while waiting and len(under_way) < AHEAD * self._workers:
                    under_way[self._submit(play, points[waiting[0]])] = waiting[0]
                    waiting.popleft()
                for future in wait(under_way, return_when=FIRST_COMPLETED).done:
                    outcome = future.result()
                    yield under_way.pop(future), outcome
        except BrokenProcessPool:
            self.close()
            if self._first is not None and self._first.exception() is not None:
                raise UserError(
                    "worker processes end as soon as they start; what they said of it stands above",
                    hint=GUARD,
                ) from None
            return sorted(under_way.values())
        return []

    def _submit(self, work: Callable[..., Any], *given: object) -> Future[Any]:
        """``work`` for a process to do. The first thing that processes do is nothing, to show that they start."""
        before = set(multiprocessing.active_children())
        # Python's resource tracker, which the pool's locks start, lets interrupts through: so after those
        processes = self._open()
        with _importable_script(), _interrupts_held():
            if self._first is None:
                self._first = processes.submit(_nothing)
            future = processes.submit(work, *given)
        self._started |= set(multiprocessing.active_children()) - before
        return future

    def _open(self) -> ProcessPoolExecutor:
        if self._processes is None:
            self._first = None
            self._processes = ProcessPoolExecutor(
                self._workers, get_context("spawn"), _start_worker, (self._plugins,)
            )
        return self._processes

    def close(self) -> None:
        """Give up what has not begun; processes end with what they are at."""
        if self._processes is not None:
            self._processes.shutdown(wait=False, cancel_futures=True)
            self._processes = None

    def stop(self) -> None:
        """End the processes with their points half done."""
        for process in self._started:
            process.terminate()
        if self._processes is not None:  # waited for: what is left at the program's end would complain
            self._processes.shutdown(wait=True, cancel_futures=True)
            self._processes = None


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Ctrl-C comes after the block. Processes started within never see it: the one that started them ends them."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _importable_script() -> Iterator[None]:
    """A new process imports the script that starts it; one that came through a pipe (``python -``) has no file."""
    script = sys.modules["__main__"]
    file = getattr(script, "__file__", None)
    if file is None or Path(file).is_file():
        yield
        return
    del script.__file__
    try:
        yield
    finally:
        script.__file__ = file


def _nothing() -> None:
    """A process that gets this far has started."""


def _start_worker(plugins: Sequence[Path]) -> None:
    """A worker's first act: plug-ins, and a watch that ends it when the program that started it is killed."""
    for file in plugins:
        load_plugin_file(file)
    parent = multiprocessing.parent_process()
    if parent is not None:
        Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()


def _end_with(sentinel: int) -> None:
    connection.wait([sentinel])
    os._exit(1)
