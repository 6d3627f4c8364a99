"""Contract suites for plug-ins: subclass one, name your class, and pytest proves it keeps the rules.

    from llmsim.contracts import SchedulerContract
    from my_package import MyScheduler

    class TestMyScheduler(SchedulerContract):
        scheduler = MyScheduler

The rules are those the built-in policies are held to. A failure names the rule and the numbers.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, ClassVar

import numpy as np

from llmsim.engine.batch import Batch
from llmsim.engine.knowledge import Knowledge
from llmsim.engine.kv.base import KVCache
from llmsim.engine.kv.paged import Paged
from llmsim.engine.kv.prefix import PrefixCached
from llmsim.engine.plan import StepPlan, Wait
from llmsim.engine.predictor import Predictor
from llmsim.engine.request import Request
from llmsim.engine.scheduler import Limits, Scheduler
from llmsim.engine.schedulers.chunked_prefill import ChunkedPrefill
from llmsim.measure.laws import check
from llmsim.measure.records import STEP_COLUMNS, RunRecord, StepLog
from llmsim.sim.clock import ARRIVAL
from llmsim.sim.fleet import Fleet
from llmsim.sim.play import A_LINE, make_engine, play
from llmsim.sim.routers import RoundRobin, Router
from llmsim.spec.base import Strict

RELATIVE = 1e-9
"""Times from fast-forward and from stepping agree this closely."""


CLASSES = ("chat", "code", "batch")
"""Of the requests that policies are tried on."""


def poisson_requests(
    seed: int, count: int = 120, rate_per_s: float = 8.0, max_input: int = 600, max_output: int = 200
) -> list[Request]:
    """``count`` requests with Poisson arrivals and uniform lengths, of three classes and five sessions."""
    rng = np.random.default_rng(seed)
    arrivals = np.cumsum(rng.exponential(1 / rate_per_s, count)).tolist()
    inputs = rng.integers(1, max_input + 1, count).tolist()
    outputs = rng.integers(1, max_output + 1, count).tolist()
    requests = [Request(i, arrivals[i], inputs[i], outputs[i], CLASSES[i % 3]) for i in range(count)]
    for req in requests:
        req.session_id = str(req.id % 5)
    return requests


def share_prefixes(requests: Sequence[Request], hash_tokens: int = 24, families: int = 3) -> None:
    """Give ``requests`` hashed prompts: those of a family begin alike, and part after 0 to 7 hash blocks."""
    for req in requests:
        req.hash_tokens = hash_tokens
        whole, family, alike = req.input_tokens // hash_tokens, req.id % families, req.id * 5 % 8
        own = 1_000_000 + 10_000 * req.id
        req.hash_ids = tuple(
            100 * family + block if block < min(alike, whole) else own + block
            for block in range(-(-req.input_tokens // hash_tokens))
        )


def outcome(record: RunRecord) -> list[tuple[Any, ...]]:
    """What became of each request: bucket, preemptions, replica, and its times."""
    return [
        (r.id, r.status, r.preemptions, r.replica, r.scheduled_s, r.first_token_s, r.finish_s)
        for r in record.requests
    ]


def require_same(left: Sequence[tuple[Any, ...]], right: Sequence[tuple[Any, ...]], rule: str) -> None:
    """Raise AssertionError unless two outcomes agree: decisions exactly, times within ``RELATIVE``."""
    for a, b in zip(left, right, strict=True):
        same = a[:4] == b[:4] and np.allclose(a[4:], b[4:], rtol=RELATIVE, atol=0, equal_nan=True)
        if not same:
            raise AssertionError(f"{rule}: request {a[0]} differs: {a} and {b}")


def informed(
    scheduler: type[Scheduler], knows: Knowledge, options: Strict | None = None
) -> Callable[[Limits, KVCache], Scheduler]:
    """A maker of ``scheduler`` with ``options`` that is told ``knows``: what a contract tries, where that matters."""

    def make(limits: Limits, kv: KVCache) -> Scheduler:
        made = scheduler(limits, kv, options)
        made.knows = knows
        return made

    return staticmethod(make)


class SchedulerContract:
    """What every scheduler promises, under plenty of KV memory and under pressure, alone and pipelined.

    Attributes:
        scheduler: The class under test, or a function of (limits, kv).
        kv_caches: The KV caches to try it on.
    """

    scheduler: ClassVar[Callable[[Limits, KVCache], Scheduler]]
    kv_caches: ClassVar[Sequence[Callable[[int, int, int], KVCache]]] = (Paged,)
    settings: ClassVar[Sequence[tuple[int, int]]] = ((8000, 1), (1000, 1), (1000, 2))
    """(tokens in the KV pool, pipeline stages). Requests are up to 800 tokens long."""

    def _play(
        self,
        requests: Sequence[Request],
        num_kv_tokens: int,
        num_stages: int = 1,
        *,
        kv_cache: Callable[[int, int, int], KVCache] = Paged,
        fast_forward: bool = True,
        max_num_seqs: int = 64,
        scheduler: Callable[[Limits, KVCache], Scheduler] | None = None,
    ) -> RunRecord:
        log = StepLog()
        engine = make_engine(
            0,
            log,
            scheduler or type(self).scheduler,
            kv_cache=kv_cache,
            num_kv_tokens=num_kv_tokens,
            limits=Limits(max_num_seqs, 512, 900),
            stages=[A_LINE] * num_stages,
            fast_forward=fast_forward,
        )
        record = play(requests, [engine], log)
        if engine.kv.free_blocks != engine.kv.num_blocks or engine.kv.num_sequences:
            lost = engine.kv.num_blocks - engine.kv.free_blocks
            raise AssertionError(
                f"blocks are conserved: {lost} still held, {engine.kv.num_sequences} sequences"
            )
        return record

    def made(self) -> Scheduler:
        """The scheduler under test, to be asked what it is."""
        return type(self).scheduler(Limits(), Paged(4096, 16, 512))

    def caches(self) -> Sequence[Callable[[int, int, int], KVCache]]:
        """The KV caches to try the scheduler on."""
        return type(self).kv_caches

    def _runs(self, seed: int, **options: Any) -> Iterator[RunRecord]:
        for kv_cache in self.caches():
            for tokens, stages in self.settings:
                yield self._play(poisson_requests(seed), tokens, stages, kv_cache=kv_cache, **options)

    def test_every_request_ends_in_one_bucket(self) -> None:
        """L1, L2, L10: nothing is lost, no block leaks, what cannot fit is refused, the rest completes."""
        for record in self._runs(1):
            check(record)
            ends = ("completed", "rejected", "dropped")[: 2 + self.made().drops]
            left = [r.id for r in record.requests if r.status not in ends]
            assert not left, f"L1: requests {left[:10]} never finished"

    def test_fast_forward_equals_stepping(self) -> None:
        """The oracle: the same decisions, the same times."""
        for seed in (2, 3):
            for fast, slow in zip(self._runs(seed), self._runs(seed, fast_forward=False), strict=True):
                require_same(outcome(fast), outcome(slow), "fast-forward equals stepping")

    def test_shared_prefixes(self) -> None:
        """With prefix caching: the same laws, blocks conserved, and the oracle."""
        for tokens, stages in self.settings:
            outcomes = []
            for fast in (True, False):
                requests = poisson_requests(9)
                share_prefixes(requests)
                record = self._play(requests, tokens, stages, kv_cache=PrefixCached, fast_forward=fast)
                check(record)
                outcomes.append(outcome(record))
            require_same(outcomes[0], outcomes[1], "fast-forward equals stepping")

    def test_same_input_same_output(self) -> None:
        """L5: no hidden state between runs, no randomness of its own."""
        for first, second in zip(self._runs(4), self._runs(4), strict=True):
            assert outcome(first) == outcome(second), "L5: two runs of the same requests differ"

    def test_seats_are_respected(self) -> None:
        """Never more sequences than ``max_num_seqs``."""
        for record in self._runs(5, max_num_seqs=3):
            most = record.steps.column("sequences").max()
            assert most <= 3, f"max_num_seqs is 3, an iteration had {most:.0f} sequences"

    def test_nothing_idles_while_it_could_run(self) -> None:
        """L6: with an empty pool and work waiting, there is a plan, unless the policy declares waits."""
        self._play(poisson_requests(6), 1000, scheduler=self._watched(_idle_with_work))

    def test_no_oracle_knowledge(self) -> None:
        """L7: until something finishes, longer outputs change nothing, unless the policy is an oracle."""
        for kv_cache in self.caches():
            short, long = poisson_requests(7, rate_per_s=50.0), poisson_requests(7, rate_per_s=50.0)
            for req in short:
                req.output_tokens = 20 + req.output_tokens % 100
            for a, b in zip(short, long, strict=True):
                b.output_tokens = a.output_tokens + 50
            if _is_oracle(type(self).scheduler, kv_cache):
                continue
            told = partial(_told_of, short, type(self).scheduler)
            engines = [
                self._play(r, 40_000, kv_cache=kv_cache, fast_forward=False, scheduler=told)
                for r in (short, long)
            ]
            before_s = min(r.finish_s for r in short)
            rows = [_rows_before(record, before_s) for record in engines]
            assert np.array_equal(rows[0], rows[1]), "L7: a decision changed with an output still to come"

    def test_lengths_are_never_read(self) -> None:
        """L7: a scheduler that is handed wrong lengths decides as before: it goes by its predictor's word alone."""
        made = self.made()
        if made.is_oracle:
            return
        modules = {cls.__module__ for cls in type(made).__mro__ if issubclass(cls, Scheduler)}
        for tokens, stages in self.settings:
            honest = self._play(poisson_requests(10), tokens, stages)
            poisoned = self._play(_poisoned(poisson_requests(10), modules), tokens, stages)
            rule = "L7: the scheduler read a length it cannot know (output_tokens or stop_at)"
            require_same(outcome(honest), outcome(poisoned), rule)

    def _watched(self, watch: Callable[[Scheduler, Batch, StepPlan | Wait | None], None]) -> Any:
        """A maker of the scheduler under test whose every plan is shown to ``watch``."""

        def make(limits: Limits, kv: KVCache) -> Scheduler:
            scheduler = type(self).scheduler(limits, kv)
            plan = scheduler.plan

            def watched(batch: Batch, now_s: float) -> StepPlan | Wait | None:
                answer = plan(batch, now_s)
                watch(scheduler, batch, answer)
                return answer

            scheduler.plan = watched  # type: ignore[method-assign]  # this one only, not its class
            return scheduler

        return make


