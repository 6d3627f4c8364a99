"""The beams of one request as a family tree, and the blocks that they hold: a closed form, without any block table."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from math import log
from random import Random

MOVES = 0.1
"""How often a beam goes on from another one, which may be any: an assumption that fits the 37.6% of blocks which
arXiv 2309.06180, Fig. 15, has for two beams; neither the paper nor its traces say anything of it."""


class Family:
    """The sequences of one request, of which some die when others fork.

    Sequences that stand in the order of their family tree share with their neighbours what they have in common with
    anybody. With ``common`` the tokens that neighbours have in common, sequences of c tokens in blocks of S hold
    width·⌈c/S⌉ - Σ ⌊common/S⌋ blocks: what is common lies in full blocks that are shared, and everybody writes to a
    block of their own. A fork takes over the last block of the sequence that dies for it.

    Attributes:
        start: Tokens that all began with.
        copies: Blocks copied when they first write.
        next_tokens: Tokens of each when blocks next come back.
    """

    def __init__(self, width: int, tokens: int, block_size: int, seed: int = 0, moves: float = MOVES) -> None:
        self.width = width
        self.start = self.next_tokens = tokens
        self.block_size = block_size
        self.copies = width - 1 if tokens % block_size else 0
        self.common = [tokens] * (width - 1)
        self._shared = self._next_shared = (width - 1) * (tokens // block_size)
        self._random = Random(seed)
        self._rate = log(1 - moves)
        self._clock = -1  # beams since the start, step after step, up to the last that moved
        self._moved, self._parent = self._next_move()
        self.give_back()

    def blocks(self, tokens: int) -> int:
        """Blocks held when each has ``tokens`` tokens, none before ``start`` nor after ``next_tokens``. Pure query."""
        if tokens == self.start:
            return -(-tokens // self.block_size)
        return self.width * -(-tokens // self.block_size) - self._shared

    def become(self, parents: Sequence[int], tokens: int) -> None:
        """Each sequence of ``tokens`` tokens from now on: a fork of one of ``parents``. Who is no parent is gone."""
        common = self.common
        self.common = [
            tokens if one == other else min(common[one:other]) for one, other in pairwise(sorted(parents))
        ]

    def give_back(self) -> int:
        """``next_tokens`` are written: how many blocks come back. It moves on to the next time that some do."""
        given = self._next_shared - self._shared
        self._shared = self._next_shared
        while self._next_shared == self._shared:
            self._step()
            self._next_shared = sum(tokens // self.block_size for tokens in self.common)
        return given

    def _step(self) -> None:
        """The next iteration in which somebody moves."""
        width, step = self.width, self._moved // self.width
        parents = list(range(width))
        while self._moved // width == step:
            parents[self._moved % width] = self._parent
            self._moved, self._parent = self._next_move()
        self.next_tokens = self.start + 1 + step
        self.become(parents, self.next_tokens)

    def _next_move(self) -> tuple[int, int]:
        """Which beam moves next, counted over all steps, and to whose place."""
        draw = self._random.random
        self._clock += 1 + int(log(1 - draw()) / self._rate)
        return self._clock, int(draw() * self.width)
