"""Arrivals whose rate changes at random, or whose gaps change their distribution over time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from llmsim.rng import Streams
from llmsim.spec.arrivals import MmppArrivals, ModulatedGammaArrivals
from llmsim.workload.arrivals import FloatArray, gamma

STAYS = 256
"""Stays drawn at a time; has no influence on them."""

DrawGaps = Callable[[int], FloatArray]
"""``draw(n)``: n gaps of mean 1."""


class MmppTimes:
    """A Markov-modulated Poisson process, begun in its steady state.

    Events of a Poisson process of rate 1 are placed where ∫ rate, over stays drawn one after another, reaches
    theirs (time change). Source: Fischer and Meier-Hellstern 1993, "The Markov-modulated Poisson process (MMPP)
    cookbook", Performance Evaluation 18.
    """

    def __init__(self, arrival: MmppArrivals, streams: Streams) -> None:
        scale = (arrival.request_rate or arrival.own_rate) / arrival.own_rate
        self._rates = np.array(arrival.rates) * scale  # (num_states,)
        self._mean_stay_s = np.array(arrival.mean_stay_s)  # (num_states,)
        self._unit_rate = gamma(1.0, 1.0, streams("arrivals"))
        self._rng, self._stay_rng = streams("arrivals.states"), streams("arrivals.stays")
        self._edges_s = np.zeros(1)  # (num_stays + 1,), from the first stay still needed
        self._expected = np.zeros(1)  # (num_stays + 1,), requests expected by then
        shares = np.cumsum(self._mean_stay_s)
        self._state = int(np.searchsorted(shares, self._rng.random() * shares[-1], side="right"))

    def __call__(self, n: int) -> FloatArray:
        """The next n times."""
        targets = self._unit_rate(n)
        while self._expected[-1] <= targets[-1]:
            self._go_on()
        times: FloatArray = np.interp(targets, self._expected, self._edges_s)
        past = int(np.searchsorted(self._expected, targets[-1], side="right")) - 1
        self._edges_s, self._expected = self._edges_s[past:], self._expected[past:]
        return times

    def _go_on(self) -> None:
        """Draw more stays."""
        others = len(self._rates) - 1
        steps = 1 + (self._rng.random(STAYS) * others).astype(np.int64)
        states = (self._state + np.concatenate([[0], np.cumsum(steps)])) % (others + 1)
        self._state = int(states[-1])
        stays_s = self._stay_rng.exponential(self._mean_stay_s[states[:-1]])
        self._edges_s = _summed(self._edges_s, stays_s)
        self._expected = _summed(self._expected, stays_s * self._rates[states[:-1]])


def _summed(known: FloatArray, steps: FloatArray) -> FloatArray:
    """``known`` and where ``steps`` lead from its end. Pure."""
    return np.concatenate([known[:-1], np.cumsum(np.concatenate([known[-1:], steps]))])


class WindowedTimes:
    """A renewal process with a rate and a distribution of gaps of its own in each window; it repeats.

    Each gap is drawn, in units of the mean gap, as the window says in which it begins, and ends where the expected
    number of requests has grown by it: a burst at the end of a window reaches into the next one at that one's rate.

    Args:
        edges_s: Where windows begin, and the end. shape (num_windows + 1,)
        rates: Requests per second in each. shape (num_windows,)
        draws: What draws gaps of mean 1, for each window.
    """

    def __init__(self, edges_s: FloatArray, rates: FloatArray, draws: Sequence[DrawGaps]) -> None:
        self._edges_s = edges_s
        self._expected = np.concatenate([[0.0], np.cumsum(np.diff(edges_s) * rates)])  # (num_windows + 1,)
        self._draws = draws
        self._parts = self._windows()
        self._left = np.empty(0)

    def __call__(self, n: int) -> FloatArray:
        """The next n times."""
        parts, have = [self._left], len(self._left)
        while have < n:
            parts.append(next(self._parts))
            have += len(parts[-1])
        times = np.concatenate(parts)
        self._left = times[n:]
        return times[:n]

    def _windows(self) -> Iterator[FloatArray]:
        """Times of the requests whose gaps begin in a window, some at a time."""
        total, at, turn = self._expected[-1], 0.0, 0
        while True:
            for window, draw in enumerate(self._draws):
                size = self._expected[window + 1] - self._expected[window]
                chunk = 16 + int(min(size, 4096))  # of the window alone, so that nothing hangs on n
                while at < self._expected[window + 1]:
                    places = np.cumsum(np.concatenate([[at], draw(chunk)]))[1:]
                    last = int(np.searchsorted(places, self._expected[window + 1], side="left"))
                    places = places[: last + 1]
                    at = float(places[-1])
                    turns, within = np.divmod(places, total)
                    yield (turn + turns) * self._edges_s[-1] + np.interp(
                        within, self._expected, self._edges_s
                    )
            turns_gone, at = divmod(at, total)
            turn += int(turns_gone)


def gamma_gaps(burstiness: float, rng: np.random.Generator) -> DrawGaps:
    """Gamma gaps of mean 1 and CV 1/√burstiness."""
    return lambda n: rng.gamma(burstiness, 1 / burstiness, n)


def modulated_gamma(arrival: ModulatedGammaArrivals, streams: Streams) -> WindowedTimes:
    """The times of ``arrival``."""
    rng, count = streams("arrivals"), len(arrival.burstiness)
    weights = np.array(arrival.rates or [1.0] * count, dtype=np.float64)
    return WindowedTimes(
        np.arange(count + 1, dtype=np.float64) * arrival.window_s,
        weights * (arrival.request_rate / weights.mean()),
        [gamma_gaps(burstiness, rng) for burstiness in arrival.burstiness],
    )
