"""The requests of a run as columns, for the statistics, the requests table and the plots."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from operator import attrgetter
from typing import Any, get_args

import numpy as np
import numpy.typing as npt

from llmsim.engine.request import Request, Status

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int32]
Bools = npt.NDArray[np.bool_]

STATUSES: tuple[str, ...] = get_args(Status)
"""Every status; ``RequestTable.status`` holds positions in it."""
BUCKETS = ("completed", "rejected", "dropped", "lost", "unfinished")
"""Where a request may end (design rule 7). Exactly one each; together they are all that were offered."""


def _column(requests: list[Request], name: str, dtype: type[np.generic]) -> npt.NDArray[Any]:
    return np.fromiter(map(attrgetter(name), requests), dtype, count=len(requests))


def _codes(requests: list[Request], name: str, known: tuple[str, ...]) -> npt.NDArray[np.int16]:
    code = {value: position for position, value in enumerate(known)}
    return np.fromiter(map(code.__getitem__, map(attrgetter(name), requests)), np.int16, count=len(requests))


@dataclass(frozen=True)
class RequestTable:
    """One entry per request offered, in order of arrival. Columns have shape (num_requests,).

    Attributes:
        id, input_tokens, cached_tokens, output_tokens, replica, preemptions, moves: As in ``Request``.
        arrival_s, scheduled_s, first_token_s, finish_s: As in ``Request``; nan where it never happened.
        class_names: Names of the classes, sorted; ``class_index`` holds positions in it.
        status: Positions in ``STATUSES``.
        left_s, held_s: As in ``Request``.
        end_s: When the run ended.
    """

    id: Ints
    arrival_s: Floats
    scheduled_s: Floats
    first_token_s: Floats
    finish_s: Floats
    left_s: Floats
    held_s: Floats
    input_tokens: Ints
    cached_tokens: Ints
    output_tokens: Ints
    replica: Ints
    preemptions: Ints
    moves: Ints
    class_names: tuple[str, ...]
    class_index: npt.NDArray[np.int16]
    status: npt.NDArray[np.int16]
    end_s: float

    @classmethod
    def of(cls, requests: list[Request], end_s: float) -> RequestTable:
        """The columns of a run's requests, each read once; the run ended at ``end_s``."""
        class_names = tuple(sorted(set(map(attrgetter("class_name"), requests))))
        times = {
            name: _column(requests, name, np.float64)
            for name in ("arrival_s", "scheduled_s", "first_token_s", "finish_s", "left_s", "held_s")
        }
        counts = {
            name: _column(requests, name, np.int32)
            for name in (
                "id",
                "input_tokens",
                "cached_tokens",
                "output_tokens",
                "replica",
                "preemptions",
                "moves",
            )
        }
        return cls(
            **times,
            **counts,
            class_names=class_names,
            class_index=_codes(requests, "class_name", class_names),
            status=_codes(requests, "status", STATUSES),
            end_s=end_s,
        )

    def __len__(self) -> int:
        return len(self.id)

    def is_status(self, name: str) -> Bools:
        """Which requests ended as ``name``."""
        return np.asarray(self.status == STATUSES.index(name))

    @cached_property
    def completed(self) -> Bools:
        """Which requests completed."""
        return self.is_status("completed")

    @cached_property
    def issue_s(self) -> Floats:
        """When its client would have sent it, had it not held it back."""
        return self.arrival_s - self.held_s

    @cached_property
    def ttft_ms(self) -> Floats:
        """Arrival to first token; nan without one."""
        return 1e3 * (self.first_token_s - self.arrival_s)

    @cached_property
    def e2el_ms(self) -> Floats:
        """Arrival to last token; nan unless completed."""
        return np.where(self.completed, 1e3 * (self.finish_s - self.arrival_s), np.nan)

    @cached_property
    def tpot_ms(self) -> Floats:
        """(e2e − TTFT)/(n − 1), as vLLM defines it; nan for requests of one token, or not completed."""
        later_tokens = np.where(self.completed & (self.output_tokens > 1), self.output_tokens - 1.0, np.nan)
        return 1e3 * (self.finish_s - self.first_token_s) / later_tokens

    @cached_property
    def leave_s(self) -> Floats:
        """When it left: its end, at once if refused, at the run's end if it was still there."""
        stayed = np.where(self.is_status("rejected"), self.arrival_s, np.maximum(self.end_s, self.arrival_s))
        unserved = np.where(np.isnan(self.left_s), stayed, self.left_s)
        return np.where(np.isnan(self.finish_s), unserved, self.finish_s)

    @cached_property
    def wait_end_s(self) -> Floats:
        """When it stopped waiting for the first time: scheduled, or gone."""
        return np.where(np.isnan(self.scheduled_s), self.leave_s, self.scheduled_s)

    @cached_property
    def window_s(self) -> tuple[float, float]:
        """First arrival and last completion (else the run's end); zeros without requests."""
        if not len(self):
            return 0.0, 0.0
        first = float(self.arrival_s.min())
        last = float(self.finish_s[self.completed].max()) if self.completed.any() else self.end_s
        return first, max(first, last)
