"""What published traces find in host memory: all there is without a limit, at most half of it in one machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from llmsim.engine.kv.store import Store
from llmsim.engine.kv.tiered import Tiered
from llmsim.engine.kv.tiers import Tier, Tiers
from llmsim.engine.pipe import Pipe
from llmsim.engine.request import Request
from llmsim.files.traces import read_trace

TRACES = Path(__file__).parents[3] / "shared" / "data" / "traces"
RATES = [("mooncake_conversation_trace.jsonl", 0.3736), ("mooncake_synthetic_trace.jsonl", 0.6512)]
"""Token hit rates of an infinite cache, published with the traces (Mooncake, FAST'25)."""

A_TERABYTE = 10**12 // (80 * 8 * 128 * 2 * 2)
"""Tokens of LLaMA3-70B's KV: 80 layers, 8 heads of 128, keys and values of 2 bytes."""


def hit_rate(name: str, host_tokens: int) -> float:
    """One request after another on a pool that holds the longest prompt, and host memory for so many tokens."""
    if not (TRACES / name).exists():
        pytest.skip(f"{TRACES / name} is not here")
    trace, hits = read_trace(TRACES / name), 0
    kv = Tiered(200_000, 16, 10**6)
    host = Tier("host", Store(host_tokens // 16), Pipe(1e12), Pipe(1e12), is_host=True)
    kv.attach(Tiers([host], 16, 1.0))
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
    assert host.store.used <= host.store.capacity
    return hits / int(trace.input_tokens.sum())


@pytest.mark.parametrize(("name", "rate"), RATES)
def test_a_host_that_never_forgets(name: str, rate: float) -> None:
    """Exact to four digits, through a pool of 200,000 tokens that forgets nearly everything."""
    assert round(hit_rate(name, 10**10), 4) == rate


@pytest.mark.parametrize(("name", "rate"), RATES)
def test_one_machine_finds_about_half_at_most(name: str, rate: float) -> None:
    """FAST'25: the memory of one machine supports up to 50% of the theoretical hit rate (1 TB, LLaMA3-70B).

    Here 40% on the conversation trace and 51% on the synthetic one, of which the pool above has its part.
    """
    assert 0.3 < hit_rate(name, A_TERABYTE) / rate < 0.52
