"""Blocks that a batch's decoding sequences ask for and give back, counted and not walked."""

from __future__ import annotations

from collections.abc import MutableMapping

from llmsim.engine.calendar import Calendar
from llmsim.engine.kv.base import Growth
from llmsim.engine.kv.family import Family
from llmsim.engine.request import Request
from llmsim.spec.attention import FOREVER

Families = MutableMapping[Request, Family]
"""The requests of several sequences that have begun to decode, until they give their KV back."""


class BlockGrowth(Growth):
    """Block needs counted by residue, so that an iteration costs one look-up, not a walk.

    A sequence that joins at iteration j with c tokens writes token c + i - j in iteration i, and
    needs a block when that is a multiple of the block size: when i ≡ j - c (mod block size).

    The sequences of a request begin with one block table. Where its last block is not full, all but one of them copy
    it in their first iteration. What comes back while they go on is filed under the iteration after which it does.
    """

    def __init__(self, block_size: int, families: Families) -> None:
        self.block_size = block_size
        self.families = families
        self.sequences = 0
        self.due = [0] * block_size  # (block_size,): sequences by the residue of their next need
        self.copies = 0  # blocks to be copied in iteration copies_at
        self.copies_at = -1
        self._returns = Calendar()

    def join(self, req: Request, iteration: int) -> None:
        """See :class:`Growth`. A request that reserved more than it holds never asks again."""
        size, width = self.block_size, req.width
        if req.blocks * size - req.kv_tokens < size or req in self.families:
            self.due[(iteration - req.kv_tokens) % size] += width
            self.sequences += width
            if width > 1:
                self._join_family(req, iteration)

    def _join_family(self, req: Request, iteration: int) -> None:
        family = self.families.get(req)
        if family is None:
            family = self.families[req] = Family(req.width, req.kv_tokens, self.block_size, seed=req.id)
            if self.copies_at != iteration:
                self.copies_at, self.copies = iteration, 0
            self.copies += family.copies
        self._file(req, iteration + max(1, family.next_tokens - req.kv_tokens))

    def leave(self, req: Request, tokens: int) -> None:
        """See :class:`Growth`. ``req.blocks`` becomes what it holds by now."""
        size, width = self.block_size, req.width
        if width > 1:
            family = self.families.get(req)
            if family is None:
                return
            self._returns.discard(req)
            self.next_return = self._returns.next if self._returns else FOREVER
            if req.join_iteration == self.copies_at and req.kv_tokens == family.start:
                self.copies -= family.copies
            req.blocks = family.blocks(tokens)
        elif req.blocks * size - req.kv_tokens < size:
            req.blocks = -(-tokens // size)
        else:
            return
        self.due[(req.join_iteration - req.kv_tokens) % size] -= width
        self.sequences -= width

    def give_back(self, iteration: int) -> int:
        """See :class:`Growth`."""
        blocks = 0
        for req in self._returns.due(iteration):
            family = self.families[req]
            written = family.next_tokens
            blocks += family.give_back()
            self._file(req, iteration + family.next_tokens - written)
        self.next_return = self._returns.next if self._returns else FOREVER
        return blocks

    def _file(self, req: Request, iteration: int) -> None:
        self._returns.put(req, iteration)
        self.next_return = self._returns.next

    def need(self, iteration: int) -> int:
        """See :class:`Growth`."""
        need = self.due[iteration % self.block_size]
        return need + self.copies if iteration == self.copies_at else need

    def need_over(self, iteration: int, count: int) -> int:
        """See :class:`Growth`. Every sequence asks once per ``block_size`` iterations."""
        size = self.block_size
        copies = self.copies if iteration <= self.copies_at < iteration + count else 0
        if count == 1:
            return copies + self.due[iteration % size]
        rounds, rest = divmod(count, size)
        start = iteration % size
        stop = start + rest
        partial = (
            sum(self.due[start:stop])
            if stop <= size
            else sum(self.due[start:]) + sum(self.due[: stop - size])
        )
        return copies + rounds * self.sequences + partial

    def room(self, iteration: int, free_blocks: int) -> int:
        """See :class:`Growth`."""
        if not self.sequences:
            return super().room(iteration, free_blocks)
        if iteration <= self.copies_at:
            free_blocks -= self.copies
        if free_blocks < 0:
            return 0
        rounds, left = divmod(free_blocks, self.sequences)
        count = rounds * self.block_size
        while (need := self.due[(iteration + count) % self.block_size]) <= left:
            left -= need
            count += 1
        return count
