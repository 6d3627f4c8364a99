"""What every scheduler promises."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, ClassVar

import numpy as np

from llmsim.contracts.trials import (
    PREEMPTION_MODES,
    outcome,
    poisson_requests,
    preempting,
    require_same,
    share_prefixes,
    widen,
)
from llmsim.engine.batch import Batch
from llmsim.engine.kv.base import KVCache
from llmsim.engine.kv.paged import Paged
from llmsim.engine.kv.prefix import PrefixCached
from llmsim.engine.plan import StepPlan, Wait
from llmsim.engine.predictor import Predictor
from llmsim.engine.request import Request
from llmsim.engine.scheduler import Limits, Scheduler
from llmsim.measure.laws import check
from llmsim.measure.records import STEP_COLUMNS, RunRecord, StepLog
from llmsim.sim.play import A_LINE, make_engine, play


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
        if kept := engine.kv.preemption.num_kept:
            raise AssertionError(f"blocks are conserved: KV of {kept} requests is still put away")
        return record

    def made(self) -> Scheduler:
        """The scheduler under test, to be asked what it is."""
        return type(self).scheduler(Limits(), Paged(4096, 16, 512))

    def caches(self) -> Sequence[Callable[[int, int, int], KVCache]]:
        """The KV caches to try the scheduler on."""
        return type(self).kv_caches

    def _runs(self, seed: int, count: int = 80, **options: Any) -> Iterator[RunRecord]:
        for kv_cache in self.caches():
            for tokens, stages in self.settings:
                yield self._play(poisson_requests(seed, count), tokens, stages, kv_cache=kv_cache, **options)

    def test_every_request_ends_in_one_bucket(self) -> None:
        """L1, L2, L10: nothing is lost, no block leaks, what cannot fit is refused, the rest completes."""
        for record in self._runs(1):
            check(record)
            ends = ("completed", "rejected", "dropped")[: 2 + self.made().drops]
            left = [r.id for r in record.requests if r.status not in ends]
            assert not left, f"L1: requests {left[:10]} never finished"

    def test_fast_forward_equals_stepping(self) -> None:
        """The oracle: the same decisions, the same times."""
        for seed, count in ((2, 60), (3, 30)):
            steps = self._runs(seed, count, fast_forward=False)
            for fast, slow in zip(self._runs(seed, count), steps, strict=True):
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

    def test_preemption_modes(self) -> None:
        """Whatever is kept of who is preempted: the same laws, blocks conserved on both sides, and the oracle."""
        own = self.caches()[0]
        once = self._play(poisson_requests(11, 30), 900, kv_cache=own)
        if not any(req.preemptions for req in once.requests):
            return
        for mode, stages in zip(PREEMPTION_MODES, (1, 2, 2), strict=True):
            cache = preempting(Paged if mode().needs_blocks else own, mode)
            outcomes = []
            for fast in (True, False):
                requests = poisson_requests(11, 30)
                record = self._play(requests, 900, stages, kv_cache=cache, fast_forward=fast)
                check(record)
                outcomes.append(outcome(record))
            require_same(outcomes[0], outcomes[1], "fast-forward equals stepping")

    def test_requests_of_several_sequences(self) -> None:
        """The same laws for requests that run as 1 to 4 sequences, blocks conserved, and the oracle."""
        for tokens, stages in self.settings:
            for kv_cache in self.caches():
                outcomes = []
                for fast in (True, False):
                    requests = poisson_requests(11, count=36)
                    widen(requests)
                    record = self._play(
                        requests, 2 * tokens, stages, kv_cache=kv_cache, fast_forward=fast, max_num_seqs=12
                    )
                    check(record)
                    assert record.steps.column("sequences").max() <= 12, "more sequences than max_num_seqs"
                    outcomes.append(outcome(record))
                require_same(outcomes[0], outcomes[1], "fast-forward equals stepping")

    def test_same_input_same_output(self) -> None:
        """L5: no hidden state between runs, no randomness of its own."""
        for first, second in zip(self._runs(4, 50), self._runs(4, 50), strict=True):
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
