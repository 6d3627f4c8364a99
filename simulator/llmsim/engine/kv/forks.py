"""Sequences of one request that share KV blocks and copy on write: parallel sampling and beam search.

Source: Kwon et al. 2023, arXiv 2309.06180, §4.4; vLLM of 2023, ``BlockSpaceManager.fork`` and ``append_slot``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np


class ForkedTables:
    """Block tables of the sequences of one request.

    Attributes:
        tables: Each sequence's blocks, in order.
        holders: Block to how many tables it is in.
        copies: Blocks copied on write so far.
    """

    def __init__(self, block_size: int, prompt_tokens: int) -> None:
        self.block_size = block_size
        self.tables: list[list[int]] = [list(range(-(-prompt_tokens // block_size)))]
        self.tokens = prompt_tokens
        self.holders = Counter(self.tables[0])
        self.copies = 0
        self._next = len(self.tables[0])

    @property
    def num_blocks(self) -> int:
        """Blocks that some sequence holds. Pure query."""
        return len(self.holders)

    def become(self, parents: Sequence[int]) -> None:
        """The sequences from now on: one for each of ``parents``, a fork of it. Who is no parent is gone."""
        tables = [list(self.tables[parent]) for parent in parents]
        self.tables, self.holders = tables, Counter(block for table in tables for block in table)

    def append(self) -> None:
        """Every sequence writes a token: into a new block, its own, or a copy of one that others hold too."""
        is_full = self.tokens % self.block_size == 0
        for table in self.tables:
            if is_full:
                table.append(self._new())
            elif self.holders[table[-1]] > 1:
                self.holders[table[-1]] -= 1
                table[-1] = self._new()
                self.copies += 1
        self.tokens += 1

    def _new(self) -> int:
        self._next += 1
        self.holders[self._next] = 1
        return self._next


def share_saved(
    lengths: Sequence[tuple[int, int]], width: int, block_size: int, *, moves: float | None, seed: int = 0
) -> float:
    """Share of blocks that sharing saves, over all requests and iterations: saved blocks by blocks without sharing.

    Args:
        lengths: (prompt, output) tokens of each request.
        width: Sequences of a request.
        moves: Probability that a beam of the next iteration goes on from a beam drawn from all, each as likely, and
            not from the one in its place; None is parallel sampling, where nobody dies.
    """
    rng = np.random.default_rng(seed)
    apart = used = 0
    for prompt, output in lengths:
        tables = ForkedTables(block_size, prompt)
        tables.become([0] * width)
        for _ in range(output):
            if moves is not None:
                drawn = rng.integers(0, width, width)
                tables.become(np.where(rng.random(width) < moves, drawn, np.arange(width)).tolist())
            tables.append()
            used += tables.num_blocks
            apart += sum(map(len, tables.tables))
    return 1 - used / apart
