"""``tensor_parallel_size: auto``: which plan serves a token at the lowest cost, by the cost model.

Every plan of tensor × pipeline parallelism (and, for a mixture of experts, with and without expert
parallelism) up to two nodes is tried, and up to :data:`LARGEST` devices where none of those fits. A plan
that fits is priced at the scenario's batch: as many sequences as its KV pool holds at the workload's mean
lengths, or as the scenario lets in if that is less. Its objective is

    devices · (seconds per decoded token + seconds of its share of the prompt)

which is proportional to the price of an output token, so a larger KV pool counts for what it is worth and
every added device has to pay for itself. Plans within :data:`ALIKE` of the lowest count as equal; of
those the one with the shortest time per output token wins, then the one with fewer devices. Where the
scenario has a TPOT target, the batch is halved until it is kept; plans that miss it with a single sequence are
only taken when all do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from llmsim.cost.memory import KVCapacity
from llmsim.cost.parallel import ParallelPlan
from llmsim.cost.stage import StageCost
from llmsim.files.machines import Machine
from llmsim.spec.model import ModelShape, MoEFFN

LARGEST = 64
"""Devices of the largest plan that is tried."""

NODES = 2
"""Nodes of the largest plan that is tried while a smaller one fits."""

ALIKE = 0.02
"""Costs closer than this, relatively, are not told apart: kernels are known to some 5%."""


@dataclass(frozen=True)
class Demand:
    """What a replica is to serve.

    Attributes:
        input_tokens, output_tokens: Of a request, on average.
        sequences: The most that run at once.
        chunk_tokens: New tokens of one iteration.
        longest: Tokens the KV pool has to hold.
        pool_tokens: The KV pool, where it is given; None: what memory leaves.
        tpot_s: Target for the time per output token; None for none.
    """

    input_tokens: float
    output_tokens: float
    sequences: int
    chunk_tokens: int
    longest: int = 1
    pool_tokens: int | None = None
    tpot_s: float | None = None


@dataclass(frozen=True)
class Tried:
    """One plan, and what came of it.

    Attributes:
        batch: Sequences that run at once; 0 when the plan does not fit.
        tpot_s: Time per output token at that batch.
        device_s: Device-seconds per output token, the prompt's share included.
        why_not: Why it does not fit; "" when it does.
    """

    plan: ParallelPlan
    batch: int = 0
    tpot_s: float = 0.0
    device_s: float = 0.0
    why_not: str = ""

    def in_words(self) -> str:
        """``TP 4, PP 1: 2,115 tokens/s per device at batch 256, 18.3 ms a token``. Pure query."""
        if self.why_not:
            return f"{self.plan.in_words()}: {self.why_not}"
        return (
            f"{self.plan.in_words()}: {1 / self.device_s:,.0f} output tokens/s per device at batch {self.batch:,}, "
            f"{1e3 * self.tpot_s:.1f} ms a token"
        )


@dataclass(frozen=True)
class Choice:
    """A pool's plan, and the search it comes from: nothing tried when it was given."""

    plan: ParallelPlan
    tried: Sequence[Tried] = ()
    why: str = ""

    def in_words(self) -> str:
        """Why this plan, in a line; "" when it was given. Pure query."""
        return f"{self.plan.in_words()} of {len(self.tried)} plans tried: {self.why}" if self.tried else ""


StagesOf = Callable[[ParallelPlan], Sequence[StageCost]]
CapacityOf = Callable[[ParallelPlan], KVCapacity]


def search(
    model: ModelShape,
    like: ParallelPlan,
    machine: Machine,
    demand: Demand,
    stages_of: StagesOf,
    capacity_of: CapacityOf,
) -> Choice:
    """The plan for ``demand`` with the lowest cost per output token, and all that was tried. Pure query.

    Args:
        like: What the search keeps: its data and context parallelism, its number of stages unless 1,
            and expert parallelism where it is set.
        machine: The node; a group of ranks fits in one or fills whole ones.
        stages_of, capacity_of: The oracles: a plan's priced stages, and its KV pool (which may be negative).
    """
    tried: list[Tried] = []
    for most in (NODES * machine.num_devices, LARGEST):
        seen = {trial.plan for trial in tried}
        plans = [plan for plan in candidates(model, like, machine, most) if plan not in seen]
        tried += [_trial(plan, demand, stages_of, capacity_of) for plan in plans]
        if any(trial.batch for trial in tried):
            break
    fitting = [trial for trial in tried if trial.batch]
    if not fitting:
        return Choice(tried[-1].plan, tried, "none fits") if tried else Choice(like)
    in_time = [trial for trial in fitting if demand.tpot_s is None or trial.tpot_s <= demand.tpot_s]
    field = in_time or fitting
    lowest = min(trial.device_s for trial in field)
    best = min(
        (trial for trial in field if trial.device_s <= lowest * (1 + ALIKE)),
        key=lambda trial: (trial.tpot_s, trial.plan.num_devices),
    )
    return Choice(best.plan, tried, _reason(best, fitting, in_time, demand))


