"""The work bound: in no stretch of time can replicas do more than there are seconds in it.

An iteration of B sequences with T new tokens, whose decodes attend to K tokens of KV, costs at least
``d·B + x·(T − B) + k·K``, for prices (d, x, k) that no iteration the engine's limits allow is below. So
each request has a least share of device time, whatever it is batched with: the linear-programming dual of
the most favourable batch. What requests need that arrive after *a* and are due by *b* must fit into
``replicas · (b − a)``; those that may miss their limits are taken to be the dearest.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from llmsim.planning.bounds.iterations import Iterations
from llmsim.planning.bounds.latency import prompt_attention_s, read_floor_s
from llmsim.planning.bounds.offered import Offered
from llmsim.spec.attention import Span

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

PROMPT_SHARES = (1.0, 0.9, 0.75, 0.5, 0.25, 0.0)
KV_SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Prices that are tried: of a prompt token as a share of the highest, of full KV as a share of an iteration."""

TIE = 1e-9
"""Prices this close, relatively, are equal."""

TRIED = 3
"""Of those, how many go through all stretches of time: the ones that ask for most work in all."""

STARTS, ENDS = 48, 256
"""Stretches begin and end at this many moments, quantiles of releases and of deadlines."""

SPARED = (0.5, 0.9, 0.99, 1.0)
"""Quantiles of the requests' work above which it may be left out, see :meth:`Stretches.busiest`."""


class Prices(NamedTuple):
    """Seconds that every iteration is charged: per sequence, per token beyond its first, per KV token it attends to.

    A sequence is never cheaper than a token, so prompts are cheapest in one piece.
    """

    sequence_s: float
    token_s: float
    kv_s: float


class Need(NamedTuple):
    """What each request needs of one stage at least, in seconds, shape (num_requests,)."""

    prompt_s: Floats
    all_s: Floats


def prices(stage: Iterations) -> Iterator[Prices]:
    """Prices that no iteration is below. Pure query.

    With a given price of tokens, a sequence is worth the least of what is left of an iteration over
    the number of sequences.
    """
    limits = stage.limits
    if limits.sequences > len(stage.tokens_s):
        return  # iterations of decodes alone go beyond the table
    counts = np.arange(1, limits.sequences + 1)
    for share in PROMPT_SHARES:
        token_s = share * stage.most_per_token_s
        left = stage.relieved_s(token_s)[: len(counts)] + token_s * counts + stage.sequences_s
        for kv_share in KV_SHARES if limits.kv_tokens else (0.0,):
            kv_s = kv_share * stage.least_s
            sequence_s = float(((left - kv_s) / counts).min())
            if sequence_s >= token_s * (1 - TIE):
                yield Prices(sequence_s, token_s, kv_s / limits.kv_tokens if limits.kv_tokens else 0.0)


def needs(stage: Iterations, spans: Sequence[Span], offered: Offered) -> Iterator[Need]:
    """What each request needs, once for each choice of :func:`prices`. Pure query."""
    attention_s = prompt_attention_s(stage, offered)
    reads = read_floor_s(stage, spans, offered)
    later, last = np.maximum(offered.output - 1, 0), np.maximum(offered.output - 2, 0)
    most = stage.limits.tokens
    pieces = 1 if most is None else np.ceil(offered.computed / most)
    for offer in prices(stage):
        decode = reads.plus(offer.sequence_s, offer.kv_s, offered.prompt, last)
        again_s = offer.sequence_s + offer.token_s * offered.computed + attention_s
        prompt_s = offer.sequence_s * pieces + offer.token_s * (offered.computed - pieces) + attention_s
        yield Need(prompt_s, prompt_s + later * decode.or_else(again_s))


def replicas_needed(
    stages: Sequence[Iterations], spans: Sequence[Span], offered: Offered, release_s: Floats, hopeless: Bools
) -> float:
    """Engines without which too many requests miss their limits: a lower bound, not rounded. Pure query.

    Args:
        stages: The least costs of each stage; each has to find the time for its own part.
        spans: Of their attention.
        offered: With times of arrival.
        release_s: When the scheduler sees each request, at the earliest.
        hopeless: Requests that miss their limits in any case, and need no work.
    """
    spare = offered.may_miss - int(hopeless.sum())
    if spare < 0:
        return float("inf")
    due_s = (offered.arrival_s + offered.ttft_s, offered.deadline_s)
    found = [list(needs(stage, spans, offered)) for stage in stages]
    most = 0.0
    for place, deadline_s in enumerate(due_s):
        due = ~hopeless & np.isfinite(deadline_s)
        if due.sum() <= spare:
            continue
        stretches = Stretches(release_s[due], deadline_s[due])
        for offers in found:
            work = sorted((need[place][due] for need in offers), key=lambda one: -one.sum())
            most = max([most, *(stretches.busiest(one, spare) for one in work[:TRIED])])
    return most


class Stretches:
    """The stretches of time looked at, and which requests each of them holds whole.

    Args:
        release_s, deadline_s: Of each request, finite, shape (num_requests,).
    """

    def __init__(self, release_s: Floats, deadline_s: Floats) -> None:
        starts = np.unique(np.quantile(release_s, np.linspace(0, 1, STARTS), method="lower"))
        ends = np.unique(np.quantile(deadline_s, np.linspace(0, 1, ENDS), method="higher"))
        row = np.searchsorted(starts, release_s, side="right") - 1
        self._cell = row * len(ends) + np.searchsorted(ends, deadline_s, side="left")
        self._shape = len(starts), len(ends)
        self._lasts_s = ends[None, :] - starts[:, None]

    def busiest(self, work_s: Floats, spare: int) -> float:
        """The most work per second of any stretch, the ``spare`` dearest requests left out. Pure query.

        For any t, ``Σ min(work, t) − spare·t`` is at most what is left without the ``spare`` largest.
        """
        caps = np.unique(np.quantile(work_s, SPARED)) if spare else np.array([work_s.max()])
        most = 0.0
        for cap in caps:
            held = np.bincount(self._cell, np.minimum(work_s, cap), self._shape[0] * self._shape[1])
            inside = held.reshape(self._shape)[::-1].cumsum(axis=0)[::-1].cumsum(axis=1) - spare * cap
            some = self._lasts_s > 0
            most = max(most, float((inside[some] / self._lasts_s[some]).max(initial=0.0)))
        return most
