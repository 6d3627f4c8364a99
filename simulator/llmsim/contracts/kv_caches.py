"""What every KV cache promises."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

from llmsim.contracts.schedulers import SchedulerContract
from llmsim.contracts.trials import poisson_requests
from llmsim.engine.kv.base import KVCache
from llmsim.engine.request import Request
from llmsim.engine.scheduler import Limits, Scheduler
from llmsim.engine.schedulers.chunked_prefill import ChunkedPrefill


class KVCacheContract(SchedulerContract):
    """What every KV cache promises: the scheduler's rules with this cache under chunked prefill, and its own.

    Attributes:
        kv_cache: The class under test, or a function of (num_tokens, block_size, max_model_len).
    """

    scheduler: ClassVar[Callable[[Limits, KVCache], Scheduler]] = ChunkedPrefill
    kv_cache: ClassVar[Callable[[int, int, int], KVCache]]

    def caches(self) -> Sequence[Callable[[int, int, int], KVCache]]:
        """The one cache under test."""
        return (type(self).kv_cache,)

    def test_reserve_and_release_balance(self) -> None:
        """L2: what is given is what comes back; a failed reservation takes nothing."""
        kv = type(self).kv_cache(4096, 16, 900)
        held: list[Request] = []
        for req in poisson_requests(8):
            free = kv.free_blocks
            if kv.reserve(req, req.input_tokens):
                held.append(req)
            else:
                assert kv.free_blocks == free, "L2: a refused reservation took blocks"
                kv.release(held.pop(0))
            assert 0 <= kv.free_blocks <= kv.num_blocks, (
                f"L2: {kv.free_blocks} of {kv.num_blocks} blocks free"
            )
        for req in held:
            kv.release(req)
        assert kv.free_blocks == kv.num_blocks, "L2: blocks leaked"
