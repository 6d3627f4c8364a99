"""A client that lets so many requests be in flight and holds the others back, in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from llmsim.engine.request import Request
from llmsim.sim.clock import ARRIVAL, Clock


class Client:
    """The semaphore in front of an open loop: who waits for it is sent when another request is done.

    A request arrives when it is sent, so its latencies leave out the time it was held back, as a client
    measures them that starts its clock once it has the semaphore.

    Source: vLLM, ``vllm/benchmarks/serve.py``, ``limited_request_func``; asyncio's semaphore is first come,
    first served.

    Args:
        clock: Of the simulation.
        most_in_flight: Requests sent and not done.
        send: Takes a request that arrives now.
    """

    def __init__(self, clock: Clock, most_in_flight: int, send: Callable[[Request], None]) -> None:
        self._clock = clock
        self._free = most_in_flight
        self._send = send
        self._held: deque[Request] = deque()
        self._leaving = 0

    @property
    def num_held(self) -> int:
        """Requests not sent yet. Pure query."""
        return len(self._held)

    def issue(self, req: Request) -> None:
        """``req`` is due: it is sent, or held back."""
        if self._free:
            self._free -= 1
            self._send(req)
        else:
            self._held.append(req)

    def ended(self, count: int) -> None:
        """``count`` requests are done; as many of those held back go next, after all completions of this moment."""
        for _ in range(count):
            if len(self._held) > self._leaving:
                self._leaving += 1
                self._clock.call(self._clock.now, ARRIVAL, self._release)
            else:
                self._free += 1

    def _release(self) -> None:
        req = self._held.popleft()
        self._leaving -= 1
        req.held_s = self._clock.now - req.arrival_s
        req.arrival_s = self._clock.now
        self._send(req)