def _idle_with_work(scheduler: Scheduler, batch: Batch, answer: StepPlan | Wait | None) -> None:
    if scheduler.waits or isinstance(answer, StepPlan):
        return
    if scheduler.waiting and not scheduler.kv.num_sequences:
        raise AssertionError(
            f"L6: {len(scheduler.waiting)} requests wait, nothing runs, and there is no plan"
        )


class _Told(Predictor):
    """Says what another predictor said of other requests with the same ids."""

    def __init__(self, said: dict[int, int]) -> None:
        super().__init__(max(said.values()))
        self._said = said

    def first(self, req: Request) -> int:
        return self._said[req.id]


def _told_of(
    requests: Sequence[Request], maker: Callable[[Limits, KVCache], Scheduler], limits: Limits, kv: KVCache
) -> Scheduler:
    """A scheduler whose predictor was asked about ``requests`` before, whatever it is asked about now."""
    made = maker(limits, kv)
    said = {req.id: made.knows.predictor.first(req) for req in requests}
    made.knows = replace(made.knows, predictor=_Told(said))
    return made


def _poisoned(requests: Sequence[Request], modules: set[str]) -> list[Request]:
    """``requests`` again; code of ``modules`` that asks for an output length gets a wrong one."""

    def poisoned(name: str) -> property:
        true = getattr(Request, name)

        def read(req: Request) -> int:
            asks = sys._getframe(1).f_globals["__name__"]
            return 1 + req.id * 7919 % 997 if asks in modules else int(true.__get__(req))

        return property(read, true.__set__)

    names = ("output_tokens", "stop_at")
    poisonous = type("PoisonedRequest", (Request,), {name: poisoned(name) for name in names})
    handed = []
    for req in requests:
        handed.append(poisonous(req.id, req.arrival_s, req.input_tokens, req.output_tokens, req.class_name))
        handed[-1].session_id = req.session_id
    return handed


