"""What a scheduler is: it owns the queue and says what the next iteration computes.

To write one, subclass :class:`Scheduler`, write :meth:`plan`, and register the class (or an entry
point in the group ``llmsim.schedulers``). ``llmsim.contracts`` proves it keeps the rules.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from llmsim.engine.batch import Batch
from llmsim.engine.knowledge import Knowledge
from llmsim.engine.kv.base import KVCache, NoOptions
from llmsim.engine.ordered_queue import WaitingQueue
from llmsim.engine.plan import StepPlan, Wait
from llmsim.engine.request import Request
from llmsim.spec.base import Place, Strict

if TYPE_CHECKING:
    from llmsim.spec.scenario import Scenario


@dataclass(frozen=True)
class Limits:
    """The engine limits a scheduler works within, by vLLM's names."""

    max_num_seqs: int = 256
    max_num_batched_tokens: int = 2048
    max_model_len: int = 1 << 30


class Scheduler(ABC):
    """Decides, between iterations, what the next one computes.

    Attributes:
        waiting: Requests not admitted yet; the scheduler alone takes them out.
        kv: The replica's KV pool, shared by its micro-batches.
        knows: What it is told beside the requests: a predictor's word on their outputs, and their targets.
        is_oracle: Whether decisions read the true output length.
        dropped: Requests it has given up, with the reason, until the engine has seen to them.
        drops: Whether it gives requests up.
        has_own_order: Whether its queue is another than first come, first served.
        waits: Whether it may leave work waiting although it could run (a declared pause).
    """

    Options: type[Strict] = NoOptions
    is_oracle = False
    drops = False
    has_own_order = False
    waits = False

    def __init__(self, limits: Limits, kv: KVCache, options: Strict | None = None) -> None:
        self.limits = limits
        self.kv = kv
        self.options = options if options is not None else self.Options()
        self.waiting: WaitingQueue = deque()
        self.knows = Knowledge()
        self.dropped: list[tuple[Request, str]] = []
        self._held_back = False

    @abstractmethod
    def plan(self, batch: Batch, now_s: float) -> StepPlan | Wait | None:
        """What ``batch`` computes next. Changes queue, batch and pool; None when there is nothing."""

    def finish(self, batch: Batch, done: Sequence[Request], now_s: float) -> Sequence[Request]:
        """``done`` produced their last tokens; returns the requests delivered to their users now."""
        self._held_back = False
        for req in done:
            batch.remove(req)
        return done

    def joined(self, batch: Batch, req: Request) -> None:  # noqa: B027  # most need not know
        """``req``'s prompt is computed and a token out; it decodes in ``batch`` from now on, unless it is done."""

    def submit(self, req: Request) -> None:
        """``req`` has arrived."""
        self.waiting.append(req)

    def drop(self, req: Request, reason: str) -> None:
        """Give up ``req``, which is out of the queue and has never started: it ends as ``dropped``."""
        self.dropped.append((req, reason))

    @classmethod
    def conflicts(cls, options: dict[str, Any], scenario: Scenario, at: Place) -> Iterator[tuple[Place, str]]:
        """(place, message) of each thing in ``scenario`` that it cannot work with; it is named at ``at``."""
        return iter(())

    def evacuate(self) -> list[Request]:
        """All waiting requests leave, in the order of the queue."""
        waiting = list(self.waiting)
        self.waiting.clear()
        return waiting

    def withdraw(self, req: Request) -> bool:
        """``req``, which has not started, gives up; False when it is not here.

        Those who wait longest give up first, so a queue in order of arrival finds it near its head. A
        scheduler with a queue of another kind writes its own.
        """
        try:
            self.waiting.remove(req)
        except ValueError:
            return False
        return True

    def arrival_matters(self) -> bool:
        """Whether one more request in the queue could change a run of iterations under way. Pure query.

        First come, first served: not when others wait before it, and not when all seats are taken.
        """
        return not self.waiting and self.has_seat()

    def has_seat(self) -> bool:
        """Whether ``max_num_seqs`` allows one more sequence. Pure query."""
        return self.kv.num_sequences < self.limits.max_num_seqs

    def longest(self, req: Request) -> int:
        """Tokens that ``req`` may come to have, prompt and output: all a server knows when it starts. Pure query."""
        return min(self.limits.max_model_len, req.input_tokens + req.max_tokens)

    def preempt_newest(self, batch: Batch) -> Request:
        """Throw out the sequence admitted last, back to the head of the queue."""
        req = batch.newest()
        assert req is not None  # the caller has a sequence that lacks room
        return self.preempt(batch, req)

    def preempt(self, batch: Batch, req: Request) -> Request:
        """Throw out ``req``, one of ``batch``, back to the head of the queue."""
        batch.preempt(req)
        self._held_back = self._held_back or not batch.running
        self.waiting.appendleft(req)
        return req

    def needs_less_later(self, req: Request, found: int, count: int) -> bool:
        """Whether ``req``, for whose next ``count`` tokens there was no room, may have it without a completion.

        What a prefix cache has of it takes room like new blocks. Where decoding takes those, the same budget ends at
        an earlier token of the prompt: less room is asked for, and the plan holds for one iteration only.
        """
        return found > req.computed and self.kv.free_blocks * self.kv.block_size >= count

    def may_admit(self) -> bool:
        """Whether requests wait and may come in. Pure query.

        When a micro-batch has lost its last sequence to another one's need, nobody comes in until a
        sequence finishes: otherwise two micro-batches could take the pool from each other for ever.
        """
        return bool(self.waiting) and not (self._held_back and self.kv.num_sequences)
