"""vLLM V1's scheduler as rules for one step, in the plainest form: every request looked at, every block counted.

Read from the behaviour of ``vllm/v1/core/sched/scheduler.py`` (``Scheduler.schedule``) and
``vllm/v1/core/kv_cache_manager.py`` (``allocate_slots``) of vLLM, commit 00024d31 (2026); the parts used here
are the same since v0.9. Left out: speculative tokens, encoders, LoRA, KV connectors, structured output.

R1  A step has ``max_num_batched_tokens`` to give. There is no prefill phase and no decode phase: a request is
    behind by the tokens it has (prompt and generated) minus those computed, and gets as many as it is behind,
    at most what is left.
R2  Running requests come first, in the order in which they were admitted. (The loop over ``self.running``.)
R3  Each needs blocks for all its computed tokens and the new ones. While there are too few, the request at the
    end of the running list is preempted: its blocks are free, its computed tokens are zero, what it generated
    stays, and it goes to the head of the waiting queue. When that is the request itself, nobody else of the
    running list is looked at in this step. (``self.running.pop()``, ``_preempt_request``.)
R4  Where nobody was preempted in this step, waiting requests follow in order of the queue, while tokens are
    left and fewer than ``max_num_seqs`` run. The first one without enough blocks ends it. (``break`` after
    ``allocate_slots`` gave None; a watermark does not exist in V1.)
R5  A request whose computed tokens catch up in a step samples one token, at its end. With ``max_tokens`` it is
    finished, and its blocks are free before the next step. The last token is never computed, so no block is
    kept for it. (``update_from_output``.)
R6  With policy ``priority`` the queue is ordered by (priority, arrival), lower first, and R3 preempts the running
    request with the greatest (priority, arrival); tokens it got in this very step are given back.
R7  ``long_prefill_token_threshold`` above zero bounds what any request gets in a step.

The engine's null block is not counted: ``num_blocks`` are those that requests can have.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Seq:
    """One request.

    Attributes:
        arrives: The step before which it is in the queue.
        prompt, output: Tokens.
        priority: Lower is served first, under policy ``priority``.
        computed, generated, blocks: So far.
    """

    name: str
    arrives: int
    prompt: int
    output: int
    priority: int = 0
    computed: int = 0
    generated: int = 0
    blocks: int = 0

    @property
    def behind(self) -> int:
        return self.prompt + self.generated - self.computed

    @property
    def rank(self) -> tuple[int, int, str]:
        return self.priority, self.arrives, self.name


@dataclass
class Step:
    """What one step did: name to new tokens in order of being scheduled, who was preempted, free blocks."""

    number: int
    tokens: dict[str, int] = field(default_factory=dict)
    preempted: list[str] = field(default_factory=list)
    free: int = 0

    def __str__(self) -> str:
        ran = " ".join(f"{name}{count}" for name, count in self.tokens.items()) or "-"
        out = f"  preempts {' '.join(self.preempted)}" if self.preempted else ""
        return f"{self.number}: {ran}{out}  free {self.free}"


@dataclass
class Rules:
    """The scheduler's state and limits."""

    max_num_batched_tokens: int
    max_num_seqs: int
    num_blocks: int
    block_size: int
    policy: str = "fcfs"
    long_prefill_token_threshold: int = 0
    waiting: list[Seq] = field(default_factory=list)
    running: list[Seq] = field(default_factory=list)

    @property
    def free(self) -> int:
        return self.num_blocks - sum(seq.blocks for seq in self.running)

    def wants(self, seq: Seq, budget: int) -> int:
        """R1 and R7: the tokens it would get."""
        most = self.long_prefill_token_threshold or seq.behind
        return min(seq.behind, most, budget)

    def allocate(self, seq: Seq, count: int) -> bool:
        """Blocks for its computed tokens and ``count`` more; none at all where there are too few."""
        needed = -(-(seq.computed + count) // self.block_size)
        if needed - seq.blocks > self.free:
            return False
        seq.blocks = needed
        return True

    def enqueue(self, seq: Seq, *, first: bool = False) -> None:
        self.waiting.insert(0 if first else len(self.waiting), seq)
        if self.policy == "priority":
            self.waiting.sort(key=lambda each: each.rank)

    def victim(self) -> Seq:
        """R3, or R6 under policy ``priority``."""
        return (
            max(self.running, key=lambda each: each.rank) if self.policy == "priority" else self.running[-1]
        )

    def step(self, number: int) -> Step:
        """R1 to R4: plan one step; blocks are taken."""
        done = Step(number)
        budget = self.max_num_batched_tokens
        index = 0
        while index < len(self.running) and budget > 0:
            seq = self.running[index]
            count = self.wants(seq, budget)
            granted = True
            while not self.allocate(seq, count):
                out = self.victim()
                before = self.running.index(out) < index
                self.running.remove(out)
                if out.name in done.tokens:
                    budget += done.tokens.pop(out.name)
                index -= before
                out.computed = out.blocks = 0
                done.preempted.append(out.name)
                self.enqueue(out, first=True)
                if out is seq:
                    granted = False
                    break
            if not granted:
                break
            done.tokens[seq.name] = count
            budget -= count
            index += 1
        while not done.preempted and self.waiting and budget > 0 and len(self.running) < self.max_num_seqs:
            seq = self.waiting[0]
            count = self.wants(seq, budget)
            if not self.allocate_new(seq, count):
                break
            self.waiting.pop(0)
            self.running.append(seq)
            done.tokens[seq.name] = count
            budget -= count
        done.free = self.free
        return done

    def allocate_new(self, seq: Seq, count: int) -> bool:
        """As :meth:`allocate`, for a request that is not running yet."""
        needed = -(-count // self.block_size)
        if needed > self.free:
            return False
        seq.blocks = needed
        return True

    def finish(self, done: Step) -> None:
        """R5: tokens are computed; who caught up samples one; who has all of them leaves."""
        for seq in list(self.running):
            seq.computed += done.tokens.get(seq.name, 0)
            if seq.name in done.tokens and not seq.behind:
                seq.generated += 1
                if seq.generated == seq.output:
                    self.running.remove(seq)


def trace(rules: Rules, seqs: list[Seq]) -> list[str]:
    """Every step until all are finished, as text; steps in which nobody is there are left out."""
    lines: list[str] = []
    number = 0
    coming = sorted(seqs, key=lambda seq: seq.arrives)
    while coming or rules.waiting or rules.running:
        while coming and coming[0].arrives <= number:
            rules.enqueue(coming.pop(0))
        if rules.waiting or rules.running:
            done = rules.step(number)
            rules.finish(done)
            lines.append(str(done))
        number += 1
        assert number < 10_000, "nothing ends"
    return lines