def _is_oracle(scheduler: Any, kv_cache: Any) -> bool:
    kv = kv_cache(4096, 16, 512)
    return bool(kv.is_oracle or scheduler(Limits(), kv).is_oracle)


def _rows_before(record: RunRecord, time_s: float) -> Any:
    table = record.steps.table
    start, duration = (STEP_COLUMNS.index(name) for name in ("start_s", "duration_s"))
    return table[table[:, start] + table[:, duration] < time_s]


class KVCacheContract(SchedulerContract):
    """What every KV cache promises: the scheduler's rules with this cache under chunked prefill, and its own.

    Attributes:
        kv_cache: The class under test, or a function of (num_tokens, block_size, max_model_len).
    """

    scheduler: ClassVar[Callable[[Limits, KVCache], Scheduler]] = ChunkedPrefill
    kv_cache: ClassVar[Callable[[int, int, int], KVCache]]

    def caches(self) -> Sequence[Callable[[int, int, int], KVCache]]:
        """The one cache under test."""
        return (type(self).kv_cache,)

    def test_reserve_and_release_balance(self) -> None:
        """L2: what is given is what comes back; a failed reservation takes nothing."""
        kv = type(self).kv_cache(4096, 16, 900)
        held: list[Request] = []
        for req in poisson_requests(8):
            free = kv.free_blocks
            if kv.reserve(req, req.input_tokens):
                held.append(req)
            else:
                assert kv.free_blocks == free, "L2: a refused reservation took blocks"
                kv.release(held.pop(0))
            assert 0 <= kv.free_blocks <= kv.num_blocks, (
                f"L2: {kv.free_blocks} of {kv.num_blocks} blocks free"
            )
        for req in held:
            kv.release(req)
        assert kv.free_blocks == kv.num_blocks, "L2: blocks leaked"


