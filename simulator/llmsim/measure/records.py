"""What a run leaves behind: one object per request, one flat row per run of identical iterations.

Nothing is averaged while the simulation runs; every statistic is computed later, from these.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from math import inf
from struct import Struct

import numpy as np
import numpy.typing as npt

from llmsim.cost.stage import StageCost
from llmsim.engine.kv.tiers import Tiers
from llmsim.engine.request import Request
from llmsim.measure.fleet_log import FleetLog
from llmsim.measure.handover_log import HandoverLog
from llmsim.measure.ledger import Holding
from llmsim.measure.requests import RequestTable
from llmsim.measure.swap_log import SwapLog

STEP_COLUMNS = (
    "replica",
    "lane",  # micro-batch slot of a pipeline; 0 without one
    "start_s",
    "iterations",
    "duration_s",  # of the whole row
    "first_s",  # duration of the first iteration
    "growth_s",  # by how much each iteration is longer than the one before
    "sequences",  # in the batch of one iteration, prefilling ones included
    "prefill_tokens",  # over the whole row
    "decode_tokens",  # over the whole row; decode_tokens / iterations sequences decode
    "logit_rows",  # of one iteration
    "padded_tokens",  # tokens computed per iteration beyond prefill and decode tokens (static batching)
    "prefill_pairs",  # query-key pairs (full attention) of the row's prefill chunks
    "decode_kv_tokens",  # KV tokens read by decoding over the whole row (full attention)
    "kv_blocks",  # held when the row ends, by sequences that finish there too
    "waiting",  # requests waiting when the row starts
    "lag_s",  # time between the decoding sequences' last token and the row's start (0: none)
    "aligned",  # decoding sequences whose first gap is lag_s + first_s; the others are in extra_gaps
)
"""Columns of :class:`StepLog`, in order. Row i's sequences emit at start + first, + (first + growth), …"""


_pack = Struct(f"{len(STEP_COLUMNS)}d").pack


class StepLog:
    """Rows of ``STEP_COLUMNS``, packed as doubles: 8 bytes a cell however many rows there are."""

    def __init__(self) -> None:
        self._cells = bytearray()
        self.extra_gaps: list[tuple[float, int]] = []
        """(gap in seconds, sequences) of first gaps that differ from their row's ``lag_s + first_s``."""

    def add(self, row: tuple[float, ...]) -> None:
        """Append one row, its cells in the order of ``STEP_COLUMNS``."""
        self._cells += _pack(*row)

    def __len__(self) -> int:
        return len(self._cells) // (8 * len(STEP_COLUMNS))

    @property
    def table(self) -> npt.NDArray[np.float64]:
        """All rows. shape (num_rows, len(STEP_COLUMNS)); a view, valid until the next ``add``."""
        return np.frombuffer(self._cells, dtype=np.float64).reshape(-1, len(STEP_COLUMNS))

    def column(self, name: str) -> npt.NDArray[np.float64]:
        """One column. shape (num_rows,)."""
        return self.table[:, STEP_COLUMNS.index(name)]


@dataclass(frozen=True)
class ReplicaRecord:
    """One replica as it was built, for cost, energy and the report.

    Attributes:
        index: Position over all pools, the ``replica`` of rows and requests.
        pool: Name of its pool.
        accelerator: Catalogue name.
        num_accelerators: Devices it occupies.
        num_kv_blocks: Size of its KV pool in blocks.
        block_size: Tokens in a block.
        stages: Its cost model, one entry per pipeline stage.
        usd_per_hour: Price of all its accelerators together; None when no price is known.
        max_model_len: Longest sequence it takes, in tokens.
        kv_arithmetic: How the size of its KV pool came about, in words.
        engine: The overheads of its engine's generation, in words; "" where the cost model prices none.
        model_spread: Standard deviation of ln(predicted / real) by metric (``cost.intervals``); empty
            when nothing is known of the cost model's errors.
        idle_w, load_w: Draw of one accelerator with nothing to do, and at work; None is the catalogue's.
        model: The model it serves, as the scenario names it.
        plan: Its parallel plan, in words.
        plan_choice, plans_tried: How the plan was chosen, and every plan that was tried; empty when given.
        devices: Number of each accelerator, where they are not all ``accelerator``.
        start_s, end_s: When it came to serve, and when it was gone: 0 and ∞ for one that was there throughout.
        kv_bytes_per_token: Size of a token's KV, over all its devices; 0 where that is not known.
        kv_blocks_of_longest: Blocks of a request that reserves ``max_model_len`` tokens; 0 where that is not known.
        kv_layout: The pool in words, where groups of layers keep different amounts; "" otherwise.
        kv_tiers: The memories below its KV pool, as it left them; None without any.
        kv_tier_sources: What each of them is, in words, and where its rates come from.
        blocks_left: KV blocks that were still held when it was gone.
    """

    index: int
    pool: str
    accelerator: str
    num_accelerators: int
    num_kv_blocks: int
    block_size: int
    stages: Sequence[StageCost]
    usd_per_hour: float | None = None
    max_model_len: int = 0
    kv_arithmetic: str = ""
    engine: str = ""
    model_spread: Mapping[str, float] = field(default_factory=dict)
    idle_w: float | None = None
    load_w: float | None = None
    model: str = ""
    plan: str = ""
    plan_choice: str = ""
    plans_tried: Sequence[str] = ()
    devices: Mapping[str, int] = field(default_factory=dict)
    start_s: float = 0.0
    end_s: float = inf
    kv_bytes_per_token: float = 0.0
    kv_blocks_of_longest: int = 0
    kv_layout: str = ""
    blocks_left: int = 0
    kv_tiers: Tiers | None = None
    kv_tier_sources: Sequence[tuple[str, str]] = ()

    @property
    def accelerators(self) -> Mapping[str, int]:
        """Number of devices by accelerator. Pure query."""
        return self.devices or {self.accelerator: self.num_accelerators}


@dataclass
class RunRecord:
    """Everything one run left behind.

    Attributes:
        requests: Every request offered, in order of arrival, each in its final bucket.
        steps: What the replicas did.
        replicas: Who they were.
        end_s: When the run ended.
        interrupted: True when the user stopped it.
        events: Simulation events processed.
        skipped_trace_rows: Rows of the trace that were not offered, by reason.
        workload: The requests' source, in words.
        fleet: What happened to the fleet; None for one that never changed.
        handover: What went from prefill to decode replicas; None where all do both.
        swaps: What went to host memory and back; None where nobody swaps.
        holdings: Who was held when, at which price; empty when every replica was held throughout.
    """

    requests: list[Request]
    steps: StepLog
    replicas: list[ReplicaRecord]
    end_s: float
    interrupted: bool = False
    events: int = 0
    skipped_trace_rows: dict[str, int] = field(default_factory=dict)
    workload: str = ""
    holdings: list[Holding] = field(default_factory=list)
    fleet: FleetLog | None = None
    handover: HandoverLog | None = None
    swaps: SwapLog | None = None

    @cached_property
    def table(self) -> RequestTable:
        """The requests as columns, made when first asked for: the run is over by then."""
        return RequestTable.of(self.requests, self.end_s)

    def request_column(self, name: str) -> npt.NDArray[np.float64]:
        """One numeric attribute of every request. shape (num_requests,)."""
        return np.array([getattr(request, name) for request in self.requests], dtype=np.float64)
