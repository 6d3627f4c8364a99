"""When requests arrive.

However many are taken at a time, the same times come: gaps use their random stream one after another,
and each time is the one before plus a gap, summed in that order.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from llmsim.workload.profile import RateProfile

FloatArray = npt.NDArray[np.float64]

Take = Callable[[int], FloatArray]
"""``take(n)``: the next n arrival times in seconds, never falling."""


class RenewalArrivals:
    """Independent gaps, the first of them before the first request."""

    def __init__(self, draw_gaps: Take) -> None:
        self._draw_gaps = draw_gaps
        self._last = 0.0

    def __call__(self, n: int) -> FloatArray:
        """The next n times."""
        times = np.cumsum(np.concatenate([[self._last], self._draw_gaps(n)]))[1:]
        self._last = float(times[-1])
        return times


def gamma(rate: float, burstiness: float, rng: np.random.Generator) -> Take:
    """Gaps ~ Gamma(shape = burstiness, scale = 1/(rate·burstiness)): mean 1/rate, CV 1/√burstiness.

    Burstiness 1 is the Poisson process. Source: vLLM, ``benchmarks/serve.py``, ``get_request``.
    """
    return RenewalArrivals(lambda n: rng.gamma(burstiness, 1 / (rate * burstiness), n))


class SteadyArrivals:
    """``size`` requests at once every ``every_s`` seconds, the first at 0 s."""

    def __init__(self, every_s: float, size: int = 1) -> None:
        self._every_s = every_s
        self._size = size
        self._next = 0

    def __call__(self, n: int) -> FloatArray:
        """The next n times."""
        turns = np.arange(self._next, self._next + n) // self._size
        self._next += n
        return np.multiply(turns, self._every_s, dtype=np.float64)


class GivenArrivals:
    """Times that are known, such as a trace's."""

    def __init__(self, times: FloatArray) -> None:
        self._times = times
        self._next = 0

    def __call__(self, n: int) -> FloatArray:
        """The next n times."""
        self._next += n
        return self._times[self._next - n : self._next]


class ProfileTimes:
    """Arrivals with a rate that changes over time (time change of a renewal process).

    Events of a process of rate 1 with the profile's burstiness are placed where the expected number
    of requests Λ(t) = ∫ rate reaches theirs. With burstiness 1 this is the inhomogeneous Poisson
    process (Çınlar 1975, "Introduction to Stochastic Processes", chapter 4.7).

    Args:
        profile: The rate, window by window; after its end it starts again.
        rate_scale: Multiplies the rate.
        time_scale: Stretches time; the number of requests stays, so the rate falls.
        rng: The random stream.
    """

    def __init__(
        self, profile: RateProfile, rate_scale: float, time_scale: float, rng: np.random.Generator
    ) -> None:
        self._edges_s = window_edges(profile) * time_scale  # (num_windows + 1,)
        self._expected = expected_requests(profile) * rate_scale  # (num_windows + 1,)
        self._unit_rate = gamma(1.0, profile.burstiness, rng)

    def __call__(self, n: int) -> FloatArray:
        """The next n times."""
        turns, within = np.divmod(self._unit_rate(n), self._expected[-1])
        times: FloatArray = turns * self._edges_s[-1] + np.interp(within, self._expected, self._edges_s)
        return times


def window_edges(profile: RateProfile) -> FloatArray:
    """Where windows begin, and the end, in seconds. shape (num_windows + 1,)"""
    starts = np.arange(len(profile.requests_per_s)) * profile.window_s
    return np.append(starts, profile.duration_s)


def expected_requests(profile: RateProfile) -> FloatArray:
    """Λ, the requests expected up to each window's edge. shape (num_windows + 1,)"""
    counts = np.diff(window_edges(profile)) * profile.requests_per_s
    return np.concatenate([[0.0], np.cumsum(counts)])
