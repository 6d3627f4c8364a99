"""Segment reuse: parts of prompts are computed once, wherever they stand in a prompt (Prompt Cache)."""

from __future__ import annotations

from collections import OrderedDict
from math import inf
from typing import Literal

from pydantic import Field, model_validator

from llmsim.engine.kv.paged import Paged
from llmsim.engine.pipe import Pipe
from llmsim.engine.request import Request
from llmsim.spec.base import Strict


class SegmentOptions(Strict):
    """Options of ``kv_cache: {kind: segment}``."""

    store: Literal["gpu", "host"] = Field(
        "gpu", description="where segments are kept: in a part of the KV pool, or in the memory of the host"
    )
    store_tokens: int | None = Field(
        None, ge=1, le=1 << 40,
        description="room for segments, the least recently used are forgotten first; of the KV pool with store gpu, "
        "where it is required; null is no limit", json_schema_extra={"unit": "tokens"},
    )  # fmt: skip

    @model_validator(mode="after")
    def _has_room(self) -> SegmentOptions:
        if self.store == "gpu" and self.store_tokens is None:
            raise ValueError("store gpu takes room from the KV pool: say how much with `store_tokens`")
        return self


class SegmentStore:
    """Segments that are kept, the least recently used first.

    Attributes:
        tokens: Their lengths, together.
    """

    def __init__(self, room: float) -> None:
        self.room = room
        self.tokens = 0
        self._kept: OrderedDict[int, int] = OrderedDict()  # name -> tokens

    def __contains__(self, name: int) -> bool:
        return name in self._kept

    def use(self, name: int, tokens: int) -> None:
        """``name`` is used: it is kept from now on, unless it is larger than all the room."""
        if tokens > self.room:
            return
        if name not in self._kept:
            self._kept[name] = tokens
            self.tokens += tokens
        self._kept.move_to_end(name)
        while self.tokens > self.room:
            self.tokens -= self._kept.popitem(last=False)[1]


class SegmentReuse(Paged):
    """``paged`` that computes a segment once and copies its KV into each prompt that has it.

    - A request names the segments of its prompt (`workload.segments`, or the column ``segments`` of a JSONL trace).
      What the store has of them is not computed; the rest of the prompt is, and attends to all of it as if segments
      stood first: at most that, as text before a segment does not attend to it.
    - A request holds its own copy of every segment, and the copies are made before its first iteration: within the
      GPU at half its bandwidth, as they are read and written, or over the link to the host, one after another.
    - A segment is kept from when one that has it is scheduled, as with prefixes; writing it to the store takes no time.

    That segments do not attend to each other changes what the model answers; it is not simulated.

    Source: Gim et al. 2024, arXiv 2311.04934 (Prompt Cache), §3 and §4.
    """

    Options = SegmentOptions

    def __init__(
        self, num_tokens: int, block_size: int, max_model_len: int, options: SegmentOptions | None = None
    ) -> None:
        options = options or SegmentOptions(store="host")
        taken = (options.store_tokens or 0) if options.store == "gpu" else 0
        super().__init__(max(0, num_tokens - taken), block_size, max_model_len, options)
        self.store_in = options.store
        self.store = SegmentStore(inf if options.store_tokens is None else options.store_tokens)
        self.way = Pipe(inf)
        """Carries what is copied into prompts, counted in tokens."""
        self._to_copy = 0

    def find(self, req: Request) -> int:
        """See :class:`KVCache`. A request that goes on with KV of its own has its segments in that."""
        had = super().find(req)
        if req.blocks or had:
            return had
        found = sum(tokens for name, tokens in req.segments if name in self.store)
        return min(found, req.prefill_target - 1)

    def admit(self, req: Request, tokens: int, found: int = 0) -> bool:
        """See :class:`KVCache`."""
        had = req.blocks or super().find(req)
        if not super().admit(req, tokens, found):
            return False
        if not had:
            self._to_copy += found
            req.computed = found
            if req.scheduled_s != req.scheduled_s:  # nan: its first time
                req.cached_tokens = found
        for name, size in req.segments:
            self.store.use(name, size)
        return True

    def ready_s(self, now_s: float) -> float:
        """See :class:`KVCache`."""
        ready_s = super().ready_s(now_s)
        if self._to_copy:
            ready_s = max(ready_s, self.way.send(self._to_copy, now_s))
            self._to_copy = 0
        return ready_s
