"""One direction of a link, and the bytes that queue for it."""

from __future__ import annotations


class Pipe:
    """Moves bytes one after another, first come, first served: when they arrive is known when they are sent.

    Whoever shares the link shares the object, as replicas of one machine do, or the layers of memory below one.

    Args:
        bytes_per_s: What it carries.
        latency_s: From one end to the other; what follows need not wait for it.

    Attributes:
        free_s: When it has sent all it was given so far.
        carried_bytes: How much that is.
    """

    def __init__(self, bytes_per_s: float, latency_s: float = 0.0) -> None:
        self.bytes_per_s = bytes_per_s
        self.latency_s = latency_s
        self.free_s = 0.0
        self.carried_bytes = 0.0

    def would_arrive_s(self, num_bytes: float, now_s: float) -> float:
        """When the last of ``num_bytes`` would arrive, if they were sent now. Pure query."""
        return max(self.free_s, now_s) + num_bytes / self.bytes_per_s + self.latency_s

    def send(self, num_bytes: float, now_s: float) -> float:
        """``num_bytes`` join the queue; returns when the last of them arrives."""
        self.free_s = max(self.free_s, now_s) + num_bytes / self.bytes_per_s
        self.carried_bytes += num_bytes
        return self.free_s + self.latency_s
