"""The memory behind a replica's accelerators, and the way there."""

from __future__ import annotations

from math import inf
from typing import NamedTuple


class HostMemory(NamedTuple):
    """How KV gets to the hosts of a replica's accelerators. Each moves its part, all at once.

    Every accelerator has a link of its own to its host (a PCIe slot), so that replicas share none; both directions
    work at a time. The hosts' memory and the switches between are taken to keep up.

    Attributes:
        bytes_per_token: KV of a token, over all the replica's accelerators.
        bytes_per_s: KV of the replica that goes over in a second in one direction: the accelerator whose part takes
            longest sets the pace.
        largest_part: Share of ``bytes_per_token`` on the accelerator that has most of it.
    """

    bytes_per_token: float = 1.0
    bytes_per_s: float = inf
    largest_part: float = 1.0

    def tokens_in(self, bytes_each: float) -> float:
        """Tokens of KV that fit in so many bytes of host memory for each accelerator. Pure query."""
        size = self.bytes_per_token * self.largest_part
        return bytes_each / size if size else inf


HOST = HostMemory()
"""One that nothing takes time to get to."""
