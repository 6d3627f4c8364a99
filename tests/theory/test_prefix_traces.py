"""What published traces share: the hit rates of a cache that never forgets, by counting and by the KV cache itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from llmsim.engine.kv.prefix import PrefixCached
from llmsim.engine.request import Request
from llmsim.files.traces import read_trace, trace_info

TRACES = Path(__file__).parents[3] / "shared" / "data" / "traces"
RATES = [("mooncake_conversation_trace.jsonl", 0.3736), ("mooncake_synthetic_trace.jsonl", 0.6512)]
"""Token hit rates of an infinite cache, published with the traces (Mooncake, FAST'25)."""


def path_of(name: str) -> Path:
    """The trace, where there is one."""
    if not (TRACES / name).exists():
        pytest.skip(f"{TRACES / name} is not here")
    return TRACES / name


@pytest.mark.parametrize(("name", "rate"), RATES)
def test_a_cache_that_never_forgets(name: str, rate: float) -> None:
    """Counted from the hashes: exact to four digits."""
    assert round(trace_info(path_of(name)).prefix_hit_rate or 0, 4) == rate


@pytest.mark.parametrize(("name", "rate"), RATES)
def test_kv_blocks_find_what_the_trace_shares(name: str, rate: float) -> None:
    """The same from the KV cache, one request after another: blocks of 16 tokens lose nothing to four digits.

    A pool of two million tokens hits less, and holds no more than there is.
    """
    trace = read_trace(path_of(name))
    tokens = int(trace.input_tokens.sum())
    for pool, holds_all in ((tokens + 10**6, True), (2 * 10**6, False)):
        kv, hits = PrefixCached(pool, 16, 10**6), 0
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
        assert (round(hits / tokens, 4) == rate) if holds_all else (0 < hits / tokens < rate)
        assert kv.free_blocks == kv.num_blocks
