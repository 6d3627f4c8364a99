"""The requests of a replica that will be gone, on their way to others."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from llmsim.engine.request import Request
from llmsim.sim.instances import Deployment
from llmsim.sim.transfers import Transfer

if TYPE_CHECKING:
    from llmsim.sim.supply import Supply


class Exodus:
    """Stops a deployment and sends its requests' KV away, one after another, until all are gone or time is up.

    Requests that wait, or that nobody can take, go back to the door; they lose what KV they have.
    """

    def __init__(self, supply: Supply, deployment: Deployment) -> None:
        self._supply = supply
        self._deployment = deployment
        self._left: deque[tuple[Request, int]] = deque()
        self._moved = self._lost = self._requests = 0

    def begin(self) -> None:
        """Stop the replicas; the first request leaves."""
        for req, tokens in self._supply.halt(self._deployment):
            if tokens:
                self._left.append((req, tokens))
            else:
                self._supply.fleet.start_over(req, 0)
        self._requests = len(self._left)
        self._next()

    def _next(self) -> None:
        deployment, supply = self._deployment, self._supply
        targets = [each for each in supply.serving if each.place is not None]
        if deployment.state == "gone" or deployment.place is None or not targets:
            while self._left:
                self._start_over(*self._left.popleft())
        if not self._left:
            moved_bytes = self._moved * supply.plan.kv_bytes_per_token
            supply.note(
                "migrated",
                requests=self._requests,
                moved_tokens=self._moved,
                lost_tokens=self._lost,
                moved_bytes=moved_bytes,
            )
            supply.let_go(deployment)
            return
        assert deployment.place is not None
        req, tokens = self._left.popleft()
        target = min(targets, key=lambda each: each.num_requests)
        assert target.place is not None
        supply.moves.send(
            deployment.place,
            target.place,
            tokens * supply.plan.kv_bytes_per_token,
            lambda _: self._arrived(req, tokens, target),
            lambda transfer: self._cut_off(transfer, req, tokens, target),
        )

    def _arrived(self, req: Request, tokens: int, target: Deployment) -> None:
        if target.state == "serving":
            self._go_on(req, tokens, target)
        else:
            self._start_over(req, tokens)
        self._next()

    def _cut_off(self, transfer: Transfer, req: Request, tokens: int, target: Deployment) -> None:
        """One end is gone. Tokens that got through to a target that is still there need not be computed."""
        if target.state == "serving":
            moved_bytes = transfer.moved_bytes(self._supply.clock.now)
            through = min(tokens, int(moved_bytes / self._supply.plan.kv_bytes_per_token))
            req.lost_tokens += tokens - through
            self._lost += tokens - through
            self._go_on(req, through, target)
        else:
            self._left.appendleft((req, tokens))
        self._next()

    def _go_on(self, req: Request, tokens: int, target: Deployment) -> None:
        """``req`` has so much of its KV at ``target``, and goes on there."""
        req.moves += 1
        req.computed = max(req.computed, min(tokens, req.prefill_target - 1))
        self._moved += tokens
        replica = min(target.replicas, key=lambda each: each.num_requests)
        self._supply.fleet.door.hand_to(replica, req)

    def _start_over(self, req: Request, tokens: int) -> None:
        self._lost += tokens
        self._supply.fleet.start_over(req, tokens)
