"""Runs made by hand: a server that takes one request at a time, and what it leaves behind."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np

from llmsim.cost.linear import LinearCost, LinearOptions
from llmsim.engine.request import Request
from llmsim.measure.records import STEP_COLUMNS, ReplicaRecord, RunRecord, StepLog
from llmsim.spec.energy import Energy
from llmsim.spec.targets import Slo

BLOCKS = 100


def make_request(id: int, arrival_s: float, *, output_tokens: int = 3, **fields: Any) -> Request:
    """A request with any of its fields set."""
    req = Request(
        id, arrival_s, fields.pop("input_tokens", 10), output_tokens, fields.pop("class_name", "default")
    )
    for name, value in fields.items():
        setattr(req, name, value)
    return req


def complete(req: Request, scheduled_s: float, first_token_s: float, finish_s: float) -> Request:
    """``req`` served at these times."""
    req.status, req.replica, req.generated = "completed", 0, req.output_tokens
    req.scheduled_s, req.first_token_s, req.finish_s = scheduled_s, first_token_s, finish_s
    return req


def add_row(log: StepLog, **cells: float) -> None:
    """Append a row; what is not given is 0, and the duration follows from the iterations."""
    n, first, growth = (
        cells.setdefault("iterations", 1),
        cells.get("first_s", 0.0),
        cells.get("growth_s", 0.0),
    )
    cells.setdefault("duration_s", n * first + growth * n * (n - 1) / 2)
    log.add(tuple(float(cells.get(name, 0.0)) for name in STEP_COLUMNS))


def make_replica(index: int = 0, **fields: Any) -> ReplicaRecord:
    """A replica of one device."""
    given = {
        "pool": "main",
        "accelerator": "h100-sxm",
        "num_accelerators": 1,
        "num_kv_blocks": BLOCKS,
        "block_size": 16,
        "stages": [LinearCost(LinearOptions(iteration_s=0.5))],
    }
    return ReplicaRecord(index=index, **(given | fields))


def make_record(requests: list[Request], log: StepLog | None = None, **fields: Any) -> RunRecord:
    """A run of one replica that ends with its last request."""
    ends = [req.finish_s for req in requests if req.status == "completed"]
    given: dict[str, Any] = {"replicas": [make_replica()], "end_s": max(ends, default=0.0)}
    return RunRecord(requests=requests, steps=log or StepLog(), **(given | fields))


def one_at_a_time(arrivals: Sequence[float], service_s: float, *, output_tokens: int = 3) -> RunRecord:
    """First come, first served by one server with a fixed service time: exact requests and rows."""
    log, requests, free_s = StepLog(), [], 0.0
    for id, arrival_s in enumerate(arrivals):
        start = max(free_s, arrival_s)
        first, free_s = start + service_s / 2, start + service_s
        req = make_request(id, arrival_s, output_tokens=output_tokens)
        requests.append(complete(req, start, first, free_s))
        add_row(log, start_s=start, first_s=service_s / 2, sequences=1, prefill_tokens=10, kv_blocks=1)
        n = output_tokens - 1
        add_row(
            log, start_s=first, first_s=service_s / 2 / n, iterations=n, sequences=1, decode_tokens=n,
            logit_rows=1, aligned=1, kv_blocks=1,
        )  # fmt: skip
    return make_record(requests, log)


def poisson(load: float, num_requests: int, seed: int) -> np.ndarray:
    """Arrival times for a server whose service takes one second."""
    return np.cumsum(np.random.default_rng(seed).exponential(1 / load, num_requests))


def closed_loop(concurrency: int, num_requests: int, servers: int) -> list[Request]:
    """Users who send their next request when the last one ends; each server takes one second."""
    users, free, requests = [0.0] * concurrency, [0.0] * servers, []
    for id in range(num_requests):
        arrival_s = users.pop(0)
        server = min(range(servers), key=free.__getitem__)
        start = max(arrival_s, free[server])
        free[server] = start + 1.0
        requests.append(complete(make_request(id, arrival_s), start, start + 0.5, start + 1.0))
        users.append(start + 1.0)
        users.sort()
    return requests


def scenario_like(slo: Slo | None = None, **engine: Any) -> Any:
    """As much of a scenario as the statistics read."""
    settings = {
        "max_num_seqs": 256,
        "max_num_batched_tokens": 2048,
        "enable_prefix_caching": False,
        "scheduler": SimpleNamespace(kind="chunked_prefill"),
        "kv_cache": SimpleNamespace(kind="paged"),
    }
    made = SimpleNamespace(**(settings | engine))
    made.caches_prefixes = made.enable_prefix_caching
    return SimpleNamespace(
        slo=slo or Slo(),
        fleet=[SimpleNamespace(name="main")],
        engine_of=lambda pool: made,
        workload=SimpleNamespace(arrival=None, pace=None, beam_width=1),
        energy=Energy(),
        simulation=SimpleNamespace(max_duration_s=1.0),
    )
