"""What held the run back: a limit that requests waited for, else what the busy time went into."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from llmsim.cost.stage import StageCost
from llmsim.measure.kv_tiers import waited_s
from llmsim.measure.records import STEP_COLUMNS, ReplicaRecord, RunRecord
from llmsim.spec.scenario import Scenario
from llmsim.spec.serving import Engine

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

INSTANTS = 400
"""Moments of busy time looked at; a share is good to about one part in this many."""
MOSTLY = 0.5
QUEUE = 0.1
"""Waiting requests count as a queue from this many per running one."""
NEARLY_FULL = 0.1
"""Share of a pool's blocks that the next prompt, or the growth of those running, may well need."""

WORDS = {
    "compute": "compute: arithmetic takes {share:.0%} of the busy time",
    "memory": "memory bandwidth: reading weights and KV takes {share:.0%} of the busy time",
    "network": "network: collectives take {share:.0%} of the busy time",
    "host": "host: work between iterations takes {share:.0%} of the busy time",
    "kv_tiers": "KV tiers: iterations wait for KV to come up or go down {share:.0%} of the busy time",
    "launch": "kernel launches: they take {share:.0%} of the busy time",
    "other": "iterations: they fill the busy time, by a cost model without parts",
}


@dataclass(frozen=True)
class Load:
    """What the verdict needs of the rest of the summary.

    Attributes:
        busy_share: Share of the fleet's device time spent in iterations.
        mean_running, mean_waiting: Time averages.
        preemptions: Over the run.
        away_share: Share of the time in which no replica took requests.
    """

    busy_share: float
    mean_running: float
    mean_waiting: float
    preemptions: int
    away_share: float = 0.0


def bottleneck(record: RunRecord, scenario: Scenario, load: Load) -> tuple[str, dict[str, float]]:
    """The verdict in words, and shares of the fleet's time by bound, ``idle`` included (sum 1).

    A queue (a tenth as many waiting as running, or more) is explained first: by replicas that were mostly not
    there, by ``max_num_seqs``, by KV blocks, or by a batch that nobody may join. Without one the verdict is
    ``arrivals`` when the fleet is mostly idle, else the bound with the largest share.
    """
    waits = _waiting_share(record)
    shares = {bound: load.busy_share * (1 - waits) * share for bound, share in _busy_shares(record).items()}
    if waits:
        shares["kv_tiers"] = load.busy_share * waits
    shares["idle"] = 1.0 - load.busy_share
    has_queue = load.mean_waiting > QUEUE * load.mean_running
    if load.away_share > MOSTLY and (has_queue or _was_cut_off(record)):
        return (
            f"replicas: for {load.away_share:.0%} of the time there was none, and requests waited for one",
            shares,
        )
    if has_queue and (limit := _queue_limit(record, scenario, load)):
        return limit, shares
    if shares["idle"] > MOSTLY:
        return f"arrivals: the fleet is idle {shares['idle']:.0%} of the time", shares
    bound = max(shares.keys() - {"idle"}, key=lambda name: (shares[name], name))
    words = WORDS.get(bound, bound + ": {share:.0%} of the busy time")
    return words.format(share=shares[bound] / load.busy_share), shares


def _was_cut_off(record: RunRecord) -> bool:
    """Whether some requests were still to be served at the end of the run."""
    return any(request.status == "unfinished" for request in record.requests)


def _busy_shares(record: RunRecord) -> dict[str, float]:
    """Shares of busy time by bound, from instants spread evenly over it."""
    stages_of = {replica.index: replica.stages for replica in record.replicas}
    shares: defaultdict[str, float] = defaultdict(float)
    for row in _even_rows(record):
        parts = _iteration_parts(stages_of[int(row["replica"])], row)
        total = sum(parts.values())
        for bound, seconds in parts.items():
            shares[bound] += seconds / total if total else 0.0
    total = sum(shares.values())
    return {bound: shares[bound] / total for bound in sorted(shares)} if total else {"other": 1.0}


def _waiting_share(record: RunRecord) -> float:
    """Share of busy time in which iterations waited for KV on its way between memories."""
    waits_s = waited_s(record)
    return min(1.0, waits_s / float(record.steps.column("duration_s").sum())) if waits_s else 0.0


def _even_rows(record: RunRecord) -> list[dict[str, float]]:
    """The rows at ``INSTANTS`` evenly spaced moments of the busy time, as mappings."""
    upto = np.cumsum(record.steps.column("duration_s"))
    if not len(upto) or upto[-1] <= 0:
        return []
    moments = (np.arange(INSTANTS) + 0.5) / INSTANTS * upto[-1]
    rows = np.minimum(np.searchsorted(upto, moments, side="right"), len(upto) - 1)
    return [dict(zip(STEP_COLUMNS, cells, strict=True)) for cells in record.steps.table[rows].tolist()]


