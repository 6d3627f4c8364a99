"""A pool with prefix caching that other memories lie below: what it forgets is kept there, and comes back."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

from llmsim.engine.kv.prefix import PrefixCached
from llmsim.engine.kv.shares import shares_of
from llmsim.engine.kv.tiers import Share, Tiers
from llmsim.engine.profile import Profile
from llmsim.engine.request import Request
from llmsim.spec.base import Strict


class Tiered(PrefixCached):
    """``paged`` with prefix caching and ``kv_tiers``.

    - Blocks that go on from those in the pool are looked for below it. They take blocks of the pool like new ones,
      and the first iteration waits until they are in them; all of the batch waits with it.
    - What is forgotten goes down before its room is used: an iteration with new prompt tokens waits until the copy
      has arrived. What decoding takes goes down, and is waited for, when a sequence next comes or goes.

    Sources: LMCache, ``vllm_v1_adapter``, which loads before the forward pass or layer by layer; CachedAttention
    (arXiv 2403.19708), §3.2, layer-wise pre-loading.
    """

    def __init__(
        self, num_tokens: int, block_size: int, max_model_len: int, options: Strict | None = None
    ) -> None:
        super().__init__(num_tokens, block_size, max_model_len, options)
        self.tiers = Tiers((), self.block_size, 0.0)
        self._staged: dict[Hashable, int] = {}  # forgotten since the tiers were last told
        self._found: tuple[Request | None, int, Sequence[Share]] = (None, 0, ())
        self._ready_s = 0.0
        self._has_moved = False
        self._writes_through = False
        self._layers = 1
        self._profile: Profile | None = None

    def attach(self, tiers: Tiers, layers: int = 1, profile: Profile | None = None) -> None:
        """``tiers``, the fastest first, lie below from now on.

        Args:
            layers: Parts in which KV moves, one behind the other.
            profile: How long a request alone takes, for tiers that load only what is faster.
        """
        self.tiers = tiers
        self._layers = layers
        self._profile = profile if any(tier.loads_if_faster for tier in tiers.tiers) else None
        self.chains.forgetting = self._forget
        self._writes_through = any(tier.writes_through for tier in tiers.tiers)

    def find(self, req: Request) -> int:
        """See :class:`KVCache`."""
        found = super().find(req)
        if req.blocks:
            return found
        _, start, _ = self._match
        shares: Sequence[Share] = self.tiers.find(req, start, self._staged)
        if self._profile is not None and shares:
            shares = self.tiers.worthwhile(shares, start, self.now_s, self._profile.prefill_s)
        self._found = (req, start, shares)
        tokens = (start + sum(count for _, _, count in shares)) * self.block_size
        if tokens <= found:  # it has as much itself
            self._found = (req, start, ())
        return max(found, tokens)

    def admit(self, req: Request, tokens: int, found: int = 0) -> bool:
        """See :class:`KVCache`."""
        _, start, shares = self._found
        is_hit = found > 0 and self._match[0] is req is self._found[0]
        is_first = req.scheduled_s != req.scheduled_s  # nan
        if not super().admit(req, tokens, found):
            return False
        self._has_moved = True
        if is_hit:
            self._fetch(req, start, shares, is_first=is_first)
        self._tell()
        return True

    def _fetch(self, req: Request, start: int, shares: Sequence[Share], *, is_first: bool) -> None:
        """``req`` has come in, and what the tiers have of it goes up."""
        self.tiers.touch(req, start)
        self._tell()
        if not shares:
            return
        tokens = (start + sum(count for _, _, count in shares)) * self.block_size
        req.computed = max(req.computed, tokens)
        if is_first:
            req.cached_tokens = max(req.cached_tokens, tokens)
            for index, _, count in shares:
                self.tiers.tiers[index].hit_blocks += count
        self._ready_s = max(self._ready_s, self.tiers.load(shares, self.now_s))

    def reserve(self, req: Request, tokens: int) -> bool:
        """See :class:`KVCache`."""
        if not super().reserve(req, tokens):
            return False
        if req.id >= 0:  # others hold room, also in mid-run, when it is open what has been forgotten by then
            self._has_moved = True
            self._tell()
        return True

    def release(self, req: Request) -> None:
        """See :class:`KVCache`."""
        super().release(req)
        if self._writes_through and req.generated >= req.stop_at:
            written = (req.input_tokens + req.generated - 1) // self.block_size
            made = [key for key, _, _ in shares_of(req, 0, written, self.block_size)]
            self.tiers.write_through([(key, self.chains.cached(key)) for key in reversed(made)], self.now_s)
        if req.id >= 0:
            self._tell()

    def expect(self, req: Request, now_s: float) -> None:
        """See :class:`KVCache`. The pool is asked as it was when the tiers were last told."""
        pieces, most = self.chains.pieces, (req.prefill_target - 1) // self.block_size
        wanted = [
            (key, count)
            for key, _, count in shares_of(req, 0, most, self.block_size)
            if key not in pieces and key not in self._staged
        ]
        self.tiers.prefetch(req, wanted, now_s)

    def ready_s(self, now_s: float) -> float:
        """See :class:`KVCache`."""
        ready_s = super().ready_s(now_s)
        if not self._has_moved:
            return ready_s
        self._has_moved = False
        self.tiers.waited_s += max(0.0, self._ready_s - now_s)
        return max(ready_s, self._ready_s)

    def behind(self, wait_s: float, first_s: float) -> float:
        """See :class:`KVCache`. Layer by layer, the next one's KV moves while this one is computed.

        Each of n layers passes two stations, so all of it takes max(a, b) + min(a, b) / n.
        """
        hidden_s = min(wait_s, first_s) * (1 - 1 / self._layers)
        self.tiers.waited_s -= hidden_s
        return wait_s + first_s - hidden_s

    def _forget(self, key: Hashable, count: int) -> None:
        """The pool is about to forget blocks of ``key``, of which it has ``count``."""
        self._staged[key] = max(count, self._staged.pop(key, 0))

    def _tell(self) -> None:
        """The tiers get what was forgotten: at moments that are the same however often the scheduler looks."""
        if self._staged:
            staged, self._staged = self._staged, {}
            self._ready_s = max(self._ready_s, self.tiers.keep(list(staged.items()), self.now_s))


class TieredToken(Tiered):
    """The same, with blocks of one token."""

    def __init__(
        self, num_tokens: int, block_size: int, max_model_len: int, options: Strict | None = None
    ) -> None:
        super().__init__(num_tokens, 1, max_model_len, options)
