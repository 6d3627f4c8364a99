"""Which hash blocks a run of a request's KV blocks belongs to."""

from __future__ import annotations

from collections.abc import Hashable, Iterator

from llmsim.engine.kv.chains import named_tokens
from llmsim.engine.request import Request


def shares_of(req: Request, start: int, stop: int, size: int) -> Iterator[tuple[Hashable, int, int]]:
    """(hash block, first, last) of each hash block that has some of ``req``'s KV blocks from ``start`` to ``stop``.

    First and last count from the hash block's own start, the last one left out. What no hash names goes by ``req``.

    Args:
        size: Tokens in a KV block.
    """
    unit, ids, limit = req.hash_tokens, req.hash_ids, named_tokens(req)
    named = limit // size
    at = -(-(start + 1) * size // unit) - 1  # the hash block that the last token of KV block `start` is in
    while start < min(stop, named):
        begin, end = at * unit // size, min((at + 1) * unit, limit) // size
        if end > start:
            yield ids[at], start - begin, min(end, stop) - begin
            start = end
        at += 1
    if stop > max(start, named):
        yield req, max(start, named) - named, stop - named
