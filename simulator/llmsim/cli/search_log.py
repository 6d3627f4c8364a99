"""How far a search is: how much is left, nobody knows."""

from __future__ import annotations

import sys
import time

LOG_EVERY_S = 5.0
"""Between two lines without news."""


class SearchLog:
    """Tells on standard error how many runs were made, now and then, and everything better as it is found."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._start_s = self._told_s = time.monotonic()

    def __call__(self, done: int, planned: int, news: str = "") -> None:
        """Show it: runs made, those and what is under way, and news in words."""
        now_s = time.monotonic()
        if self._quiet or not (news or now_s - self._told_s >= LOG_EVERY_S):
            return
        self._told_s = now_s
        under_way = f"{planned - done:,} under way" if planned > done else ""
        said = "; ".join(part for part in (under_way, news) if part)
        runs = f"{done:,} run{'s' * (done != 1)} in {now_s - self._start_s:,.0f} s" if done else ""
        print("; ".join(part for part in (runs, said) if part), file=sys.stderr, flush=True)
