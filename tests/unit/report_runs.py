"""Made-up runs for the report's tests: what a simulation could leave behind, without simulating."""

from __future__ import annotations

from dataclasses import replace
from math import nan
from pathlib import Path
from typing import Any

import numpy as np

from llmsim.engine.request import Request
from llmsim.files.scenario_file import LoadedScenario
from llmsim.files.scenario_text import resolved_yaml
from llmsim.files.spot.prices import PriceSeries
from llmsim.measure.fleet_log import Assumed, FleetEvent, FleetLog
from llmsim.measure.ledger import Holding
from llmsim.measure.records import ReplicaRecord, RunRecord, StepLog
from llmsim.measure.summary import summarise
from llmsim.report.html import page
from llmsim.spec.model import Attention, DenseFFN, LayerGroup, ModelShape
from llmsim.spec.scenario import Scenario

SPOT = {"hazard": {"reclaims_per_instance_hour": 1.5, "mean_outage_s": 600}, "price": 1.0}
SHA = "0123456789abcdef" * 4


def make_model(**changes: Any) -> ModelShape:
    """A small dense model."""
    layer = LayerGroup(
        count=2,
        mixer=Attention(num_heads=8, num_kv_heads=2, head_dim=64),
        ffn=DenseFFN(intermediate_size=1024),
        norm_parameters=1024,
    )
    fields = {
        "name": "tiny", "source": "made up for a test", "hidden_size": 512, "vocab_size": 1000,
        "tied_embeddings": True, "max_position_embeddings": 8192, "layers": [layer],
    }  # fmt: skip
    return ModelShape.model_validate(fields | changes)


def make_loaded(
    slo: dict[str, Any] | None = None, name: str = "made-up", model: ModelShape | None = None, **pool: Any
) -> LoadedScenario:
    """A scenario of one H100, with the targets ``slo``; ``pool`` are more keys of its pool."""
    content = {
        "name": name,
        "model": {"name": "tiny"},
        "fleet": [{"accelerator": "h100-sxm", "usd_per_hour": 2.49, **pool}],
        "workload": {
            "arrival": {"kind": "poisson", "request_rate": 10.0},
            "input_tokens": 512,
            "output_tokens": 128,
            "num_requests": 100,
        },
        "slo": slo or {},
    }
    path = Path("made-up.yaml")
    return LoadedScenario(Scenario.model_validate(content), path, Path(), model or make_model())


def summary_of(record: RunRecord, loaded: LoadedScenario) -> dict[str, Any]:
    """What ``llmsim run --json`` would print of it."""
    return summarise(record, loaded.scenario, sha256=SHA, version="0.1.0")


def page_of(record: RunRecord, loaded: LoadedScenario) -> str:
    """Its ``report.html``."""
    table = record.table
    return page(summary_of(record, loaded), record, loaded, resolved_yaml(loaded.scenario), table)


def make_request(
    id: int, arrival_s: float, *, wait_s: float, prefill_s: float, gap_s: float, output: int
) -> Request:
    """A request that completed."""
    req = Request(id, arrival_s, 512, output)
    req.status, req.replica, req.generated = "completed", 0, output
    req.scheduled_s = arrival_s + wait_s
    req.first_token_s = req.scheduled_s + prefill_s
    req.finish_s = req.last_token_s = req.first_token_s + gap_s * (output - 1)
    return req


def refuse(req: Request, reason: str) -> Request:
    """The same request, rejected at the door."""
    req.status, req.reason, req.replica, req.generated = "rejected", reason, -1, 0
    req.scheduled_s = req.first_token_s = req.finish_s = req.last_token_s = nan
    return req


def make_requests(n: int, *, seed: int = 1, rate: float = 10.0, drift: float = 0.0) -> list[Request]:
    """``n`` requests whose TTFT has two humps; each waits ``drift`` seconds longer than the one before."""
    rng = np.random.default_rng(seed)
    arrivals = np.cumsum(rng.exponential(1 / rate, n))
    slow = rng.random(n) < 0.3
    waits = np.where(slow, rng.lognormal(-0.6, 0.35, n), rng.lognormal(-4.5, 0.5, n)) + drift * np.arange(n)
    gaps = rng.normal(0.022, 0.004, n).clip(0.008)
    outputs = rng.integers(64, 193, n)
    return [
        make_request(i, arrival, wait_s=wait, prefill_s=0.045, gap_s=gap, output=int(output))
        for i, (arrival, wait, gap, output) in enumerate(
            zip(arrivals.tolist(), waits.tolist(), gaps.tolist(), outputs, strict=True)
        )
    ]


def make_replica(index: int = 0) -> ReplicaRecord:
    """One H100."""
    return ReplicaRecord(
        index, "main", "h100-sxm", 1, 27_000, 16, [], 2.49, kv_arithmetic="80 GB less weights = 54 GB"
    )


def make_changing(requests: list[Request]) -> RunRecord:
    """A record of a spot pool: replica 0 is reclaimed half way, replica 1 comes on demand a tenth later."""
    record = make_record(requests)
    end_s, price = record.end_s, PriceSeries((0.0, record.end_s / 4), (1.0, 1.5))
    on_demand = PriceSeries.constant(2.49)
    gone_s, back_s = 0.5 * end_s, 0.6 * end_s
    record.replicas = [replace(make_replica(0), end_s=gone_s), replace(make_replica(1), start_s=back_s)]
    record.fleet = FleetLog(
        ("main",),
        events=[
            FleetEvent(0.0, "requested", "main", "zone-1/0"),
            FleetEvent(0.0, "serving", "main", serving=1),
            FleetEvent(gone_s, "notice", "main", "zone-1/0", 1),
            FleetEvent(gone_s, "reclaimed", "main", "zone-1/0", 0, 7, 4_321),
            FleetEvent(gone_s, "requested", "main", "main/0"),
            FleetEvent(back_s, "serving", "main", serving=1),
            FleetEvent(back_s, "migrated", "main", serving=1, moved_tokens=12, moved_bytes=1.5e6),
        ],
        assumed=[
            Assumed("Machine dgx-h100", "8 devices", "a data sheet"),
            Assumed("Storage disk", "3.5 GB/s", ""),
        ],
    )
    held = {"pool": "main", "accelerator": "h100-sxm", "devices": 1, "on_demand": on_demand}
    record.holdings = [
        Holding(**held, start_s=0.0, end_s=gone_s, price=price, is_spot=True),
        Holding(**held, start_s=gone_s, end_s=end_s, price=on_demand),
    ]
    return record


def make_record(requests: list[Request], *, num_rows: int = 400, replicas: int = 1) -> RunRecord:
    """A record whose rows roughly agree with its requests."""
    served = [req for req in requests if req.status == "completed"]
    end_s = max((req.finish_s for req in served), default=0.0)
    steps = StepLog()
    edges = np.linspace(0, end_s, num_rows + 1) if served else np.zeros(1)
    first = np.array([req.first_token_s for req in served])
    finish = np.array([req.finish_s for req in served])
    for row, (start, stop) in enumerate(zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True)):
        running = int(((first < stop) & (finish > start)).sum())
        iterations = max(1, round((stop - start) / 0.022))
        prefill = int(512 * ((first >= start) & (first < stop)).sum())
        length = (stop - start) / iterations
        steps.add(
            (
                row % replicas, 0, start, iterations, stop - start, length, 0.0, running, prefill,
                running * iterations, running, 0, 0, 0, running * 40, row % 7, 0.0, running,
            )
        )  # fmt: skip
    built = [make_replica(index) for index in range(replicas)]
    return RunRecord(requests, steps, built, end_s, events=len(steps))
