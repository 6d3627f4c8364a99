"""Which numbers of replicas of one candidate to try: up from a guess, then between, then below."""

from __future__ import annotations

FEW = 4
"""Counts below the smallest that passes are all tried when so few are left: passing need not be monotone."""


class Climb:
    """The counts of one candidate that were tried, and which to try next.

    From the guess upwards in steps that double, then by bisection between what fails and what passes,
    then downwards: with few counts left all of them, else until one fails clearly; those below that are
    taken to fail too.

    Args:
        least, most: Counts that may pass.
        guess: The first to try.
    """

    def __init__(self, least: int, most: int, guess: int) -> None:
        self.least = least
        self.most = most
        self._guess = min(max(guess, least), most)
        self._passed: dict[int, bool] = {}
        self._clear: set[int] = set()

    @property
    def best(self) -> int | None:
        """The smallest count that passed. Pure query."""
        return min((count for count, passed in self._passed.items() if passed), default=None)

    def tell(self, count: int, *, passed: bool, is_clear: bool = False) -> None:
        """What came of ``count``; what was said of it before is forgotten."""
        self._passed[count] = passed
        self._clear.discard(count)
        if is_clear:
            self._clear.add(count)

    def next(self, most: int) -> int | None:
        """The count to try next, of those up to ``most``; None when nothing is left to learn. Pure query."""
        high = min(self.most, most)
        if high < self.least:
            return None
        best = self.best
        top = high + 1 if best is None or best > high else best
        failed = max(
            (c for c, passed in self._passed.items() if not passed and c < top), default=self.least - 1
        )
        if failed + 1 == top:
            return self._below(top)
        if top <= high:
            return (failed + top) // 2
        if failed < self.least:
            return min(self._guess, high)
        return min(high, failed + max(1, failed - self._guess + 1))

    def untried(self, most: int) -> list[int]:
        """Counts below the smallest that passed, up to ``most``, that were not tried. Pure query."""
        top = min(self.most, most) + 1
        return [c for c in range(self.least, min(top, self.best or top)) if c not in self._passed]

    def _below(self, top: int) -> int | None:
        left = self.untried(top - 1)
        if not left:
            return None
        is_settled = any(left[-1] < clear < top for clear in self._clear)
        return None if is_settled and len(left) > FEW else left[-1]
