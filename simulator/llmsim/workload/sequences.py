"""Parallel sampling: several completions of one prompt."""

from __future__ import annotations

from collections.abc import Iterator
from copy import copy

from llmsim.engine.request import Request


def sequences(requests: Iterator[Request], n: int) -> Iterator[Request]:
    """``n`` sequences for each request: its prompt, one after another at the same time.

    A prompt without hashes gets one of its own for all of it, so that a prefix cache knows it again. As vLLM V1
    (``ParentRequest``): each is scheduled by itself, those that come in behind the first find its full blocks, and
    compute the rest of the prompt, at most a block, in a block of their own. vLLM of 2023 copied that block on write.
    """
    for req in requests:
        if not req.hash_ids:
            req.hash_ids, req.hash_tokens = (-1 - req.id,), req.input_tokens
        for place in range(n):
            sequence = copy(req)
            sequence.id = req.id * n + place
            sequence.group = req.id
            yield sequence
