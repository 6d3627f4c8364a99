"""Requests simulated per CPU-second, beside a bare simpy loop that fires as many timeouts.

    python benchmarks/speed.py              # every row
    python benchmarks/speed.py steady azure # some rows

CPU seconds are this process's own, imports excluded; "simulate" ends with every request and every
step in memory and the laws checked, "with summary" adds all percentiles. Machines differ: compare
the last column, the cost of one request in bare timeouts of the same run.
"""

from __future__ import annotations

import argparse
import resource
import sys
from collections.abc import Callable, Generator
from pathlib import Path
from time import process_time

import simpy

from llmsim import plugins
from llmsim.files.scenario_file import LoadedScenario, load_scenario
from llmsim.measure.summary import summarise
from llmsim.sim.run import simulate

WIDTH = 15
"""Of the names of rows."""

HERE = Path(__file__).parent
SCENARIO = HERE / "speed.yaml"
TRACES = HERE.parents[1] / "shared" / "data" / "traces"
AZURE = TRACES / "azure_llm_2023_conv.csv"
MOONCAKE = TRACES / "mooncake_conversation_trace.jsonl"
ON_EIGHT = ("engine.max_model_len=131072", "fleet.replicas=8", f"workload={{trace: {MOONCAKE}}}")
"""Mooncake's conversations: 12,031 prompts of 12,035 tokens on average, 24 hash blocks each."""

TIERS = (
    "engine.kv_tiers=[{kind: host, size: 256GiB}, {kind: nvme, size: 2TiB, prefetch: true}, "
    "{kind: remote, size: 16TiB, prefetch: true}]"
)

NEEDS = {"lpm": ("engine.enable_prefix_caching=true",)}
"""What a scheduler cannot do without."""

DAY = (
    "model=llama-3.1-70b",
    "fleet={accelerator: a100-sxm-80gb, tensor_parallel_size: 4, replicas: 40, "
    "autoscale: {policy: {kind: target_tracking, target_ongoing_requests: 3}, min_replicas: 10, max_replicas: 100}, "
    "spot: {hazard: {reclaims_per_instance_hour: 0.15, mean_outage_s: 1800}, notice_s: 120, on_reclaim: drain}}",
    "workload={arrival: {kind: diurnal, request_rate: 11.574}, input_tokens: 512, output_tokens: 512, "
    "num_requests: 1000000}",
    "router=least_requests",
)
"""A day of a million requests on up to 100 spot replicas that follow it, with about 200 reclaims."""


def load(*changes: str) -> LoadedScenario:
    """The benchmark scenario with ``changes``, each ``path.to.key=value``."""
    return load_scenario(SCENARIO, changes)


def capacity_per_s() -> float:
    """Requests per second one replica completes when they all come at once, the tail left out."""
    record = simulate(load("workload.arrival={kind: burst}", "workload.num_requests=6000"))
    finishes = sorted(request.finish_s for request in record.requests)
    return (5000 - 1000) / (finishes[5000] - finishes[1000])


def bare_timeouts_per_s(count: int = 1_000_000) -> float:
    """What simpy does with nothing to do."""
    environment = simpy.Environment()

    def sleeper() -> Generator[simpy.Event, None, None]:
        for _ in range(count):
            yield environment.timeout(1.0)

    environment.process(sleeper())
    start = process_time()
    environment.run()
    return count / (process_time() - start)


def measure(name: str, floor: float, *changes: str) -> float:
    """Run one row and print it; returns the requests simulated per CPU-second."""
    loaded = load(*changes)
    bare = bare_timeouts_per_s()
    start = process_time()
    record = simulate(loaded)
    simulated_s = process_time() - start
    summary = summarise(record, loaded.scenario, sha256="", version="")
    total_s = process_time() - start
    bare = (bare + bare_timeouts_per_s()) / 2
    count = len(record.requests)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(
        f"{name:<{WIDTH}} {count:>9,} {count / simulated_s:>12,.0f} {count / total_s:>14,.0f} {floor:>8,.0f}"
        f" {memory:>9.2f} {bare / 1e6:>9.2f} {bare * simulated_s / count:>14.1f}  {summary['saturation']}",
        flush=True,
    )
    return count / simulated_s


def measure_schedulers(steady: str) -> None:
    """Every scheduler at the rate that is steady for chunked prefill, of which each is to keep a third.

    Those that cannot serve that rate let the queue grow, to tens of thousands. Users' limits are twice
    the output, which is what some reserve.
    """
    limits = ("engine.max_model_len=4096", "workload.max_tokens=256", steady)
    third = measure("chunked_prefill", 0, *limits) / 3
    for name in plugins.SCHEDULERS.names():
        if name != "chunked_prefill":
            measure(name, third, f"engine.scheduler={name}", *NEEDS.get(name, ()), *limits)


def rows(capacity: float) -> dict[str, Callable[[], object]]:
    """The rows by name."""
    steady = f"workload.arrival.request_rate={0.8 * capacity}"
    return {
        "steady": lambda: measure("steady", 60_000, steady),
        "overload": lambda: measure("overload", 30_000, f"workload.arrival.request_rate={1.5 * capacity}"),
        "azure": lambda: measure(
            "azure", 20_000, f"workload={{trace: {AZURE}}}", "engine.max_model_len=16384"
        ),
        "mooncake": lambda: measure(
            "mooncake", 3_000, *ON_EIGHT, "engine.enable_prefix_caching=true", "router=prefix_affinity"
        ),
        "tiers": lambda: measure(
            "tiers",
            1_000,
            *ON_EIGHT,
            "engine.enable_prefix_caching=true",
            "router=prefix_affinity",
            TIERS,
        ),
        "unshared": lambda: measure("unshared", 3_000, *ON_EIGHT, "router=prefix_affinity"),
        "fleet": lambda: measure(
            "fleet",
            25_000,
            f"workload.arrival.request_rate={16 * 0.8 * capacity}",
            "workload.num_requests=160000",
            "fleet.replicas=16",
            "router=least_requests",
        ),
        "fleet100": lambda: measure(
            "fleet100",
            15_000,
            f"workload.arrival.request_rate={100 * 0.8 * capacity}",
            "workload.num_requests=200000",
            "fleet.replicas=100",
            "router=least_requests",
        ),
        "day": lambda: measure("day", 15_000, *DAY),
        "million": lambda: measure("million", 60_000, steady, "workload.num_requests=1000000"),
        "schedulers": lambda: measure_schedulers(steady),
    }


def main() -> None:
    """Print one line per row."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("row", nargs="*", help="rows to run; all by default")
    wanted = parser.parse_args().row
    capacity = capacity_per_s()
    table = rows(capacity)
    print(f"capacity of one replica: {capacity:.1f} requests/s; Python {sys.version.split()[0]}")
    print(
        f"{'row':<{WIDTH}}  requests  simulate/s  with summary/s    floor  peak GiB  bare M/s  timeouts/request"
    )
    for name in wanted or table:
        trace = {"azure": AZURE, "mooncake": MOONCAKE, "tiers": MOONCAKE, "unshared": MOONCAKE}.get(name)
        if trace and not trace.exists():
            print(f"{name}: skipped, {trace} is not here")
            continue
        table[name]()


if __name__ == "__main__":
    main()
