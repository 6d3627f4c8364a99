"""Named random streams from one seed.

Each purpose draws from a stream of its own, so that a new purpose never moves an old one.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

Streams = Callable[[str], np.random.Generator]
"""Purpose to its random stream, from the start again at each call."""


def stream(seed: int, name: str) -> np.random.Generator:
    """The random stream ``name`` of run ``seed``: same two, same numbers, in any process.

    The name's bytes are the spawn key, so two names never share a stream (numpy, "Parallel
    random number generation": ``SeedSequence(entropy, spawn_key)``).
    """
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed, spawn_key=tuple(name.encode()))))


def streams(seed: int, prefix: str = "") -> Streams:
    """The random streams of run ``seed`` whose names begin with ``prefix``."""
    return lambda name: stream(seed, prefix + name)
