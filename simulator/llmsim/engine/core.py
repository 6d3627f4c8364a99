"""One replica's engine: three moves, repeated. Submit, begin a run, complete it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from heapq import heapify, heappop, heappush
from math import inf

from llmsim.cost.stage import StageCost
from llmsim.engine.batch import Batch
from llmsim.engine.kv.base import KVCache
from llmsim.engine.plan import StepPlan, Wait
from llmsim.engine.request import Request
from llmsim.engine.run import TIE, Run
from llmsim.engine.scheduler import Scheduler

AddRow = Callable[[tuple[float, ...]], None]


class Engine:
    """Scheduler, KV pool, micro-batches and cost model of one replica.

    It knows no technique: it asks the scheduler for a plan, prices the iterations that follow until
    something has to be decided, and tells scheduler and pool what came of them.

    Args:
        index: The replica's number.
        scheduler, kv: Its policy and its pool.
        stages: Price of each pipeline stage.
        add_row, add_gap: Where step rows (``measure.records.STEP_COLUMNS``) and odd gaps go.
        fast_forward: False prices every iteration as a run of its own: the oracle.
        schedules_ahead: The next iteration is planned while this one runs, so a request that arrives
            meanwhile can only join the one after it.
    """

    def __init__(
        self,
        index: int,
        scheduler: Scheduler,
        kv: KVCache,
        stages: Sequence[StageCost],
        *,
        add_row: AddRow,
        add_gap: Callable[[tuple[float, int]], None],
        fast_forward: bool = True,
        schedules_ahead: bool = False,
    ) -> None:
        self.index = index
        self.scheduler = scheduler
        self.kv = kv
        self.stages = stages
        self.fast_forward = fast_forward
        self.schedules_ahead = schedules_ahead
        self.incoming: list[tuple[float, int, Request]] = []
        """A heap of requests that the scheduler does not see yet, by the time when they get to it."""
        self._submitted = 0
        self._last_start_s = 0.0
        self.num_generated = 0
        """Tokens generated in the runs completed so far."""
        self.num_delivered = 0
        """Requests done so far."""
        self.batches = [
            Batch(lane, kv, stages[0].spans, scheduler.limits.max_num_seqs) for lane in range(len(stages))
        ]
        self._add_row = add_row
        self._add_gap = add_gap

    @property
    def num_requests(self) -> int:
        """Requests here, waiting or running. Pure query."""
        running = sum(len(batch.running) for batch in self.batches)
        return len(self.incoming) + len(self.scheduler.waiting) + running

    def submit(self, req: Request, enters_s: float | None = None) -> None:
        """``req``, which :meth:`refusal` has nothing against, joins the queue: now, or at ``enters_s``."""
        if enters_s is None:
            self.scheduler.submit(req)
        else:
            self._submitted += 1
            heappush(self.incoming, (enters_s, self._submitted, req))

    @property
    def num_waiting(self) -> int:
        """Requests here that do not run. Pure query."""
        return len(self.incoming) + len(self.scheduler.waiting)

    @property
    def kv_tokens(self) -> int:
        """Tokens in the KV cache as of the last run completed. Pure query."""
        partly = (*self.kv.parked, *(req for batch in self.batches for req in batch.prefilling))
        return sum(batch.context for batch in self.batches) + sum(req.computed for req in partly)

    def withdraw(self, req: Request) -> bool:
        """``req``, which has not started, gives up; False when it is not here."""
        for entry in self.incoming:
            if entry[2] is req:
                self.incoming.remove(entry)
                heapify(self.incoming)
                return True
        return self.scheduler.withdraw(req)

    def arrival_matters(self, enters_s: float) -> bool:
        """Whether one more request, in the queue from ``enters_s`` on, could change the run under way. Pure query."""
        is_next = not self.incoming or enters_s < self.incoming[0][0]
        return is_next and self.scheduler.arrival_matters()

    def iterations_until_heard(self, run: Run, enters_s: float) -> int:
        """After how many iterations of ``run`` a request that enters at ``enters_s`` can join. Pure query."""
        boundary = run.iterations_until(enters_s) if enters_s > run.start_s * (1 + TIE) else 0
        return boundary + self.schedules_ahead

    def refusal(self, req: Request) -> str:
        """Why ``req`` can never run here; empty when it can. Pure query."""
        kv = self.kv
        tokens = req.input_tokens + req.stop_at
        if tokens > kv.max_model_len:
            return "longer than max_model_len"
        if req.width > 1 and req.width > self.scheduler.limits.max_num_seqs:
            return "more sequences than max_num_seqs"
        return "" if tokens * req.width <= kv.surely_fits or kv.fits(req) else "larger than the KV pool"

    def plan(self, batch: Batch, now_s: float) -> StepPlan | Wait | None:
        """What ``batch`` computes next; requests that start are told so."""
        self.kv.now_s = now_s
        plan = self.scheduler.plan(batch, now_s)
        if isinstance(plan, StepPlan):
            for req, _ in plan.chunks:
                if req.scheduled_s != req.scheduled_s:  # nan: its first time
                    req.scheduled_s = now_s
                req.replica = self.index
                req.status = "running"
        return plan

    def begin(self, batch: Batch, now_s: float) -> Run | Wait | None:
        """Plan ``batch`` and price the run: as many iterations as need no further decision."""
        incoming = self.incoming
        if incoming:
            self.let_in(self._last_start_s if self.schedules_ahead else now_s)
        plan = self.plan(batch, now_s)
        if (
            incoming and self.schedules_ahead and not isinstance(plan, StepPlan)
        ):  # so nothing was planned ahead
            self.let_in(now_s)
            plan = self.plan(batch, now_s)
        ready_s = self.kv.ready_s(now_s)
        if not isinstance(plan, StepPlan):
            return plan
        count = self.horizon(batch, plan)
        first_s, growth_s, count = self.price(self.stages[0], batch, plan, count)
        if ready_s > now_s:
            first_s, count = self.kv.behind(ready_s - now_s, first_s), 1
        run = Run(batch, plan, now_s, count, first_s, growth_s, len(self.scheduler.waiting))
        if count > 1 and plan.until_s < inf:
            run.cut(run.iterations_until(plan.until_s))
            count = run.iterations
        if count > 1 and incoming and self.scheduler.arrival_matters():
            heard = self.iterations_until_heard(run, incoming[0][0])
            if heard < count:
                run.cut(heard)
        return run

    def let_in(self, moment_s: float) -> None:
        """Requests that get to the scheduler by ``moment_s`` join its queue."""
        while self.incoming and self.incoming[0][0] <= moment_s * (1 + TIE):
            self.scheduler.submit(heappop(self.incoming)[2])

    def horizon(self, batch: Batch, plan: StepPlan) -> int:
        """Iterations until a chunk is done, blocks come back, or the pool runs short. Pure query."""
        if plan.chunks or not self.fast_forward:
            return 1
        count = min(plan.stable_for, batch.until_release())
        if count > 1:
            taken = batch.iteration + batch.allocated
            free = self.kv.free_blocks
            if batch.growth.need_over(taken, count - batch.allocated) > free:
                count = min(count, batch.allocated + batch.growth.room(taken, free))
        return count

    def price(self, stage: StageCost, batch: Batch, plan: StepPlan, count: int) -> tuple[float, float, int]:
        """Seconds of the first of ``count`` iterations, their growth, and for how many that holds."""
        tokens = rows = 0
        seconds = growth_s = 0.0
        if plan.decodes:
            rows = tokens = batch.num_sequences
            reads, growths, steady = batch.kv_reads()
            seconds, growth_s, valid = stage.decode_line(tokens, reads, growths)
            count = min(count, steady, valid)
        for req, new_tokens in plan.chunks:
            computed = plan.padded_to or new_tokens
            tokens += computed
            rows += 1
            seconds += stage.chunk_s(computed, req.computed)
        seconds += stage.tokens_s(tokens, rows, rows)
        if stage.hidden_host_s is not None:
            hidden_s = stage.hidden_host_s[0] + rows * stage.hidden_host_s[1]
            if seconds < hidden_s:  # the host sets the pace until attention has grown past it
                until = (hidden_s - seconds) / growth_s if growth_s > 0 else count
                return hidden_s, 0.0, min(count, int(until) + 1)
        return seconds, growth_s, count

    def complete(self, run: Run) -> Sequence[Request]:
        """Apply ``run`` (as many iterations as it now says); returns the requests delivered."""
        batch, plan, count = run.batch, run.plan, run.iterations
        end_s = self.kv.now_s = run.end_s
        self._last_start_s = run.start_s + run.duration_s(count - 1)
        done: list[Request] = []
        decoding, lag_s, aligned = 0, 0.0, 0
        if plan.decodes:
            decoding = batch.num_outputs
            self.num_generated += decoding * count
            lag_s = run.start_s - batch.last_token_s
            aligned = decoding - self._late_first_gaps(run) if batch.joined_later else decoding
            done = batch.advance(count, end_s)
        prefilled = pairs = padding = 0
        for req, new_tokens in plan.chunks:
            prefilled += new_tokens
            computed = plan.padded_to or new_tokens
            padding += computed - new_tokens
            pairs += computed * req.computed + computed * (computed + 1) // 2  # as FULL.pairs, in place
            self._advance_prefill(batch, req, new_tokens, plan.padded_to, end_s, done)
        for req in done:
            req.last_token_s = end_s
        held = self.kv.num_blocks - self.kv.free_blocks  # before the finished give theirs back
        delivered = self.scheduler.finish(batch, done, end_s) if done else done
        self.num_delivered += len(delivered)
        for req in delivered:
            req.finish_s = end_s
            req.status = "completed" if req.stop_at == req.output_tokens else "waiting"
        width = run.kv_growth
        self._add_row(
            (
                self.index,
                batch.lane,
                run.start_s,
                count,
                run.lasts_s,
                run.first_s,
                run.growth_s,
                run.sequences,
                prefilled,
                decoding * count,
                run.sequences,
                padding + width - decoding,
                pairs,
                run.decode_kv * count + width * (count * (count - 1) // 2),
                held,
                run.waiting,
                lag_s,
                aligned,
            )
        )
        return delivered

    def evacuate(self) -> list[tuple[Request, int]]:
        """Every request leaves: those that run first, then those that wait. Changes batches, pool and queue.

        Returns:
            Each with the tokens it had in the KV cache; what it has to compute elsewhere is up to date.
        """
        gone = [entry for batch in self.batches for entry in batch.evacuate()]
        coming = [req for _, _, req in sorted(self.incoming)]
        self.incoming.clear()
        waiting = [(req, self.kv.let_go(req)) for req in self.scheduler.evacuate()]
        return gone + waiting + [(req, 0) for req in coming]

    def close(self) -> None:
        """The simulation is over: write down how far the running sequences have come."""
        for batch in self.batches:
            batch.write_progress()

    def _late_first_gaps(self, run: Run) -> int:
        """Record the first gaps of sequences that joined after the others' last token; how many they are."""
        late = 0
        for joined_s, count in run.batch.joined_later.items():
            if count:
                late += count
                self._add_gap((run.start_s - joined_s + run.first_s, count))
        return late

    def _advance_prefill(
        self, batch: Batch, req: Request, count: int, padded_to: int, now_s: float, done: list[Request]
    ) -> None:
        """``count`` more prompt tokens of ``req`` are computed; the last of them brings a token out."""
        req.computed += count
        if req.computed < req.prefill_target:
            return
        del batch.prefilling[req]
        req.kv_tokens = req.prefill_target
        req.generated += 1
        self.num_generated += 1
        if req.first_token_s != req.first_token_s:
            req.first_token_s = now_s
        elif req.last_token_s == req.last_token_s:  # preempted after a token: a gap of its own
            self._add_gap((now_s - req.last_token_s, 1))
        batch.start_decoding(req, now_s, max(req.kv_tokens, padded_to))
        self.scheduler.joined(batch, req)
        if req.generated == req.stop_at:
            done.append(req)
