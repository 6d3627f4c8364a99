"""Radix KV: prompts share what they begin with, token by token (SGLang's RadixAttention)."""

from __future__ import annotations

from pydantic import Field

from llmsim.engine.kv.prefix import PrefixCached
from llmsim.spec.base import Strict


class RadixOptions(Strict):
    """Options of ``kv_cache: {kind: radix}``."""

    page_size: int = Field(
        1, ge=1, le=1024, description="tokens in a page: what is shared is whole pages",
        json_schema_extra={"unit": "tokens"},
    )  # fmt: skip


class Radix(PrefixCached):
    """SGLang's radix cache: a tree of token sequences, its leaves forgotten by least recent use.

    It is ``paged`` with prefix caching at pages of ``page_size`` tokens. What vLLM calls a chain of block hashes is a
    path from the root; whoever holds a page holds all before it, so that of the pages nobody holds the least recently
    released, of one request the last first, is always a leaf. Where SGLang differs: it forgets a leaf's whole edge at
    once, and a prompt under way is found by others from its first finished chunk on, here from when it is scheduled.

    Source: Zheng et al. 2024, arXiv 2312.07104 (§3); SGLang ``mem_cache/radix_cache.py``.
    """

    Options = RadixOptions

    def __init__(
        self, num_tokens: int, block_size: int, max_model_len: int, options: RadixOptions | None = None
    ) -> None:
        page = (options or RadixOptions()).page_size
        super().__init__(num_tokens, page, max_model_len, options)
