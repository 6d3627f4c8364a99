"""Prefill here, decode there: requests whose prompt is computed move on with their KV."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import nan

from llmsim.engine.request import Request
from llmsim.measure.handover_log import HandoverLog
from llmsim.sim.clock import Clock
from llmsim.sim.moves import Moves
from llmsim.sim.replica import Replica
from llmsim.sim.routers.base import Router
from llmsim.sim.transfers import Transfer
from llmsim.spec.disaggregation import Disaggregation

Requests = Callable[[Sequence[Request]], None]


@dataclass(eq=False)
class Parcel:
    """A request on its way from the replica that computed its prompt.

    Attributes:
        req, tokens: The request, and the tokens of KV it has.
        source: Where these are.
        held: What keeps their room there.
        computed_s: How long the prompt took to compute.
        since_s: When it was.
        target: Where it goes; None while there is nowhere.
        kv_bytes: Of its KV, once the transfer has begun.
        reserved: What keeps its room there, from the start of the transfer on.
        transfer: Its KV on the wire.
    """

    req: Request
    tokens: int
    source: Replica
    held: Request | None
    computed_s: float
    since_s: float
    target: Replica | None = None
    kv_bytes: float = 0.0
    reserved: Request | None = None
    transfer: Transfer | None = None


@dataclass(eq=False)
class Dock:
    """What is bound for one decode replica: parcels that wait for room, and those on the wire."""

    waiting: deque[Parcel] = field(default_factory=deque)
    moving: dict[Parcel, None] = field(default_factory=dict)


class Handover:
    """Moves requests from prefill to decode replicas (DistServe, arXiv 2401.09670; Splitwise, 2311.18677).

    A transfer starts when the decode replica has room for the KV and a seat; until then the KV stays
    where it was computed and takes room there: back-pressure. ``layerwise`` sends each layer's KV while
    the next is computed, so that only what the wire could not carry meanwhile, and at least the last
    layer, is left when the prompt is done; what went before is taken to have had the wire to itself.

    Args:
        clock, moves: The simulation's.
        routers: Of the decode replicas, by model.
        rules: How KV is sent.
        shapes: (bytes of KV per token, layers) by pool.
        ended: Told of requests that are done.

    Attributes:
        when_held: Called with the decode router of a request that has to wait for a replica to decode it.
    """

    def __init__(
        self,
        clock: Clock,
        moves: Moves,
        routers: Mapping[str, Router],
        rules: Disaggregation,
        shapes: Mapping[str, tuple[float, int]],
        *,
        ended: Requests,
    ) -> None:
        self.log = HandoverLog()
        self.when_held: Callable[[Router], None] = lambda _: None
        self._clock = clock
        self._moves = moves
        self._routers = routers
        self._rules = rules
        self._shapes = shapes
        self._ended = ended
        self._docks: dict[Replica, Dock] = {}
        self._homeless: dict[Router, deque[Parcel]] = {router: deque() for router in routers.values()}

    def router_of(self, model: str) -> Router:
        """Who chooses among the decode replicas of ``model``. Pure query."""
        return self._routers[model]

    def num_held(self, router: Router) -> int:
        """Requests whose KV waits for one of ``router``'s replicas, or for room at one. Pure query."""
        docked = sum(len(self._docks[each].waiting) for each in router.replicas if each in self._docks)
        return len(self._homeless[router]) + docked

    def refusal(self, req: Request) -> str:
        """Why ``req`` can never go on at a decode replica that it may be sent to; else empty. Pure query."""
        replicas = self._routers[req.model].replicas
        return next(filter(None, (replica.engine.refusal(req) for replica in replicas)), "")

    def prefilled(self, requests: Sequence[Request], source: Replica) -> None:
        """``requests`` have left ``source``: their prompts are computed, and a token each is out."""
        for req in requests:
            req.end_stint()
            tokens = req.prefill_target
            now_s, held = self._clock.now, source.engine.kv.hold(tokens)
            parcel = Parcel(req, tokens, source, held, now_s - req.scheduled_s, now_s)
            source.num_parcels += 1
            req.stop_at, req.finish_s = req.output_tokens, nan
            req.prefill_target = req.input_tokens + req.generated
            req.computed = req.given_tokens
            self._address(parcel)

    def decoded(self, requests: Sequence[Request], replica: Replica) -> None:
        """``requests`` are done at ``replica``, which has room for others."""
        router = self._routers[replica.model]
        if router.watches:
            router.gone(requests, replica)
        self._ended(requests)

    def joined(self, replica: Replica) -> None:
        """``replica`` decodes from now on."""
        router = self._routers[replica.model]
        router.joined(replica)
        homeless = self._homeless[router]
        for _ in range(len(homeless)):
            self._address(homeless.popleft())

    def left(self, replica: Replica) -> None:
        """``replica`` takes no more; what waits to go there goes elsewhere."""
        self._routers[replica.model].left(replica)
        dock = self._docks.get(replica)
        if dock:
            for _ in range(len(dock.waiting)):
                self._address(dock.waiting.popleft())

    def lost(self, replica: Replica) -> list[tuple[Request, int]]:
        """``replica`` is gone; returns the requests whose KV was still there, each with its tokens of it."""
        gone: list[tuple[Request, int]] = []
        for dock in self._docks.values():
            for parcel in [each for each in (*dock.waiting, *dock.moving) if each.source is replica]:
                self._drop(dock, parcel)
                gone.append(self._lose(parcel))
        for homeless in self._homeless.values():
            for parcel in [each for each in homeless if each.source is replica]:
                homeless.remove(parcel)
                gone.append(self._lose(parcel))
        dock = self._docks.pop(replica, Dock())
        replica.before_planning = None
        for parcel in list(dock.moving):  # their KV is still where it was computed
            self._stop(dock, parcel)
            if parcel.reserved is not None:
                replica.engine.kv.unhold(parcel.reserved)
            self._address(parcel)
        return gone

    def _address(self, parcel: Parcel) -> None:
        """Choose where ``parcel`` goes."""
        router = self._routers[parcel.req.model]
        if not router.replicas:
            parcel.target = None
            self._homeless[router].append(parcel)
            self.when_held(router)
            return
        target = router.choose(parcel.req)
        assert isinstance(target, Replica)
        if router.watches:
            router.sent(parcel.req, target)
        parcel.target = target
        if target not in self._docks:
            self._docks[target] = Dock()
            target.before_planning = lambda: self._pump(target)
        self._docks[target].waiting.append(parcel)
        target.wake()

    def _pump(self, target: Replica) -> None:
        """Start the transfers that ``target``, at a boundary, has room for; those who wait there go first."""
        dock, engine = self._docks[target], target.engine
        while dock.waiting and not engine.num_waiting:
            parcel = dock.waiting[0]
            if engine.num_requests + len(dock.moving) >= engine.scheduler.limits.max_num_seqs:
                return
            parcel.reserved = engine.kv.hold(parcel.tokens)
            if parcel.reserved is None:
                return
            dock.waiting.popleft()
            dock.moving[parcel] = None
            target.num_parcels += 1
            self._send(dock, parcel, target)

    def _send(self, dock: Dock, parcel: Parcel, target: Replica) -> None:
        source_place, target_place = parcel.source.place, target.place
        assert source_place is not None and target_place is not None  # every replica of such a fleet has one
        total, left = self._bytes(parcel, self._moves.seconds(source_place, target_place, 1e9) / 1e9)
        parcel.kv_bytes = total
        parcel.transfer = self._moves.send(
            source_place,
            target_place,
            left,
            lambda _: self._arrived(dock, parcel, target),
            lambda _: None,  # one end is gone: `lost` has seen to it
        )

    def _bytes(self, parcel: Parcel, seconds_per_byte: float) -> tuple[float, float]:
        """Bytes of KV in all, and those left to send now."""
        per_token, num_layers = self._shapes[parcel.source.pool]
        total = parcel.tokens * per_token
        if self._rules.kv_transfer == "whole":
            return total, total
        return total, max(total / num_layers, total - parcel.computed_s / seconds_per_byte)

    def _arrived(self, dock: Dock, parcel: Parcel, target: Replica) -> None:
        self._stop(dock, parcel)
        self._make_room(parcel.source, parcel.held)
        self._make_room(target, parcel.reserved)
        self.log.requests += 1
        self.log.kv_bytes += parcel.kv_bytes
        self.log.exposed_s += self._clock.now - parcel.since_s
        req = parcel.req
        req.moves += 1
        req.computed = max(req.computed, min(parcel.tokens, req.prefill_target - 1))
        refusal = target.submit(req)
        assert not refusal  # it was asked before the prompt was computed
        parcel.source.num_parcels -= 1
        parcel.source.tell_if_empty()

    def _drop(self, dock: Dock, parcel: Parcel) -> None:
        """The KV of ``parcel`` is gone with its source."""
        if parcel in dock.moving:
            self._stop(dock, parcel)
            if parcel.target is not None:
                self._make_room(parcel.target, parcel.reserved)
                parcel.target.tell_if_empty()
        else:
            dock.waiting.remove(parcel)

    @staticmethod
    def _lose(parcel: Parcel) -> tuple[Request, int]:
        """Its KV is gone with the replica that had it."""
        parcel.source.num_parcels -= 1
        if parcel.held is not None:
            parcel.source.engine.kv.unhold(parcel.held)
        return parcel.req, parcel.tokens

    def _stop(self, dock: Dock, parcel: Parcel) -> None:
        """It is no longer on the wire."""
        del dock.moving[parcel]
        if parcel.target is not None:
            parcel.target.num_parcels -= 1
        if parcel.transfer is not None:
            self._moves.cancel(parcel.transfer)

    @staticmethod
    def _make_room(replica: Replica, holder: Request | None) -> None:
        """Give back what ``holder`` kept; somebody may have waited for it."""
        if holder is not None:
            replica.engine.kv.unhold(holder)
            replica.wake()
