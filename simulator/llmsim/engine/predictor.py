"""What a length predictor is: a fallible guess at how long an output will be.

A scheduler sees what its predictor says and never the length itself. To write one, subclass
:class:`Predictor`, write :meth:`Predictor.first`, and register the class (or an entry point in the group
``llmsim.predictors``).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from array import array
from functools import lru_cache

from llmsim.engine.kv.base import NoOptions
from llmsim.engine.request import Request
from llmsim.rng import stream
from llmsim.spec.base import Strict

BLOCK = 4096
"""Requests whose numbers are drawn together; a request's own does not depend on which others come."""


KEPT = 1 << 16
"""Requests whose first prediction is remembered."""


class Draws:
    """One uniform number in [0, 1) for each request of a run, the same whenever and wherever it is asked for.

    Requests are known by their ids, which two scenarios with the same workload and seed share: a comparison of
    schedulers or predictors is paired.
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._blocks: dict[int, array[float]] = {}

    def of(self, req: Request) -> float:
        """The number of ``req``. Pure query."""
        block, place = divmod(req.id, BLOCK)
        if block not in self._blocks:
            drawn = stream(self._seed, f"predictor.{block}").random(BLOCK)
            self._blocks[block] = array("d", drawn.tolist())
        return self._blocks[block][place]


class Predictor(ABC):
    """Says how many output tokens a request will have. It may be wrong, and says so by a new guess.

    Args:
        longest: Most tokens an output can have: ``max_model_len``.
        seed: Of the run; every predictor of a run draws the same numbers for the same request.
        options: The class's ``Options``.
    """

    Options: type[Strict] = NoOptions
    is_informed = True
    """Whether what it says differs from one request to another."""

    def __init__(self, longest: int, seed: int = 0, options: Strict | None = None) -> None:
        self.longest = longest
        self.draws = Draws(seed)
        self.options = options if options is not None else self.Options()
        self.said = lru_cache(KEPT)(self.first)
        """:meth:`first`, remembered for the requests asked about last."""

    @abstractmethod
    def first(self, req: Request) -> int:
        """Output tokens that ``req`` is taken to have when it arrives, at least 1. Pure query."""

    def revised(self, exceeded: int) -> int:
        """What is said once ``exceeded`` tokens were said and the output is longer. Pure query.

        Twice as many, as S3 doubles a reservation that turns out too small (arXiv 2306.06000).
        """
        return 2 * exceeded

    def tokens(self, req: Request, generated: int = 0) -> int:
        """Output tokens that ``req`` is taken to have, now that ``generated`` are out and it goes on. Pure query."""
        said = self.said(req)
        while said <= generated:
            said = self.revised(said)
        return said

    def remaining(self, req: Request, generated: int = 0) -> int:
        """Output tokens that ``req`` is taken to have before it still, at least 1. Pure query."""
        return self.tokens(req, generated) - generated
