"""What a sweep costs beside its runs, and what a second core brings.

``python benchmarks/sweep.py [POINTS]`` sweeps the shipped chatbot over its number of requests three times:
run after run without any sweep, as a sweep in one process, and as one in a pool of two. It prints wall time and CPU
time of each, the ratio of the wall times, and the CPU time that a point costs beside its run. Every sweep
starts with an empty store; starting the pool is part of it.
"""

from __future__ import annotations

import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from llmsim.planning.axes import Axis
from llmsim.planning.outcome import play
from llmsim.planning.points import Base, points, settings_of
from llmsim.planning.store import open_store
from llmsim.planning.sweep import manifest, run_points
from llmsim.planning.workers import open_workers

REQUESTS = 6_000
"""Of the shortest run: about a third of a second."""


def main() -> None:
    """Measure and print."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 60
    base = Base(
        "chatbot",
        (
            "workload.duration_s=null",
            "workload.num_requests=1",
            "workload.arrival={kind: poisson, request_rate: 5}",
        ),
    )
    axis = Axis("workload.num_requests", tuple(range(REQUESTS, REQUESTS + count)))

    ready = points(settings_of(base, [axis]), 0, 1)

    def plain() -> None:
        for point in ready:
            play(point)

    def sweep(workers: int) -> Callable[[], None]:
        def run() -> None:
            with tempfile.TemporaryDirectory() as folder, open_workers("pool", workers) as pool:
                planned = points(settings_of(base, [axis]), 0, 1)
                with open_store(Path(folder), manifest(base.load())) as store:
                    run_points(planned, pool, store)

        return run

    play(ready[0])  # imports and caches: paid once by any of them
    alone_s, alone_cpu_s = _timed(plain)
    one_s, one_cpu_s = _timed(sweep(1))
    two_s, two_cpu_s = _timed(sweep(2))
    print(f"{count} runs without a sweep: {alone_s:.1f} s, {alone_cpu_s:.1f} s of CPU")
    print(f"sweep, one process:  {one_s:.1f} s, {one_cpu_s:.1f} s of CPU")
    print(f"sweep, pool of two:  {two_s:.1f} s, {two_cpu_s:.1f} s of CPU")
    print(f"two against one:     {one_s / two_s:.2f} times as fast")
    for name, cpu_s in (("one process", one_cpu_s), ("pool of two", two_cpu_s)):
        print(f"beside the runs, {name}: {(cpu_s - alone_cpu_s) / count * 1e3:.0f} ms of CPU a point")


def _timed(work: Callable[[], None]) -> tuple[float, float]:
    """Wall and CPU seconds of ``work``, the processes it starts included."""
    start_s, start_cpu_s = time.perf_counter(), _cpu_s()
    work()
    time.sleep(0.5)  # until the processes have been reaped and count
    return time.perf_counter() - start_s - 0.5, _cpu_s() - start_cpu_s


def _cpu_s() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


if __name__ == "__main__":
    main()
