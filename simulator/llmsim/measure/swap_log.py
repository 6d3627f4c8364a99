"""What went to host memory and back."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class SwapLog:
    """Sums over the fleet's replicas that swap.

    Attributes:
        out_bytes, in_bytes: KV copied to host memory, and back.
        link_s: Time that their host links were at it, both directions added up.
    """

    out_bytes: float
    in_bytes: float
    link_s: float

    def summary(self) -> dict[str, float]:
        """The fields of the summary's ``kv_swaps``."""
        return {"out_bytes": self.out_bytes, "in_bytes": self.in_bytes, "link_s": self.link_s}
