"""The sequences one micro-batch holds, and the sums its cost depends on.

A batch never walks its sequences. A sequence that joins or leaves changes a few sums; an iteration
changes a counter; who finishes when, and who needs a block when, is filed under the iteration count.
"""

from __future__ import annotations

from collections.abc import Sequence
from heapq import heappop, heappush

from llmsim.engine.kv.base import KVCache
from llmsim.engine.request import Request
from llmsim.engine.span_sums import make_sums
from llmsim.spec.attention import FOREVER, FULL, Span


class Batch:
    """Sequences that run together. Schedulers change it through :meth:`admit`, :meth:`extend`,
    :meth:`allocate_decode` and :meth:`preempt`; the engine through the rest.

    Attributes:
        running: Every sequence, in the order of admission (a dict used as an ordered set).
        prefilling: Those whose prompt is not computed yet, in the same order.
        num_decoding: Sequences that produce a token per iteration.
        num_outputs: The requests among them: output tokens per iteration.
        num_sequences: Sequences computed per iteration while decoding: ``num_decoding`` and the
            finished ones that a padded batch still drags along.
        iteration: Decode iterations so far: the clock of everything filed below.
        context: Σ context over ``num_sequences``, in tokens.
    """

    def __init__(self, lane: int, kv: KVCache, spans: Sequence[Span], max_num_seqs: int = FOREVER) -> None:
        self.lane = lane
        self.max_num_seqs = max_num_seqs
        self.kv = kv
        self.growth = kv.new_growth()
        self.running: dict[Request, None] = {}
        self.prefilling: dict[Request, None] = {}
        self.num_decoding = 0
        self.num_outputs = 0
        self.num_sequences = 0
        self.iteration = 0
        self.context = 0
        self.allocated = False
        """Whether the coming iteration's decode blocks are already taken from the pool."""
        self.last_token_s = 0.0
        """When the decoding sequences last produced a token …"""
        self.joined_later: dict[float, int] = {}
        """… except for this many, which joined at that later time."""
        self._only_full = tuple(spans) == (FULL,)
        self._sums = [] if self._only_full else make_sums(spans)
        self._due: dict[int, list[Request]] = {}  # iteration -> sequences that are done then
        self._due_iterations: list[int] = []  # heap of the keys of _due

    # --- what a scheduler may do ------------------------------------------------------------

    def admit(self, req: Request, tokens: int, found: int = 0) -> bool:
        """Take ``req`` in with room for its first ``tokens`` tokens, and a seat for each of its sequences.

        Changes batch and pool, or neither.

        Args:
            found: What ``kv.find(req)`` has just said, to compute only what comes after it.
        """
        kv = self.kv
        if kv.num_sequences + req.width > self.max_num_seqs or not kv.admit(req, tokens, found):
            return False
        if kv.parked:
            kv.unpark(req)
        self.running[req] = None
        self.prefilling[req] = None
        return True

    def extend(self, req: Request, tokens: int) -> bool:
        """Give a prefilling ``req`` room for its first ``tokens`` tokens. Changes the pool, or not."""
        return self.kv.reserve(req, tokens)

    def allocate_decode(self) -> bool:
        """Take the coming decode iteration's blocks. Changes the pool, or returns False."""
        need = self.growth.need(self.iteration)
        if need > self.kv.free_blocks:
            return False
        self.kv.free_blocks -= need
        self.allocated = self.num_decoding > 0
        return True

    def newest(self) -> Request | None:
        """The sequence admitted last. Pure query."""
        return next(reversed(self.running), None)

    def preempt(self, req: Request) -> None:
        """Throw ``req`` out; what the pool does not put away, it will compute again. Changes batch and pool."""
        computed, is_whole = req.computed, req not in self.prefilling
        self._leave(req)
        kept = self.kv.put_away(req, req.input_tokens + req.generated - 1 if is_whole else computed)
        self._start_over(req)
        req.computed = max(req.computed, kept)
        req.preemptions += 1

    def pause(self, req: Request) -> None:
        """Throw ``req`` out, but not its KV: it goes on there when it is admitted again. Changes batch and pool.

        Its KV lacks its last token, which one token of prefill makes up for.
        """
        computed, is_whole = req.computed, req not in self.prefilling
        self._leave(req)
        self._start_over(req)
        req.computed = req.prefill_target - 1 if is_whole else computed
        self.kv.park(req)
        req.preemptions += 1

    def generated(self, req: Request) -> int:
        """Output tokens of ``req``, one of the running, by now. Pure query."""
        decoded = 0 if req in self.prefilling else self.iteration - req.join_iteration
        return req.generated + decoded

    # --- what the engine does ----------------------------------------------------------------

    def start_decoding(self, req: Request, now_s: float, context: int) -> None:
        """``req``'s prefill is done and a token out; it decodes from the next iteration on, if it is to.

        Args:
            req: A request with ``kv_tokens`` and ``generated`` up to date.
            now_s: When that token came out.
            context: Tokens it attends to, padding included.
        """
        if not self.num_decoding:
            self.last_token_s = now_s
            self.joined_later.clear()
        elif now_s != self.last_token_s:
            self.joined_later[now_s] = self.joined_later.get(now_s, 0) + 1
        req.last_token_s = req.joined_s = now_s
        req.lane = self.lane
        iteration = req.join_iteration = self.iteration
        req.join_context = context
        width = req.width
        self.num_outputs += 1
        self.num_decoding += width
        self.num_sequences += width
        self.context += width * context
        self.growth.join(req, iteration)
        for sums in self._sums:
            sums.join(req, iteration)
        left = req.stop_at - req.generated
        if not left:
            return
        due = iteration + left
        if due in self._due:
            self._due[due].append(req)
        else:
            self._due[due] = [req]
            heappush(self._due_iterations, due)

    def until_release(self) -> int:
        """Iterations until blocks come back: a request is done, or sequences of one are. Pure query."""
        due, returns = self._due_iterations, self.growth.next_return
        return (due[0] if due and due[0] < returns else returns) - self.iteration

    def kv_reads(self) -> tuple[Sequence[int], Sequence[int], int]:
        """KV tokens read by the next decode iteration per span, their growth, and for how long it holds."""
        if self._only_full:
            return (self.context + self.num_sequences,), (self.num_sequences,), FOREVER
        return (
            [sums.read for sums in self._sums],
            [sums.growth for sums in self._sums],
            min((sums.steady_for(self.iteration) for sums in self._sums), default=FOREVER),
        )

    def advance(self, count: int, now_s: float) -> list[Request]:
        """``count`` decode iterations are done at ``now_s``; returns the sequences that finished."""
        first = self.iteration + 1 if self.allocated else self.iteration
        self.iteration += count
        if first < self.iteration:
            self.kv.free_blocks -= self.growth.need_over(first, self.iteration - first)
        self.allocated = False
        if self.growth.next_return <= self.iteration:
            self.kv.take_back(self.growth.give_back(self.iteration))
        self.context += count * self.num_sequences
        for sums in self._sums:
            sums.advance(count, self.iteration)
        self.last_token_s = now_s
        if self.joined_later:
            self.joined_later.clear()
        if self._due_iterations and self._due_iterations[0] <= self.iteration:
            return self._due.pop(heappop(self._due_iterations))
        return []

    def remove(self, req: Request) -> None:
        """A finished decoding sequence goes, and its KV with it. Changes batch and pool."""
        self._stop_decoding(req)
        del self.running[req]
        self.kv.release(req)

    def retire(self, req: Request) -> None:
        """A finished sequence produces no more tokens but is still computed and holds its KV."""
        self.growth.leave(req, req.kv_tokens + self.iteration - req.join_iteration + self.allocated)
        self.num_outputs -= 1
        self.num_decoding -= req.width
        req.generated += self.iteration - req.join_iteration

    def drop_retired(self, req: Request) -> None:
        """A retired sequence goes, and its KV with it. Changes batch and pool."""
        self.num_sequences -= req.width
        self.context -= req.width * (req.join_context + self.iteration - req.join_iteration)
        for sums in self._sums:
            sums.leave(req, self.iteration)
        del self.running[req]
        self.kv.release(req)

    def evacuate(self) -> list[tuple[Request, int]]:
        """All sequences go, in order of admission, each with the tokens it had in the KV cache.

        A sequence whose last token was never delivered has to make it anew. Changes batch and pool.
        """
        gone = []
        for req in list(self.running):
            if req in self.prefilling:
                tokens = req.computed
                self._take_out(req)
            elif req.generated < req.stop_at:
                self._take_out(req)
                tokens = req.prefill_target - 1  # of the last token nothing is written yet
            else:
                self.drop_retired(req)
                req.generated -= 1
                req.end_stint()
                req.discarded_tokens += 1
                tokens = self._start_over(req)
            gone.append((req, tokens))
        return gone

    def write_progress(self) -> None:
        """Bring ``generated`` of every decoding sequence up to date."""
        for req in self.running:
            if req not in self.prefilling and req.generated < req.stop_at:
                req.generated += self.iteration - req.join_iteration
                req.join_iteration = self.iteration

    def _take_out(self, req: Request) -> None:
        """An unfinished sequence goes, and its KV with it; it waits to have prompt and generated tokens computed."""
        self._leave(req)
        self.kv.release(req)
        self._start_over(req)

    def _leave(self, req: Request) -> None:
        """An unfinished sequence is computed no longer."""
        if req in self.prefilling:
            del self.prefilling[req]
        else:
            self._stop_decoding(req)
            req.end_stint()
            self._forget_due(req)
            self.allocated = self.allocated and self.num_decoding > 0
        del self.running[req]

    @staticmethod
    def _start_over(req: Request) -> int:
        """``req`` waits, to have its prompt and what it generated computed again; returns how many tokens."""
        req.kv_tokens, req.computed = 0, req.given_tokens
        req.prefill_target = req.input_tokens + req.generated
        req.status = "waiting"
        return req.prefill_target

    def _stop_decoding(self, req: Request) -> None:
        decoded = self.iteration - req.join_iteration
        self.growth.leave(req, req.kv_tokens + decoded + self.allocated)
        width = req.width
        self.num_outputs -= 1
        self.num_decoding -= width
        self.num_sequences -= width
        self.context -= width * (req.join_context + decoded)
        for sums in self._sums:
            sums.leave(req, self.iteration)
        req.generated += decoded
        if decoded:
            req.last_token_s = self.last_token_s
        elif self.joined_later and req.last_token_s in self.joined_later:
            self.joined_later[req.last_token_s] -= 1

    def _forget_due(self, req: Request) -> None:
        """Unfile an unfinished sequence from its completion. Call after ``generated`` is up to date."""
        due = self.iteration + req.stop_at - req.generated
        self._due[due].remove(req)
        if not self._due[due]:
            del self._due[due]
            self._due_iterations.remove(due)
            self._due_iterations.sort()  # a sorted list is a heap