def _iteration_parts(stages: Sequence[StageCost], row: Mapping[str, float]) -> dict[str, float]:
    """Seconds of one of the row's iterations by bound, over all stages.

    A row has sums over its prefill chunks and its decoding sequences; they are taken to be alike.
    """
    iterations = max(1.0, row["iterations"])
    # one computed beyond the outputs is a sequence where somebody decodes, and a token of padding where nobody does
    decoding = round(row["decode_tokens"] / iterations + row["padded_tokens"]) if row["decode_tokens"] else 0
    chunks = round(row["sequences"]) - decoding
    tokens = round((row["prefill_tokens"] + row["decode_tokens"]) / iterations + row["padded_tokens"])
    parts: defaultdict[str, float] = defaultdict(float)

    def add(seconds_of: Mapping[str, float], times: int = 1) -> None:
        for bound, seconds in seconds_of.items():
            parts[bound] += times * seconds

    for stage in stages:
        add(stage.bound_seconds(tokens, round(row["logit_rows"]), round(row["sequences"])))
        if decoding > 0:
            context = round(row["decode_kv_tokens"] / iterations / decoding) - 1
            reads = [decoding * span.read(max(0, context)) for span in stage.spans]
            add(stage.decode_bound_seconds(decoding, reads))
        if chunks > 0:
            size = max(1, (tokens - decoding) // chunks)
            cached = max(0, round(row["prefill_pairs"] / (tokens - decoding) - (size + 1) / 2))
            add(stage.chunk_bound_seconds(size, cached), times=chunks)
    return parts


def _queue_limit(record: RunRecord, scenario: Scenario, load: Load) -> str | None:
    """Which limit the queue waits for, in words; None when it is the fleet's speed.

    A pool without room for one more is looked at before the token budget: where it preempts, prompts
    computed again fill the budget too.
    """
    steps = record.steps
    queued = steps.column("waiting") > 0
    seconds = np.where(queued, steps.column("duration_s"), 0.0)
    if not seconds.sum():
        return None
    engines = _engines(record, scenario)
    replicas = steps.column("replica").astype(np.int64)
    tokens = (steps.column("prefill_tokens") + steps.column("decode_tokens")) / steps.column("iterations")
    tokens += steps.column("padded_tokens")
    seats_left = _by_replica(engines, "max_num_seqs")[replicas] - steps.column("sequences")
    seqs_full = seats_left < scenario.workload.beam_width
    budget_full = tokens >= _by_replica(engines, "max_num_batched_tokens")[replicas]
    if _share(seqs_full, seconds) > MOSTLY:
        return f"max_num_seqs: requests wait while {int(steps.column('sequences').max())} sequences run"
    kv_full = steps.column("kv_blocks") > _full_from(record, engines)[replicas]
    if _share(kv_full, seconds) > (QUEUE if load.preemptions else MOSTLY):
        return _kv_limit(record, engines, load)
    if _share(seqs_full | budget_full, seconds) > MOSTLY:
        return None
    if all(engine.scheduler.kind == "static" for engine in engines.values()):
        return "static batching: requests wait for the whole batch before them to end"
    return _kv_limit(record, engines, load)


def _reserved_tokens(replica: ReplicaRecord, engine: Engine) -> int:
    """Tokens each request reserves whatever its own length; 0 where it takes what it needs."""
    if engine.kv_cache.kind == "contiguous_max":
        return replica.max_model_len
    reserves = engine.scheduler.kind in ("static", "orca") and engine.kv_cache.kind in ("paged", "token")
    return replica.max_model_len if reserves else 0


def _full_from(record: RunRecord, engines: Mapping[int, Engine]) -> Floats:
    """Blocks held, by replica index, above which one more request has no room."""
    full = np.full(max(engines) + 1, np.inf)
    for replica in record.replicas:
        reserved = -(-_reserved_tokens(replica, engines[replica.index]) // replica.block_size)
        if reserved and replica.kv_layout:
            reserved = replica.kv_blocks_of_longest
        full[replica.index] = replica.num_kv_blocks - (reserved or NEARLY_FULL * replica.num_kv_blocks)
    return full


def _kv_limit(record: RunRecord, engines: Mapping[int, Engine], load: Load) -> str:
    """The verdict that requests wait for KV blocks; with what to do where they reserve too many."""
    reserved = max(_reserved_tokens(replica, engines[replica.index]) for replica in record.replicas)
    if reserved:
        return f"KV capacity: each request reserves {reserved:,} tokens: lower engine.max_model_len"
    return f"KV capacity: requests wait for blocks ({load.preemptions:,} preemptions)"


def _engines(record: RunRecord, scenario: Scenario) -> dict[int, Engine]:
    """Each replica's engine settings, by replica index."""
    pools = {pool.name: scenario.engine_of(pool) for pool in scenario.fleet}
    return {replica.index: pools[replica.pool] for replica in record.replicas}


def _by_replica(engines: Mapping[int, Engine], key: str) -> Floats:
    """An engine setting as an array indexed by replica index."""
    values = np.full(max(engines) + 1, np.inf)
    for index, engine in engines.items():
        values[index] = getattr(engine, key)
    return values


def _share(which: Bools, seconds: Floats) -> float:
    """Share of ``seconds`` in the rows ``which`` marks."""
    return float(seconds[which].sum() / seconds.sum())
