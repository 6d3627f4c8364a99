"""What layers of different kinds keep: all tokens, the last of them, or a state; and the groups they share a pool in.

The pool is one array of equal blocks, as in vLLM's hybrid KV cache manager. Layers of one kind are dealt to groups of
the same number of layers, and a block holds some tokens of one group, or one sequence's states of it. Each group of a
sequence takes blocks of its own, so that a group of windowed layers gives back what has left the window.

Source: vLLM, ``docs/design/hybrid_kv_cache_manager.md`` (v0.30) and ``vllm/v1/core/kv_cache_utils.py``; its older
versions take a factor of 1.25 where this one takes ``NEARLY_EQUAL``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from llmsim.cost.parallel import ParallelPlan, layers_of
from llmsim.cost.plan import Formats
from llmsim.spec.attention import FOREVER
from llmsim.spec.model import LayerGroup

NEARLY_EQUAL = 1.5
"""Below this ratio of layers of the commonest and the rarest kind, the rarest is padded to one whole group."""


@dataclass(frozen=True)
class KVGroups:
    """Groups of layers that keep the same.

    Attributes:
        count: How many groups.
        block_tokens: Tokens in a block; 0: a sequence has one block, with its states.
        window: Tokens that are kept, the last ones; 0: all.
    """

    count: int
    block_tokens: int
    window: int = 0

    def most_blocks(self, new_tokens: int) -> int:
        """Blocks of a group that the window and ``new_tokens`` behind it can touch, however they lie. Pure query."""
        if not self.window:
            return FOREVER
        return -(-(self.window - 1 + new_tokens) // self.block_tokens) + 1

    def blocks(self, tokens: int, new_tokens: int = 1) -> int:
        """Blocks over all groups of a sequence of ``tokens``, the last ``new_tokens`` of them new. Pure query."""
        if not self.block_tokens:
            return self.count
        return self.count * min(-(-tokens // self.block_tokens), self.most_blocks(new_tokens))

    def in_words(self) -> str:
        """What they keep. Pure query."""
        if not self.block_tokens:
            return f"{self.count} of states"
        kept = f"the last {self.window:,} tokens" if self.window else "all tokens"
        return f"{self.count} of {kept} ({self.block_tokens:,} in a block)"


@dataclass(frozen=True)
class KVLayout:
    """The groups of a model's layers.

    Attributes:
        groups: By what they keep.
        most_new_tokens: New tokens of an iteration; of a longer prompt a window holds no more at a time.
    """

    groups: tuple[KVGroups, ...]
    most_new_tokens: int

    @property
    def num_groups(self) -> int:
        """Groups in all. Pure query."""
        return sum(group.count for group in self.groups)

    @property
    def block_tokens(self) -> int:
        """Tokens in a block, of the kind of layer where they are fewest. Pure query."""
        return min(group.block_tokens for group in self.groups if group.block_tokens)

    def blocks(self, tokens: int, new_tokens: int = 1) -> int:
        """Blocks of a sequence of ``tokens``, the last ``new_tokens`` of them new in an iteration. Pure query.

        A windowed group has the blocks that its window can touch, wherever that begins in a block: at most one more
        than vLLM holds at that moment, and what vLLM holds within the next few tokens.
        """
        new_tokens = min(new_tokens, self.most_new_tokens)
        return sum(group.blocks(tokens, new_tokens) for group in self.groups)

    def longest(self, num_blocks: int) -> int:
        """Tokens of the longest sequence that fits alone, however it is computed; 0 where none does. Pure query."""
        low, high = 0, max(1, num_blocks) * max(group.block_tokens for group in self.groups)
        if self.blocks(high, high) <= num_blocks:
            return FOREVER  # every layer forgets
        while low < high:
            middle = (low + high + 1) // 2
            low, high = (middle, high) if self.blocks(middle, middle) <= num_blocks else (low, middle - 1)
        return low

    def concurrency(self, num_blocks: int, tokens: int) -> float:
        """Sequences of ``tokens`` that vLLM's log says the pool holds (``Maximum concurrency``). Pure query.

        It books for every sequence what it may need while its prompt is computed.
        """
        booked = 0
        for group in self.groups:
            if group.window:
                most = min(group.window - 1 + self.most_new_tokens, tokens)
                booked += group.count * (-(-most // group.block_tokens) + 1)
            else:
                booked += group.blocks(tokens)
        return num_blocks / booked

    def in_words(self) -> str:
        """The groups. Pure query."""
        return f"{self.num_groups} groups of layers: " + ", ".join(group.in_words() for group in self.groups)


class _Kind(NamedTuple):
    """Layers that keep the same; sizes are those of an undivided layer."""

    keeps: str
    window: int
    size: float


def kv_layout(
    layers: Sequence[LayerGroup], plan: ParallelPlan, formats: Formats, block_size: int, most_new_tokens: int
) -> KVLayout | None:
    """The groups that ``layers`` form; None where all keep every token, or nothing does, or it cannot be told.

    Layers that keep both a window and more (DeepSeek-V4), and contexts divided over devices, are left to one pool in
    which every layer keeps every token; so are layers with chunked attention, as in vLLM. Pure query.
    """
    counts, sizes = _counts(layers), _sizes(layers, formats, plan.tp_of(0))
    attention = {kind: size for kind, size in sizes.items() if kind.keeps != "state"}
    is_mixed = any(len(_windows(group)) > 1 for group in layers)
    is_plain = all(kind.keeps == "full" for kind in counts)
    if not attention or is_mixed or is_plain or plan.prefill_context_parallel_size > 1:
        return None
    widest = max(attention.values())
    state = max((size for kind, size in sizes.items() if kind.keeps == "state"), default=0.0)
    unit = widest * block_size
    page = unit * max(1, -int(-state // unit))
    size = _group_size(list(counts.values()))
    groups = []
    for kind, count in counts.items():
        tokens = int(page // (sizes[kind] * block_size)) * block_size if kind in attention else 0
        groups.append(KVGroups(-(-count // size), tokens, kind.window))
    return KVLayout(tuple(groups), most_new_tokens)


def group_block_bytes(
    layers: Sequence[LayerGroup], plan: ParallelPlan, formats: Formats, layout: KVLayout
) -> list[float]:
    """Bytes of a block on one device of each stage: a block of every layer that a group has there. Pure query."""
    kinds = dict(zip(_counts(layers), layout.groups, strict=True))
    result = []
    for stage, mine in enumerate(layers_of(layers, plan)):
        sizes = _sizes(mine, formats, plan.tp_of(stage))
        page = max((size * (kinds[kind].block_tokens or 1) for kind, size in sizes.items()), default=0.0)
        depth = max((-(-count // kinds[kind].count) for kind, count in _counts(mine).items()), default=0)
        result.append(page * depth)
    return result


def _group_size(counts: Sequence[int]) -> int:
    """Layers of a group: as many as the rarest kind has, or the commonest, if they are nearly as many."""
    fewest, most = min(counts), max(counts)
    return most if most < fewest * NEARLY_EQUAL else fewest


def _windows(group: LayerGroup) -> set[int]:
    return {read.span.size if read.span.kind == "window" else 0 for read in group.mixer.reads(1)}


def _kinds(group: LayerGroup) -> Iterator[_Kind]:
    """What a layer of ``group`` keeps: tokens, a state, or both."""
    elements = sum(read.elements for read in group.mixer.reads(1))
    if elements:
        window = max(_windows(group))
        yield _Kind("window" if window else "full", window, elements)
    if state := group.mixer.state_bytes(1):
        yield _Kind("state", 0, state)


def _counts(layers: Sequence[LayerGroup]) -> dict[_Kind, int]:
    """Layers of each kind, those that keep all tokens first."""
    counts: dict[_Kind, int] = {}
    for group in layers:
        for kind in _kinds(group):
            counts[kind] = counts.get(kind, 0) + group.count
    return dict(sorted(counts.items()))


def _sizes(layers: Sequence[LayerGroup], formats: Formats, tp: int) -> dict[_Kind, float]:
    """Bytes of each kind in one layer on one device: of a token, or of a sequence's state."""
    sizes = {}
    for group in layers:
        for kind in _kinds(group):
            elements = sum(read.elements for read in group.mixer.reads(tp))
            sizes[kind] = (
                group.mixer.state_bytes(tp) if kind.keeps == "state" else elements * formats.kv_bytes
            )
    return sizes
