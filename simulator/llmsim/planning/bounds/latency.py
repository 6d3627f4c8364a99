"""The shortest latencies a request can have: alone on an engine, in the cheapest iterations there are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from llmsim.planning.bounds.iterations import Iterations
from llmsim.planning.bounds.offered import Offered
from llmsim.spec.attention import Span

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

PRICES = np.array([0.0, 0.5, 0.8, 0.9, 0.97, 1.0])
"""Prices per prompt token that are tried, as shares of the highest one; each gives a valid floor."""


@dataclass(frozen=True)
class LatencyFloors:
    """The least latencies of each request, shape (num_requests,), and of any gap between two tokens."""

    ttft_s: Floats
    tpot_s: Floats
    gap_s: float

    def e2el_s(self, offered: Offered) -> Floats:
        """Arrival to last token."""
        return self.ttft_s + self.tpot_s * np.maximum(offered.output - 1, 0)


def latency_floors(
    stages: Sequence[Iterations], spans: Sequence[Span], offered: Offered, front_end_s: Floats
) -> LatencyFloors:
    """The floors of every request, over all stages it passes one after another. Pure query.

    A token comes out of a decode, or, after a preemption, of its prompt computed again with one token
    more at least; a decode attends to the request's own context at least.

    Args:
        stages: The least costs of each stage.
        spans: The spans that the stages' attention floors speak of.
        front_end_s: Before the scheduler sees each request, shape (num_requests,).
    """
    ttft_s, step_s = front_end_s.copy(), np.zeros(len(offered))
    hidden_s = max((stage.hidden_s for stage in stages), default=0.0)
    for stage in stages:
        attention_s = prompt_attention_s(stage, offered)
        ttft_s += prompt_floor_s(stage, offered.computed) + attention_s
        step_s += stage.least_s + read_floor_s(stage, spans, offered).or_else(attention_s)
    step_s = np.maximum(step_s, hidden_s)
    gap_s = max(sum(stage.least_s for stage in stages), hidden_s)
    return LatencyFloors(ttft_s, np.where(offered.output > 1, step_s, 0.0), gap_s)


def prompt_floor_s(stage: Iterations, tokens: Ints) -> Floats:
    """Seconds that prompts of so many tokens spend on a stage, attention left out. Pure query.

    For every price x per token, an iteration with c tokens of the prompt costs at least ``a + x·c``,
    a being the least of ``u(T) − x·c`` over all T ≥ c; the prompt takes at least ⌈tokens / most⌉ of them.
    """
    counts = np.arange(1, len(stage.tokens_s) + 1)
    base = stage.relieved_s(0.0) + stage.sequences_s[0]
    highest = float((base / counts).max())
    most = stage.limits.tokens
    chunks = np.ones(len(tokens)) if most is None else np.ceil(tokens / most)
    best = np.zeros(len(tokens))
    slopes = np.concatenate([PRICES * highest, PRICES * stage.most_per_token_s])
    for slope in slopes:
        beyond = stage.beyond_s(slope) if stage.is_open else np.inf
        start = min(float((base - slope * counts).min()), beyond)
        if start >= 0:
            best = np.maximum(best, chunks * start + slope * tokens)
    return best


def prompt_attention_s(stage: Iterations, offered: Offered) -> Floats:
    """Attention of each prompt, however it is cut into chunks. Pure query."""
    pairs, index = offered.prompts
    seconds = np.array([stage.floor.prompt_s(new, cached) for new, cached in pairs.T.tolist()])
    return np.asarray(seconds[index], dtype=np.float64)


class Decodes(NamedTuple):
    """Seconds of each request's decodes at least: on average, the first, the dearest; shape (num_requests,)."""

    mean_s: Floats
    first_s: Floats
    dearest_s: Floats

    def plus(self, decode_s: float, kv_s: float, prompt: Ints, last: Ints) -> Decodes:
        """With so much for a decode and for every token of its context on top. Pure query."""
        return Decodes(
            self.mean_s + decode_s + kv_s * (prompt + last / 2),
            self.first_s + decode_s + kv_s * prompt,
            self.dearest_s + decode_s + kv_s * (prompt + last),
        )

    def or_else(self, again_s: Floats) -> Floats:
        """Seconds per token, on average, where any of them may take ``again_s`` instead. Pure query.

        After a preemption a token comes out of the prompt computed again, which is nearly always dearer
        than the dearest decode, and then never a way to save time.
        """
        return np.where(again_s >= self.dearest_s, self.mean_s, np.minimum(self.first_s, again_s))


def read_floor_s(stage: Iterations, spans: Sequence[Span], offered: Offered) -> Decodes:
    """Attention of each request's decodes, by the plane of the floor that makes most of all of them. Pure query."""
    prompt, last = offered.prompt, np.maximum(offered.output - 2, 0)
    ends = [(_least_read(span, prompt), _least_read(span, prompt + last)) for span in spans]
    found = []
    for per_sequence, slopes in stage.floor.read_planes:
        first, final = np.full(len(prompt), per_sequence), np.full(len(prompt), per_sequence)
        for slope, (least, most) in zip(slopes, ends, strict=True):
            first, final = first + slope * least, final + slope * most
        found.append(Decodes((first + final) / 2, first, final))
    nothing = np.zeros(len(prompt))
    return max(found, key=lambda one: float(one.mean_s.sum()), default=Decodes(nothing, nothing, nothing))


def _least_read(span: Span, context: Ints) -> Floats:
    """KV tokens that a decode after ``context`` tokens or more reads at least. Pure query.

    It never falls and never bends upwards, so on average over a stretch of contexts it is at least the
    mean of its ends.
    """
    if span.kind == "full":
        return np.asarray(context + 1.0)
    return np.ones(len(context)) if span.kind == "chunk" else np.minimum(context + 1.0, span.size)
