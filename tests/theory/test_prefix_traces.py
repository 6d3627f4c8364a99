"""What published traces share: the hit rates of a cache that never forgets, by counting and by the KV cache itself."""

from __future__ import annotations

import pytest
from mooncake import RATES, hit_rate, path_of

from llmsim.engine.kv.prefix import PrefixCached
from llmsim.files.traces import read_trace, trace_info


@pytest.mark.parametrize(("name", "rate"), RATES)
def test_a_cache_that_never_forgets(name: str, rate: float) -> None:
    """Counted from the hashes: exact to four digits."""
    assert round(trace_info(path_of(name)).prefix_hit_rate or 0, 4) == rate


@pytest.mark.parametrize(("name", "rate"), RATES)
def test_kv_blocks_find_what_the_trace_shares(name: str, rate: float) -> None:
    """The same from the KV cache, one request after another: blocks of 16 tokens lose nothing to four digits.

    A pool of two million tokens hits less, and holds no more than there is.
    """
    tokens = int(read_trace(path_of(name)).input_tokens.sum())
    for pool, holds_all in ((tokens + 10**6, True), (2 * 10**6, False)):
        kv = PrefixCached(pool, 16, 10**6)
        rate_here = hit_rate(name, kv)
        assert (round(rate_here, 4) == rate) if holds_all else (0 < rate_here < rate)
        assert kv.free_blocks == kv.num_blocks
