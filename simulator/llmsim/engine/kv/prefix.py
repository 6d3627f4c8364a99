"""Paged KV that remembers: blocks of a finished prompt stay until others need the room (automatic prefix caching)."""

from __future__ import annotations

from llmsim.engine.kv.chains import Chains
from llmsim.engine.kv.paged import Paged
from llmsim.engine.request import Request
from llmsim.spec.base import Strict


class PrefixCached(Paged):
    """``paged`` with ``enable_prefix_caching``, by the rules of vLLM V1's ``KVCacheManager`` and ``BlockPool``.

    - A full block is cached under the chained hash of its tokens as soon as room for them is taken, so that a
      request of the same iteration hits it. Generated tokens count too: a preempted request finds its own.
    - A hit is a run of blocks from the start of the prompt, found at admission; the last token of a prompt is always
      computed, so that a prompt that is cached whole computes its last block again, in a block of its own.
    - Blocks are shared with reference counts. What nobody holds is free, and keeps its content until it is taken:
      first blocks without a hash, then the least recently released, of one request the last block first.
    - Content that is computed twice is cached once: while somebody holds the first copy, the second has no name
      (V1 names both, and hits the first).

    ``hash_ids`` name hash blocks of ``hash_tokens`` tokens. A KV block belongs to the hash block that its last token
    is in, whatever the two sizes; the partial hash block at the end of a prompt has the KV blocks that it fills.

    Sources: vLLM, ``docs/design/prefix_caching.md`` (v0.30) and ``vllm/v1/core`` of 2026, where blocks without a hash
    are reused first.
    """

    def __init__(
        self, num_tokens: int, block_size: int, max_model_len: int, options: Strict | None = None
    ) -> None:
        super().__init__(num_tokens, block_size, max_model_len, options)
        self.chains = Chains(self.block_size)
        self._match: tuple[Request | None, int, int] = (None, 0, 0)  # what :meth:`find` last found

    @property
    def num_cached_blocks(self) -> int:
        """Blocks that nobody holds and that still have what was computed into them. Pure query."""
        return min(self.chains.idle, self.free_blocks)

    def find(self, req: Request) -> int:
        """See :class:`KVCache`."""
        self._evict()
        if req.blocks:  # parked
            return req.computed
        blocks, idle = self.chains.match(req)
        self._match = (req, blocks, idle)
        return max(req.computed, blocks * self.block_size)

    def admit(self, req: Request, tokens: int, found: int = 0) -> bool:
        """See :class:`KVCache`."""
        hit, blocks, idle = self._match
        if not found or hit is not req:
            return super().admit(req, tokens, found)
        if not self._take_in(req, tokens, blocks, idle):
            return False
        req.computed = max(req.computed, blocks * self.block_size)
        if req.scheduled_s != req.scheduled_s:  # nan: its first time
            req.cached_tokens = max(req.cached_tokens, blocks * self.block_size)
        self.preemption.came_back(req, blocks * self.block_size)
        return True

    def reserve(self, req: Request, tokens: int) -> bool:
        """See :class:`KVCache`."""
        if not req.blocks:
            self._evict()
            return self._take_in(req, tokens, 0, 0)
        if not super().reserve(req, tokens):
            return False
        self._evict()
        self.chains.name(req, min(tokens, req.prefill_target))
        return True

    def release(self, req: Request) -> None:
        """See :class:`KVCache`."""
        self._evict()
        written = req.input_tokens + req.generated - 1 if req.kv_tokens else req.computed
        self.free_blocks += self.chains.release(req, written)
        self.num_sequences -= req.width
        req.blocks = 0
        self.forget(req)

    def take_back(self, blocks: int) -> None:
        """See :class:`KVCache`."""
        self._evict()
        super().take_back(blocks)

    def _take_in(self, req: Request, tokens: int, hit: int, idle: int) -> bool:
        """``req`` comes in with ``hit`` blocks that are cached, of which nobody holds ``idle``."""
        wanted = self.blocks_for(req, tokens)
        more = wanted - hit + idle
        if more > self.free_blocks:
            return False
        self.chains.hold(req, hit)
        self.free_blocks -= more
        self._evict()
        self.num_sequences += req.width
        req.blocks = wanted
        self.chains.name(req, min(tokens, req.prefill_target))
        return True

    def _evict(self) -> None:
        """Forget what has been taken: decoding sequences only count down ``free_blocks``."""
        self._match = (None, 0, 0)
        excess = self.chains.idle - self.free_blocks
        if excess > 0:
            self.chains.evict(excess)


class PrefixCachedToken(PrefixCached):
    """``token`` with prefix caching: blocks of one token, as in SGLang's radix cache with ``page_size`` 1."""

    def __init__(
        self, num_tokens: int, block_size: int, max_model_len: int, options: Strict | None = None
    ) -> None:
        super().__init__(num_tokens, 1, max_model_len, options)
