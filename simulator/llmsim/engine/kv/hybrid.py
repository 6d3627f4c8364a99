"""Hybrid KV: layers that keep all tokens, the last of them, or a state, in one pool of equal blocks."""

from __future__ import annotations

from heapq import heappop, heappush

from llmsim.cost.kv_layout import KVGroups, KVLayout
from llmsim.engine.kv.base import Growth, KVCache
from llmsim.engine.request import Request
from llmsim.spec.base import Strict


class GroupGrowth:
    """Block needs of groups that keep alike: by residue, as in ``paged``, until a sequence's window is full.

    From then on it gives a block back for each that it takes. Its last need is written down by the iteration in which
    it falls due, from which its residue follows.
    """

    def __init__(self, groups: KVGroups) -> None:
        self.groups = groups
        self.size = groups.block_tokens
        self.most = groups.most_blocks(1)
        self.growing = 0  # sequences
        self.due = [0] * self.size  # (block_tokens,): growing sequences by the residue of their next need
        self.last: dict[int, int] = {}  # iteration of a last need -> sequences
        self._lasts: list[int] = []  # heap of the keys of `last`, and of some that are gone

    def last_need(self, tokens: int, iteration: int) -> int:
        """When one that holds ``tokens`` in ``iteration`` takes the last block it ever needs. Pure query."""
        return iteration + (self.most - 1) * self.size - tokens

    def join(self, tokens: int, iteration: int, width: int) -> None:
        """``width`` sequences that hold ``tokens`` each grow from ``iteration`` on."""
        if self.groups.window:
            last = self.last_need(tokens, iteration)
            if last < iteration:
                return
            if last not in self.last:
                heappush(self._lasts, last)
            self.last[last] = self.last.get(last, 0) + width
        self.due[(iteration - tokens) % self.size] += width
        self.growing += width

    def leave(self, tokens: int, iteration: int, width: int) -> None:
        """Those ``width`` that came with these ``tokens`` in that ``iteration`` grow no longer."""
        if self.groups.window:
            last = self.last_need(tokens, iteration)
            if last < iteration or last not in self.last:  # it has stopped growing by itself
                return
            self.last[last] -= width
            if not self.last[last]:
                del self.last[last]
        self.due[(iteration - tokens) % self.size] -= width
        self.growing -= width

    def forget(self, iteration: int) -> None:
        """Nothing before ``iteration`` is asked for any more."""
        while self._lasts and self._lasts[0] < iteration:
            last = heappop(self._lasts)
            if count := self.last.pop(last, 0):
                self.due[last % self.size] -= count
                self.growing -= count

    def need_over(self, iteration: int, count: int) -> int:
        """Blocks that ``count`` iterations from ``iteration`` on ask for, over all groups. Pure query."""
        size, stop = self.size, iteration + count
        rounds, rest = divmod(count, size)
        start = iteration % size
        end = start + rest
        wrapped = self.due[start:end] if end <= size else self.due[start:] + self.due[: end - size]
        total = rounds * self.growing + sum(wrapped)
        if self._lasts and self._lasts[0] + size < stop:  # some would have gone on beyond their last need
            for last, sequences in self.last.items():
                total -= sequences * max(0, (stop - 1 - last) // size)
        return total * self.groups.count


class HybridGrowth(Growth):
    """The growth of all groups. What a finished prompt no longer needs goes back to the pool."""

    def __init__(self, kv: Hybrid) -> None:
        self.kv = kv
        self.parts = [GroupGrowth(groups) for groups in kv.layout.groups if groups.block_tokens]

    def join(self, req: Request, iteration: int) -> None:
        """See :class:`Growth`. A request that reserved more than it holds never asks again."""
        kv, tokens = self.kv, req.kv_tokens
        if not kv.is_ahead(req):
            kv.room[req] = tokens
            for part in self.parts:
                part.join(tokens, iteration, req.width)
        held = req.width * kv.layout.blocks(kv.room[req])
        kv.free_blocks += req.blocks - held
        req.blocks = held

    def leave(self, req: Request, tokens: int) -> None:
        """See :class:`Growth`. ``req.blocks`` becomes what it holds by now."""
        kv = self.kv
        if not kv.is_ahead(req):
            for part in self.parts:
                part.leave(req.kv_tokens, req.join_iteration, req.width)
            req.blocks = req.width * kv.layout.blocks(tokens)

    def need(self, iteration: int) -> int:
        """See :class:`Growth`."""
        total = 0
        for part in self.parts:
            part.forget(iteration)
            total += part.due[iteration % part.size] * part.groups.count
        return total

    def need_over(self, iteration: int, count: int) -> int:
        """See :class:`Growth`."""
        total = 0
        for part in self.parts:
            part.forget(iteration)
            total += part.need_over(iteration, count)
        return total

    def room(self, iteration: int, free_blocks: int) -> int:
        """See :class:`Growth`."""
        low, high = 0, 1
        while self.need_over(iteration, high) <= free_blocks:
            if high >= super().room(iteration, free_blocks):
                return high
            low, high = high, 2 * high
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if self.need_over(iteration, middle) <= free_blocks else (low, middle)
        return low


class Hybrid(KVCache):
    """``paged`` for a model whose layers keep different amounts, by the rules of vLLM's hybrid KV cache manager.

    The sequences of a request hold nothing in common: vLLM has beams of its own no longer, now that it has this.

    A sequence takes blocks for each group of layers: of all its tokens where the layers keep all; of the window, and
    of what one iteration computes of its prompt, where they keep the last tokens; one where they keep a state.

    Args:
        layout: The groups.
        num_blocks: Size of the pool; None is what holds ``num_tokens`` if no layer forgets anything.

    Attributes:
        room: Request to how many tokens it has room for, as if no layer forgot anything.
    """

    def __init__(
        self,
        num_tokens: int,
        block_size: int,
        max_model_len: int,
        options: Strict | None = None,
        *,
        layout: KVLayout,
        num_blocks: int | None = None,
    ) -> None:
        super().__init__(num_tokens, layout.block_tokens, max_model_len, options)
        if num_blocks is None:
            num_blocks = self.num_blocks * layout.num_groups
        self.num_blocks = self.free_blocks = num_blocks
        self.num_tokens = num_blocks // layout.num_groups * self.block_size
        self.layout = layout
        self.room: dict[Request, int] = {}
        self.surely_fits = layout.longest(num_blocks)

    def blocks_of(self, tokens: int) -> int:
        """See :class:`KVCache`."""
        return self.layout.blocks(tokens, tokens)

    def is_ahead(self, req: Request) -> bool:
        """Whether ``req``, one that decodes, reserved more than it held when it began to. Pure query."""
        size = self.block_size
        return -(-self.room[req] // size) * size - req.kv_tokens >= size

    def fits(self, req: Request) -> bool:
        """See :class:`KVCache`. The last token is never written: nobody attends to it."""
        if req.width == 1:
            return req.input_tokens + req.stop_at - 1 <= self.surely_fits
        return req.width * self.blocks_of(req.input_tokens + req.stop_at - 1) <= self.num_blocks

    def reserve(self, req: Request, tokens: int) -> bool:
        """See :class:`KVCache`."""
        wanted = req.width * self.layout.blocks(tokens, max(1, tokens - req.computed))
        more = wanted - req.blocks
        if more > self.free_blocks:
            return False
        if not req.blocks:
            self.num_sequences += req.width
        self.free_blocks -= more
        req.blocks = wanted
        self.room[req] = tokens
        return True

    def release(self, req: Request) -> None:
        """See :class:`KVCache`."""
        self.free_blocks += req.blocks
        self.num_sequences -= req.width
        req.blocks = 0
        del self.room[req]

    def worth_tokens(self, req: Request, written: int) -> int:
        """See :class:`KVCache`. A block is that of one group: all groups together have one of every layer."""
        return min(written, req.blocks * self.block_size // self.layout.num_groups)

    def new_growth(self) -> Growth:
        """See :class:`KVCache`."""
        return HybridGrowth(self)
