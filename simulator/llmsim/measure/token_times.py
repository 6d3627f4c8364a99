"""When each token of a request came out, read off the step log."""

from __future__ import annotations

from functools import cached_property

import numpy as np
import numpy.typing as npt

from llmsim.engine.request import Request
from llmsim.measure.records import RunRecord

Floats = npt.NDArray[np.float64]


class TokenTimes:
    """The moments of a run's tokens.

    Sequences of a micro-batch decode together, so a request's tokens come out at the ends of as many decode
    iterations in a row as it stayed for; the token on joining comes out with its prefill.

    Args:
        record: A run that is over.
    """

    def __init__(self, record: RunRecord) -> None:
        self._steps = record.steps
        self._ends: dict[tuple[int, int], Floats] = {}

    def of(self, req: Request) -> Floats:
        """Seconds of every token of ``req``, which is completed, rising. shape (output_tokens,)"""
        stays = [
            part
            for stint in req.stays
            for part in (
                [stint.joined_s],
                self._ends_of(stint.replica, stint.lane)[
                    stint.join_iteration : stint.join_iteration + stint.decoded
                ],
            )
        ]
        return np.concatenate(stays) if stays else np.empty(0)

    def gaps(self, req: Request) -> Floats:
        """Seconds between its tokens: what ``itl_ms`` pools. shape (output_tokens - 1,)"""
        return np.diff(self.of(req))

    def _ends_of(self, replica: int, lane: int) -> Floats:
        """When each decode iteration of a micro-batch ended. shape (num_decode_iterations,)"""
        if (replica, lane) not in self._ends:
            rows = self._rows.get((replica, lane), np.empty(0, dtype=np.int64))
            count = self._steps.column("iterations")[rows].astype(np.int64)
            nth = np.arange(int(count.sum())) - np.repeat(np.cumsum(count) - count, count) + 1
            names = ("start_s", "first_s", "growth_s")
            start, first, growth = (np.repeat(self._steps.column(name)[rows], count) for name in names)
            self._ends[replica, lane] = start + nth * first + growth * (nth * (nth - 1) / 2)
        return self._ends[replica, lane]

    @cached_property
    def _rows(self) -> dict[tuple[int, int], npt.NDArray[np.int64]]:
        """Rows that decode, by replica and lane."""
        steps = self._steps
        decoding = np.flatnonzero(steps.column("decode_tokens"))
        if not len(decoding):
            return {}
        lanes = np.stack((steps.column("replica")[decoding], steps.column("lane")[decoding]), axis=1)
        keys, which = np.unique(lanes.astype(np.int64), axis=0, return_inverse=True)
        order = np.argsort(which, kind="stable")
        parts = np.split(decoding[order], np.cumsum(np.bincount(which, minlength=len(keys)))[:-1])
        return {(int(key[0]), int(key[1])): rows for key, rows in zip(keys, parts, strict=True)}