class RouterContract:
    """What every router promises, also while replicas come and go.

    Attributes:
        router: The class under test.
        options: Its options; None takes the defaults.
    """

    router: ClassVar[type[Router]]
    options: ClassVar[Strict | None] = None

    def _play(self, replicas: int, *, fast_forward: bool = True, **keys: Any) -> RunRecord:
        log = StepLog()
        engines = [
            make_engine(
                i,
                log,
                ChunkedPrefill,
                num_kv_tokens=1200,
                limits=Limits(16, 512, 900),
                fast_forward=fast_forward,
            )
            for i in range(replicas)
        ]
        keys = {"router": type(self).router, "router_options": type(self).options} | keys
        return play(_labelled_requests(9), engines, log, **keys)

    def test_every_request_ends_in_one_bucket(self) -> None:
        """L1: a request is at one replica, and completes there or is refused."""
        record = self._play(3)
        check(record)
        left = [r.id for r in record.requests if r.status not in ("completed", "rejected")]
        assert not left, f"L1: requests {left[:10]} never finished"

    def test_fast_forward_equals_stepping(self) -> None:
        """Replicas that sleep through runs are seen as if they stepped."""
        fast, slow = self._play(3), self._play(3, fast_forward=False)
        require_same(outcome(fast), outcome(slow), "fast-forward equals stepping")

    def test_same_seed_same_choices(self) -> None:
        """L5: chance comes from the seed alone."""
        assert outcome(self._play(3, seed=5)) == outcome(self._play(3, seed=5)), "L5: two runs differ"

    def test_one_replica_is_no_router(self) -> None:
        """A fleet of one behind any router equals the single replica."""
        alone = self._play(1, router=RoundRobin, router_options=None)
        assert outcome(self._play(1)) == outcome(alone), "a fleet of one differs from its replica"

    def test_replicas_come_and_go(self) -> None:
        """Those that have left get nothing new; while nobody is there, requests wait and none is lost."""
        record = self._play(3, meanwhile=_come_and_go)
        check(record)
        late = [r.id for r in record.requests if r.status not in ("completed", "rejected")]
        assert not late, f"L1: requests {late[:10]} never finished"
        for req in record.requests:
            if req.status == "completed" and not req.preemptions:  # else it may have started elsewhere
                _require_it_was_there(req)
        slow = self._play(3, meanwhile=_come_and_go, fast_forward=False)
        require_same(outcome(record), outcome(slow), "fast-forward equals stepping")


def _labelled_requests(seed: int) -> list[Request]:
    """Requests that belong to sessions and share prefixes, for routers that go by these."""
    requests = poisson_requests(seed, rate_per_s=20.0)
    for req in requests:
        req.session_id = str(req.id % 17)
        req.hash_ids = (0, req.id % 7, 1000 + req.id)
    return requests


_ABSENT = {0: (2.0, 3.0), 1: (1.0, 3.5), 2: (2.0, 4.0)}
"""Replica to (leaves, joins again), in seconds: from 2 to 3 s there is none."""


def _come_and_go(fleet: Fleet) -> None:
    for index, (leaves_s, joins_s) in _ABSENT.items():
        replica = fleet.replicas[index]
        fleet.clock.call(leaves_s, ARRIVAL, partial(fleet.door.left, replica))
        fleet.clock.call(joins_s, ARRIVAL, partial(fleet.door.joined, replica))


def _require_it_was_there(req: Request) -> None:
    """Raise AssertionError when ``req`` came while its replica was away, and was started there meanwhile."""
    leaves_s, joins_s = _ABSENT[req.replica]
    if leaves_s < req.arrival_s <= req.scheduled_s < joins_s:
        raise AssertionError(
            f"request {req.id} came at {req.arrival_s:.3f} s and started on replica {req.replica} at "
            f"{req.scheduled_s:.3f} s; that was away from {leaves_s} to {joins_s} s"
        )