def candidates(model: ModelShape, like: ParallelPlan, machine: Machine, most: int) -> Iterator[ParallelPlan]:
    """The plans of at most ``most`` devices, from few to many; degrees are powers of two. Pure query."""
    heads = [group.num_heads for group in model.layers]
    experts = [group.ffn.num_experts for group in model.layers if isinstance(group.ffn, MoEFFN)]
    powers = [1 << power for power in range(LARGEST.bit_length())]
    pairs = [
        (tp, pp)
        for tp in powers
        if all(count % tp == 0 for count in heads) and machine.holds(tp * like.prefill_context_parallel_size)
        for pp in (powers if like.pipeline_parallel_size == 1 else [like.pipeline_parallel_size])
        if pp <= model.num_layers and tp * pp * like.prefill_context_parallel_size <= most
    ]
    for tp, pp in sorted(pairs, key=lambda pair: (pair[0] * pair[1], pair[1])):
        ranks = tp * like.data_parallel_size
        for divided in (False, True):
            fixed = like.enable_expert_parallel and not divided
            if fixed or (
                divided and not ((experts and 1 < ranks <= min(experts)) or like.enable_expert_parallel)
            ):
                continue
            yield replace(
                like, tensor_parallel_size=tp, pipeline_parallel_size=pp, enable_expert_parallel=divided
            )


def _trial(plan: ParallelPlan, demand: Demand, stages_of: StagesOf, capacity_of: CapacityOf) -> Tried:
    """``plan`` at the batch it holds, or at the first half of it, and of that, that keeps the target."""
    capacity = capacity_of(plan)
    whole = demand.input_tokens + demand.output_tokens
    need = max(whole, demand.longest)
    if capacity.longest < need:
        gb = capacity.tightest.kv_bytes / 1e9
        return Tried(plan, why_not=f"does not fit ({gb:.1f} GB a device for {need:,.0f} tokens)")
    held = capacity.sequences(whole)
    if demand.pool_tokens:
        held *= min(1.0, demand.pool_tokens / capacity.num_tokens)
    batch = min(demand.sequences, int(held) or 1)
    stages = stages_of(plan)
    trial = first = _priced(plan, stages, batch, demand)
    while demand.tpot_s is not None and trial.tpot_s > demand.tpot_s:
        if trial.batch == 1:
            return first
        trial = _priced(plan, stages, trial.batch // 2, demand)
    return trial


def _priced(plan: ParallelPlan, stages: Sequence[StageCost], batch: int, demand: Demand) -> Tried:
    """All stages busy with micro-batches of ``batch`` sequences in all, as many as there are lanes.

    A cycle brings every sequence one token. A stage needs for it the decodes of all micro-batches, and
    the prompts of the requests that take the place of finished ones.
    """
    lanes = min(len(stages), batch)
    width = batch // lanes
    context = demand.input_tokens + demand.output_tokens / 2
    decodes = [_decode_s(stage, width, context) for stage in stages]
    share = width / demand.output_tokens
    busiest = max(
        decode + share * _prompt_s(stage, demand) for decode, stage in zip(decodes, stages, strict=True)
    )
    cycle_s = max(sum(decodes), lanes * busiest)
    return Tried(plan, lanes * width, cycle_s, plan.num_devices * cycle_s / (lanes * width))


def _decode_s(stage: StageCost, sequences: int, context: float) -> float:
    """One decode iteration of a stage, every sequence in the middle of its output."""
    reads = [sequences * span.read(int(context)) for span in stage.spans]
    line = stage.decode_line(sequences, reads, [0] * len(reads))
    seconds = stage.tokens_s(sequences, sequences, sequences) + line.first_s
    if stage.hidden_host_s is not None:
        seconds = max(seconds, stage.hidden_host_s[0] + sequences * stage.hidden_host_s[1])
    return seconds


def _prompt_s(stage: StageCost, demand: Demand) -> float:
    """One prompt on a stage, in chunks that fill iterations; a short one has its share of an iteration."""
    tokens, chunk = max(1, round(demand.input_tokens)), demand.chunk_tokens
    starts = range(0, tokens, chunk)
    attention_s = sum(stage.chunk_s(min(chunk, tokens - cached), cached) for cached in starts)
    return attention_s + tokens * stage.tokens_s(chunk, 1, 1) / chunk


def _reason(best: Tried, fitting: Sequence[Tried], in_time: Sequence[Tried], demand: Demand) -> str:
    words = f"{1 / best.device_s:,.0f} output tokens/s per device at batch {best.batch:,}, "
    words += f"{1e3 * best.tpot_s:.1f} ms a token"
    if demand.tpot_s is not None:
        target = f"{1e3 * demand.tpot_s:g} ms TPOT"
        words += (
            f"; {len(in_time)} of {len(fitting)} that fit keep the target of {target}"
            if in_time
            else (f"; none keeps the target of {target}")
        )
    return f"lowest cost per output token, {words}"
