"""What policies are tried on, and what is compared of two runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from llmsim.engine.knowledge import Knowledge
from llmsim.engine.kv.base import KVCache
from llmsim.engine.preemption.blocks import Blocks
from llmsim.engine.preemption.host import HostMemory
from llmsim.engine.preemption.recompute import Recompute
from llmsim.engine.preemption.swap import Swap, SwapOptions
from llmsim.engine.request import Request
from llmsim.engine.scheduler import Limits, Scheduler
from llmsim.measure.records import RunRecord
from llmsim.spec.base import Strict

PREEMPTION_MODES: tuple[Callable[[], Recompute], ...] = (
    partial(Swap, HostMemory(bytes_per_token=1e5, bytes_per_s=2e10)),
    partial(Swap, HostMemory(bytes_per_token=1e6, bytes_per_s=1e10), SwapOptions(swap_space=0.7)),
    Blocks,
)
"""Beside recompute, which is every pool's own: a host with room for all, one with room for 751 tokens, and none."""

RELATIVE = 1e-9
"""Times from fast-forward and from stepping agree this closely."""


CLASSES = ("chat", "code", "batch")
"""Of the requests that policies are tried on."""


def poisson_requests(
    seed: int, count: int = 80, rate_per_s: float = 8.0, max_input: int = 600, max_output: int = 200
) -> list[Request]:
    """``count`` requests with Poisson arrivals and uniform lengths, of three classes and five sessions."""
    rng = np.random.default_rng(seed)
    arrivals = np.cumsum(rng.exponential(1 / rate_per_s, count)).tolist()
    inputs = rng.integers(1, max_input + 1, count).tolist()
    outputs = rng.integers(1, max_output + 1, count).tolist()
    requests = [Request(i, arrivals[i], inputs[i], outputs[i], CLASSES[i % 3]) for i in range(count)]
    for req in requests:
        req.session_id = str(req.id % 5)
    return requests


def share_prefixes(requests: Sequence[Request], hash_tokens: int = 24, families: int = 3) -> None:
    """Give ``requests`` hashed prompts: those of a family begin alike, and part after 0 to 7 hash blocks."""
    for req in requests:
        req.hash_tokens = hash_tokens
        whole, family, alike = req.input_tokens // hash_tokens, req.id % families, req.id * 5 % 8
        own = 1_000_000 + 10_000 * req.id
        req.hash_ids = tuple(
            100 * family + block if block < min(alike, whole) else own + block
            for block in range(-(-req.input_tokens // hash_tokens))
        )


def widen(requests: Sequence[Request], most: int = 4) -> None:
    """Let ``requests`` run as 1 to ``most`` sequences each."""
    for req in requests:
        req.width = 1 + req.id % most


def outcome(record: RunRecord) -> list[tuple[Any, ...]]:
    """What became of each request: bucket, preemptions, replica, and its times."""
    return [
        (r.id, r.status, r.preemptions, r.replica, r.scheduled_s, r.first_token_s, r.finish_s)
        for r in record.requests
    ]


def require_same(left: Sequence[tuple[Any, ...]], right: Sequence[tuple[Any, ...]], rule: str) -> None:
    """Raise AssertionError unless two outcomes agree: decisions exactly, times within ``RELATIVE``."""
    for a, b in zip(left, right, strict=True):
        same = a[:4] == b[:4] and np.allclose(a[4:], b[4:], rtol=RELATIVE, atol=0, equal_nan=True)
        if not same:
            raise AssertionError(f"{rule}: request {a[0]} differs: {a} and {b}")


def preempting(
    kv_cache: Callable[[int, int, int], KVCache], mode: Callable[[], Recompute]
) -> Callable[[int, int, int], KVCache]:
    """A maker of ``kv_cache`` in this preemption ``mode``."""

    def make(num_tokens: int, block_size: int, max_model_len: int) -> KVCache:
        made = kv_cache(num_tokens, block_size, max_model_len)
        made.preemption = mode()
        return made

    return make


def informed(
    scheduler: type[Scheduler], knows: Knowledge, options: Strict | None = None
) -> Callable[[Limits, KVCache], Scheduler]:
    """A maker of ``scheduler`` with ``options`` that is told ``knows``: what a contract tries, where that matters."""

    def make(limits: Limits, kv: KVCache) -> Scheduler:
        made = scheduler(limits, kv, options)
        made.knows = knows
        return made

    return staticmethod(make)
