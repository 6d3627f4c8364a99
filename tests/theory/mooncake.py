"""Mooncake's traces, and what a pool finds in them."""

from __future__ import annotations

from pathlib import Path

import pytest

from llmsim.engine.kv.prefix import PrefixCached
from llmsim.engine.request import Request
from llmsim.files.traces import read_trace

TRACES = Path(__file__).parents[3] / "shared" / "data" / "traces"
RATES = [("mooncake_conversation_trace.jsonl", 0.3736), ("mooncake_synthetic_trace.jsonl", 0.6512)]
"""Token hit rates of an infinite cache, published with the traces (Mooncake, FAST'25)."""


def path_of(name: str) -> Path:
    """The trace, where there is one."""
    if not (TRACES / name).exists():
        pytest.skip(f"{TRACES / name} is not here")
    return TRACES / name


def hit_rate(name: str, kv: PrefixCached) -> float:
    """Share of prompt tokens that ``kv`` finds, one request after another."""
    trace, hits = read_trace(path_of(name)), 0
    for number, (prompt, ids) in enumerate(
        zip(trace.input_tokens.tolist(), trace.labels["hash_ids"], strict=True)
    ):
        req = Request(number, 0.0, prompt, 1)
        req.hash_ids = ids
        found = kv.find(req)
        assert kv.admit(req, prompt, found)
        req.computed = prompt
        hits += found
        kv.release(req)
    return hits / int(trace.input_tokens.sum())
