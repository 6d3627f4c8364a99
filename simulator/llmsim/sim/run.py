"""A scenario in, a record of what happened out."""

from __future__ import annotations

import gc
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from llmsim.files.scenario_file import LoadedScenario
from llmsim.measure.laws import check
from llmsim.measure.records import RunRecord, StepLog
from llmsim.measure.swap_log import SwapLog
from llmsim.sim.build import PoolPlan, refuse_what_can_never_run
from llmsim.sim.clock import Clock
from llmsim.sim.fleet import Fleet, Progress
from llmsim.sim.maker import Maker
from llmsim.sim.open_routers import open_routers
from llmsim.sim.pools import Pools
from llmsim.workload.stream import open_stream


def simulate(loaded: LoadedScenario, progress: Progress | None = None) -> RunRecord:
    """Run a scenario to its end, or to Ctrl-C: what is finished by then is kept.

    Args:
        loaded: The scenario and its model.
        progress: Called now and then with (simulated seconds, requests finished, requests in all or None).

    Raises:
        UserError: The fleet cannot be built or the trace cannot be read.
        InvariantError: The run broke a law: our bug.
    """
    scenario = loaded.scenario
    clock = Clock()
    log = StepLog()
    stream = open_stream(scenario.workload, scenario.simulation.seed, loaded.base_dir)
    plans = [PoolPlan(loaded, pool) for pool in scenario.fleet]
    refuse_what_can_never_run(loaded, plans)
    fleet = Fleet(clock, stream)
    fleet.progress = progress
    maker = Maker(fleet, log, fast_forward=scenario.simulation.fast_forward)
    pools = Pools(loaded, plans, fleet, maker)
    routers = open_routers(loaded, fleet.replicas, stream, clock)
    with _undisturbed(clock):
        fleet.open(routers, scenario.admission, scenario.simulation.seed)
        pools.scale(scenario)
        clock.run_all(scenario.simulation.max_duration_s)
        fleet.close()
    record = RunRecord(
        requests=fleet.requests,
        steps=log,
        replicas=maker.records,
        end_s=clock.now,
        interrupted=clock.interrupted,
        events=clock.events,
        skipped_trace_rows=dict(stream.skipped),
        workload=stream.describe(),
        holdings=pools.holdings(),
        fleet=pools.log,
        handover=fleet.handover.log if fleet.handover else None,
        swaps=_swaps(fleet),
    )
    check(record)
    return record


def _swaps(fleet: Fleet) -> SwapLog | None:
    """What the replicas' preemption modes have moved; None where none uses host memory."""
    modes = [replica.engine.kv.preemption for replica in fleet.replicas]
    sizes = [
        (mode.moved_out_tokens * mode.host.bytes_per_token, mode.moved_in_tokens * mode.host.bytes_per_token)
        for mode in modes
        if mode.uses_host
    ]
    if not sizes:
        return None
    link_s = sum(
        (mode.moved_out_tokens + mode.moved_in_tokens) * mode.host.bytes_per_token / mode.host.bytes_per_s
        for mode in modes
    )
    return SwapLog(sum(out for out, _ in sizes), sum(back for _, back in sizes), link_s)


@contextmanager
def _undisturbed(clock: Clock) -> Iterator[None]:
    """Ctrl-C stops the clock between two events; no garbage collection.

    The simulation makes no reference cycles that grow with its length, while a collection walks
    every request so far: a cost that rises with the square of the run.
    """
    collecting = gc.isenabled()
    gc.disable()
    main_thread = threading.current_thread() is threading.main_thread()
    handler = signal.getsignal(signal.SIGINT)

    def stop(signum: int, frame: object) -> None:
        clock.stopped = clock.interrupted = True

    if main_thread:
        signal.signal(signal.SIGINT, stop)
    try:
        yield
    finally:
        if main_thread:
            signal.signal(signal.SIGINT, handler)
        if collecting:
            gc.enable()
