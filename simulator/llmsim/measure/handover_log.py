"""What prefill replicas handed over to decode replicas."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class HandoverLog:
    """Sums over the requests that went on at a decode replica.

    Attributes:
        requests: How many.
        kv_bytes: Of their KV, sent when the prompt was done or before.
        exposed_s: From the end of the prompt until the KV had arrived, waiting for room included.
    """

    requests: int = 0
    kv_bytes: float = 0.0
    exposed_s: float = 0.0

    def summary(self) -> dict[str, float | None]:
        """The fields of the summary's ``kv_transfers``."""
        mean_ms = 1e3 * self.exposed_s / self.requests if self.requests else None
        return {"requests": self.requests, "bytes": self.kv_bytes, "mean_exposed_ms": mean_ms}
