"""All bounds of one candidate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, isfinite

import numpy as np
import numpy.typing as npt

from llmsim.engine.core import Engine
from llmsim.engine.request import Request
from llmsim.errors import DoesNotFitError, UserError
from llmsim.files.scenario_file import LoadedScenario
from llmsim.measure.records import StepLog
from llmsim.planning.bounds.iterations import Iterations, Limits
from llmsim.planning.bounds.latency import LatencyFloors, latency_floors
from llmsim.planning.bounds.offered import Offered
from llmsim.planning.bounds.queueing import servers_for
from llmsim.planning.bounds.work import replicas_needed
from llmsim.sim.build import PoolPlan, refuse_what_can_never_run

Bools = npt.NDArray[np.bool_]

ROUNDING = 1e-6
"""Sums of floats agree at least this closely, relatively; a bound has to be beaten by more."""

KEEPS_ALL_TOKENS = ("paged", "token", "contiguous_max", "buddy")
"""KV caches in which a sequence holds every token of its context."""


@dataclass(frozen=True)
class Bounds:
    """What is certain of a candidate before it is simulated.

    Attributes:
        kind: What rules it out whatever its number of replicas: ``invalid``, ``memory``, ``length``,
            ``latency``; "" when nothing does.
        reason: That in words.
        least_replicas: Fewer certainly miss the targets.
        guess: Replicas from which to search: an estimate.
        why_least: What fewer lack, in words; "" where one may do.
        excess: Of a latency that rules it out, how many times its limit it is at least, for the typical
            request that misses it; 1 otherwise.
    """

    kind: str = ""
    reason: str = ""
    least_replicas: int = 1
    guess: int = 1
    why_least: str = ""
    excess: float = 1.0


def find_bounds(loaded: LoadedScenario, offered: Offered | None, most_replicas: int) -> Bounds:
    """The bounds of ``loaded``, a fleet of any number of replicas. Pure query.

    Args:
        loaded: The candidate.
        offered: What :func:`~llmsim.planning.bounds.offered.draw_offered` draws of it.
        most_replicas: Where a guess ends.

    Raises:
        InvariantError: Our bug.
    """
    try:
        plans = [PoolPlan(loaded, pool) for pool in loaded.scenario.fleet]
        refuse_what_can_never_run(loaded, plans)
        engines = [plan.engine(0, StepLog(), fast_forward=True) for plan in plans]
    except DoesNotFitError as error:
        return Bounds("memory", str(error))
    except UserError as error:
        return Bounds("invalid", str(error))
    if offered is None or not _covers(loaded):
        return Bounds()
    return _of_one_pool(plans[0], engines[0], offered, most_replicas)


def _covers(loaded: LoadedScenario) -> bool:
    """Whether the fleet is one that the arithmetic is about: one pool that stays as it is and computes all prompts."""
    scenario = loaded.scenario
    pool = scenario.fleet[0]
    computes_all = not scenario.engine_of(pool).caches_prefixes
    return len(scenario.fleet) == 1 and pool.is_fixed and computes_all and not scenario.is_disaggregated


def _of_one_pool(plan: PoolPlan, engine: Engine, offered: Offered, most: int) -> Bounds:
    hopeless = _refused(engine, offered)
    if hopeless.sum() > offered.may_miss:
        words = f"{hopeless.mean():.1%} of the requests are too long for it (max_model_len {plan.max_model_len:,})"
        return Bounds("length", words)
    limits = limits_of(plan, engine, offered)
    stages = [
        Iterations(stage, floor, limits) for stage in plan.stages if (floor := stage.floor()) is not None
    ]
    if len(stages) < len(plan.stages):
        return Bounds()
    spans = plan.stages[0].spans
    front_s = plan.front_end.request_s + plan.front_end.prompt_token_s * offered.prompt.astype(np.float64)
    floors = latency_floors(stages, spans, offered, front_s)
    late = _too_slow(offered, floors)
    if floors.gap_s > offered.itl_s * (1 + ROUNDING):
        words = f"any decode iteration takes {floors.gap_s * 1e3:.3g} ms, the limit of gaps is {offered.itl_s * 1e3:g}"
        return Bounds("latency", words, excess=floors.gap_s / offered.itl_s)
    if (hopeless | late.any(axis=0)).sum() > offered.may_miss:
        return _latency_bound(offered, floors, late)
    if not np.isfinite(offered.arrival_s).all():
        return Bounds()
    hopeless = hopeless | late.any(axis=0)
    needed = replicas_needed(stages, spans, offered, offered.arrival_s + front_s, hopeless)
    least = max(1, ceil(needed / plan.pool.data_parallel_size / (1 + ROUNDING)))
    words = (
        f"the work of the requests fills {needed:.3f} engines at the best of batching" if least > 1 else ""
    )
    guess = max(least, _guess(stages, offered, needed, floors, most))
    return Bounds(least_replicas=least, guess=min(guess, max(most, least)), why_least=words)


def limits_of(plan: PoolPlan, engine: Engine, offered: Offered) -> Limits:
    """What one iteration of ``engine`` may hold, as far as its own policies promise it. Pure query."""
    spec, kv = plan.spec, engine.kv
    scheduler, cache = spec.scheduler.kind, spec.kv_cache.kind
    sequences = spec.max_num_seqs
    longest = int((offered.prompt + offered.output).max())
    tokens = {
        "chunked_prefill": spec.max_num_batched_tokens,
        "vllm": max(spec.max_num_batched_tokens, sequences, min(longest, plan.max_model_len)),
    }.get(scheduler)
    held = 0
    if cache == "contiguous_max":
        held = 1
    elif scheduler in ("static", "orca") and cache in ("paged", "token"):
        held = -(-plan.max_model_len // kv.block_size)
    if held:
        sequences = min(sequences, max(1, kv.num_blocks // held))
    keeps_all = cache in KEEPS_ALL_TOKENS and plan.capacity.layout is None
    kv_tokens = kv.num_blocks * kv.block_size if keeps_all else None
    return Limits(tokens, sequences, kv_tokens)


def _refused(engine: Engine, offered: Offered) -> Bools:
    """Which requests the engine turns away."""
    lengths, index = offered.lengths
    refused = [bool(engine.refusal(Request(0, 0.0, *pair))) for pair in lengths.T.tolist()]
    return np.asarray(np.array(refused)[index])


def _too_slow(offered: Offered, floors: LatencyFloors) -> Bools:
    """By metric, which requests miss their limit even in the best case; shape (3, num_requests)."""
    least = (floors.ttft_s, floors.tpot_s, floors.e2el_s(offered))
    limits = (offered.ttft_s, offered.tpot_s, offered.e2el_s)
    return np.stack([one > limit * (1 + ROUNDING) for one, limit in zip(least, limits, strict=True)])


def _latency_bound(offered: Offered, floors: LatencyFloors, late: Bools) -> Bounds:
    """The metric that most requests miss alone on an engine, and by how much half of them do."""
    metric = int(late.sum(axis=1).argmax())
    name = ("TTFT", "TPOT", "E2E")[metric]
    missed = late[metric]
    least = (floors.ttft_s, floors.tpot_s, floors.e2el_s(offered))[metric][missed]
    limit = (offered.ttft_s, offered.tpot_s, offered.e2el_s)[metric][missed]
    words = (
        f"{missed.mean():.1%} of the requests miss {name} even alone on a replica: "
        f"{float(np.median(least)) * 1e3:.3g} ms at least, {float(np.median(limit)) * 1e3:.3g} ms allowed"
    )
    return Bounds("latency", words, excess=float(np.median(least / limit)))


def _guess(
    stages: Sequence[Iterations], offered: Offered, needed: float, floors: LatencyFloors, most: int
) -> int:
    """Replicas by M/G/c, each request served in its share of the busiest stretch's time."""
    span_s = float(np.ptp(offered.arrival_s))
    slack_s = float(np.median(offered.ttft_s - floors.ttft_s))
    if span_s <= 0 or needed <= 0 or not isfinite(needed):
        return 1
    service_s = needed * span_s / len(offered)
    gaps = np.diff(np.sort(offered.arrival_s))
    tokens = offered.computed + offered.output
    spread = [float(column.std() / column.mean()) ** 2 if column.mean() else 1.0 for column in (gaps, tokens)]
    may_wait = max(1, offered.may_miss) / len(offered)
    return servers_for(needed, service_s, sum(spread) / 2, slack_s, may_wait, most)
