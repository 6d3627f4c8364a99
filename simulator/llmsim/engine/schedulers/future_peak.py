"""The most tokens that sequences will hold at once, if each grows to the length it is taken to have."""

from __future__ import annotations

from array import array
from bisect import bisect_left

import numpy as np

from llmsim.engine.request import Request


class FuturePeak:
    """Sequences of one batch, each of which gains a token per decode iteration until its expected end.

    A sequence that holds c tokens now and r more at its end holds ``(c - now) + t`` at iteration t ≤ now + r:
    neither c - now nor now + r changes while it decodes, so nothing has to be brought up to date. The
    total is largest when one of them ends; with the ends in falling order e_1 ≥ e_2 ≥ … it is
    max over i of Σ_{j ≤ i} (c_j - now) + i·e_i. One that has outlived its end counts as ending now.

    Source: LightLLM's Efficient Router, docs "Router"; ``ReqQueue._can_add_new_req``.
    """

    def __init__(self) -> None:
        self._ends = array("q")  # minus the ends, so that they rise
        self._starts = array("q")  # tokens held, less the iteration, in the same order
        self._entries: dict[Request, tuple[int, int]] = {}

    def add(self, req: Request, held: int, more: int, now: int) -> None:
        """``req`` holds ``held`` tokens in iteration ``now`` and is taken to gain ``more``."""
        end, start = -(now + more), held - now
        place = bisect_left(self._ends, end)
        self._ends.insert(place, end)
        self._starts.insert(place, start)
        self._entries[req] = (end, start)

    def remove(self, req: Request) -> None:
        """``req`` is gone."""
        end, start = self._entries.pop(req)
        place = self._starts.index(start, bisect_left(self._ends, end))  # one that ends then is like another
        del self._ends[place], self._starts[place]

    def tokens(self, now: int) -> int:
        """The peak, as seen in iteration ``now``; as seen in iteration 0 nobody is overdue. Pure query."""
        count = len(self._ends)
        if not count:
            return 0
        ends = np.maximum(-np.frombuffer(self._ends, dtype=np.int64), now)
        held = np.cumsum(np.frombuffer(self._starts, dtype=np.int64))
        return int((held + ends * np.arange(1, count + 1)).max())
