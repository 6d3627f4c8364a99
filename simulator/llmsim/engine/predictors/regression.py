"""A regression on output lengths, with the distribution of its errors."""

from __future__ import annotations

from math import exp
from statistics import NormalDist
from typing import Literal

from pydantic import Field

from llmsim.engine.predictor import Predictor
from llmsim.engine.request import Request
from llmsim.spec.base import Strict

TINY = 2.0**-54
"""Half the gap between the numbers that are drawn: keeps them off 0, which has no normal quantile."""


class RegressionOptions(Strict):
    """Options of ``predictor: {kind: regression}``."""

    error: Literal["lognormal", "normal"] = Field(
        "lognormal",
        description="lognormal: `spread` is of ln(said / true); normal: of said - true, in tokens",
    )
    spread: float = Field(0.5, ge=0, le=1e6, description="standard deviation of the error; 0 is none")
    bias: float = Field(
        1.0, gt=0, le=1e3, description="median of said / true: below 1 it says too little, above 1 too much"
    )


class Regression(Predictor):
    """A regression: says the true length times ``bias``, with an error of ``spread`` around it.

    The default spread is an assumption; take your own predictor's from its validation set.
    """

    Options = RegressionOptions
    options: RegressionOptions
    _normal = NormalDist()

    def first(self, req: Request) -> int:
        """See :class:`Predictor`."""
        o = self.options
        error = o.spread * self._normal.inv_cdf(self.draws.of(req) + TINY)
        middle = req.output_tokens * o.bias
        said = middle * exp(min(error, 50.0)) if o.error == "lognormal" else middle + error
        return max(1, min(round(said), self.longest))
