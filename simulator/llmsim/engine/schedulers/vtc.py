"""Fairness among clients by virtual token counters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field

from llmsim.engine.batch import Batch
from llmsim.engine.fair_queue import Account, FairQueue
from llmsim.engine.kv.base import KVCache
from llmsim.engine.plan import StepPlan
from llmsim.engine.request import Request
from llmsim.engine.scheduler import Limits
from llmsim.engine.schedulers.ordered import Lane, Ordered
from llmsim.spec.attention import FOREVER
from llmsim.spec.base import Strict


class FairnessOptions(Strict):
    """Options of ``scheduler: {kind: vtc}``."""

    client: Literal["class", "session", "model"] = Field(
        "class", description="whose a request is: its class, its session, or the model it asks for"
    )
    input_weight: float = Field(1.0, ge=0, le=1e6, description="service of a prompt token (the paper's w_p)")
    output_weight: float = Field(2.0, gt=0, le=1e6, description="service of an output token (w_q)")
    shares: dict[str, Annotated[float, Field(gt=0, le=1e6)]] = Field(
        {}, description="share of the server by client, relative to others'; 1 for who is not named"
    )


class TokenCounters(Ordered):
    """Virtual token counter: the next seat is for the client that has had the least service.

    A client is charged for a prompt when it is let in and for each output token as it comes out. One that comes back
    after having had nothing to wait for starts with the least counter of those that wait, so that it has saved nothing
    up. Two clients that always have requests waiting then differ by 2·max(w_p·L_input, w_q·M) in service at most, for
    prompts of up to L_input tokens and M tokens in the batch.

    Source: Sheng et al. 2024, arXiv 2401.00588 (OSDI 2024), its weighted form included.
    """

    Options = FairnessOptions
    options: FairnessOptions
    waiting: FairQueue  # type: ignore[assignment]  # in place of a ranked one

    def __init__(self, limits: Limits, kv: KVCache, options: Strict | None = None) -> None:
        super().__init__(limits, kv, options)
        self.waiting = FairQueue(self._account, self.counter, self._lift)
        self._accounts: dict[str, Account] = {}
        self._charged: set[Request] = set()
        """Those that are here and have been let in once: their prompts are paid for."""

    def rank(self, req: Request, generated: int) -> float:
        """See :class:`Ordered`: of the running, the newest goes where the pool runs short."""
        return req.arrival_s

    def counter(self, account: Account) -> float:
        """Service that a client has had, over its share. Pure query."""
        return account.charged + self.options.output_weight * account.tokens() / account.weight

    def _account(self, req: Request) -> Account:
        key = self.options.client
        name = req.class_name if key == "class" else req.session_id if key == "session" else req.model
        if name not in self._accounts:
            self._accounts[name] = Account(name, self.options.shares.get(name, 1.0))
        return self._accounts[name]

    def _charge(self, req: Request, service: float) -> None:
        account = self._account(req)
        account.charged += service / account.weight

    def _lift(self, account: Account) -> None:
        """A client that had nobody waiting has saved nothing up."""
        least = self.waiting.least() or self.waiting.last_to_leave
        if least is not None:
            account.charged += max(0.0, self.counter(least) - self.counter(account))

    def plan(self, batch: Batch, now_s: float) -> StepPlan | None:
        """See :class:`Scheduler`."""
        self.waiting.let_in()
        return super().plan(batch, now_s)

    def admitted(self, req: Request) -> None:
        """See :class:`Ordered`."""
        if req not in self._charged:
            self._charged.add(req)
            self._charge(req, self.options.input_weight * req.input_tokens)

    def joined(self, batch: Batch, req: Request) -> None:
        """See :class:`Scheduler`. Its prefill has brought a token out."""
        super().joined(batch, req)
        self._charge(req, self.options.output_weight)
        self._account(req).joined(batch, req)

    def _left(self, batch: Batch, req: Request) -> None:
        self._charge(req, self.options.output_weight * self._account(req).left(batch, req))

    def throw_out(self, batch: Batch, lane: Lane, req: Request) -> None:
        """See :class:`Ordered`."""
        if req not in batch.prefilling:
            self._left(batch, req)
        super().throw_out(batch, lane, req)

    def finish(self, batch: Batch, done: Sequence[Request], now_s: float) -> Sequence[Request]:
        """See :class:`Scheduler`."""
        for req in done:
            self._left(batch, req)
            self._charged.discard(req)
        return super().finish(batch, done, now_s)

    def steady(self, batch: Batch, lane: Lane) -> int:
        """See :class:`Ordered`: until another client may have had less than the one whose request lacks room."""
        if not self.waiting or not self.has_seat():
            return FOREVER
        lead = self.waiting.lead()
        if lead == float("inf"):
            return FOREVER
        first = self._account(self.waiting[0])
        per_iteration = self.options.output_weight * first.width() / first.weight
        if not per_iteration:
            return FOREVER
        return max(1, int(lead / per_iteration)) if len(self._lanes) == 1 else 1

    def evacuate(self) -> list[Request]:
        """See :class:`Scheduler`."""
        self._charged.clear()
        return super().evacuate()

    def arrival_matters(self) -> bool:
        """See :class:`Scheduler`. Counters move on, and a client that comes back is lifted to where they are."""
        return True
