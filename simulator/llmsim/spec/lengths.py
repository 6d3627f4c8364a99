"""Lengths of prompts and outputs, in tokens: fixed, or drawn from a distribution.

A draw is rounded to whole tokens. One that is less than a token, or outside a distribution's own
``min`` and ``max``, is drawn again, never clipped: clipping would pile requests up at the limit.
``mean`` and ``std`` describe the distribution before that.
"""

from __future__ import annotations

from math import inf, log, log1p, sqrt
from statistics import NormalDist
from typing import Annotated, Literal

from pydantic import Field, model_validator

from llmsim.spec.base import Strict

MAX_TOKENS = 10**9
LEAST_ACCEPTED_SHARE = 0.01
"""A distribution that has to draw more than 100 times per length is a mistake, not a workload."""

TokenCount = Annotated[int, Field(ge=1, le=MAX_TOKENS, json_schema_extra={"unit": "tokens"})]
MeanTokens = Annotated[float, Field(ge=1e-3, le=MAX_TOKENS, json_schema_extra={"unit": "tokens"})]


class UniformTokens(Strict):
    """Every whole number from ``min`` to ``max``, both included, equally often."""

    kind: Literal["uniform"]
    min: TokenCount = Field(description="shortest length")
    max: TokenCount = Field(description="longest length")

    @model_validator(mode="after")
    def _ordered(self) -> UniformTokens:
        _check_order(self.min, self.max)
        return self


class _Bell(Strict):
    """What normal and lognormal lengths share."""

    mean: MeanTokens = Field(description="mean before rounding and redrawing")
    std: MeanTokens = Field(description="standard deviation before rounding and redrawing")
    min: TokenCount = Field(1, description="shortest length; a shorter draw is drawn again")
    max: TokenCount | None = Field(
        None, description="longest length; a longer draw is drawn again; null is no limit"
    )

    @model_validator(mode="after")
    def _drawable(self) -> _Bell:
        _check_order(self.min, self.longest)
        share = self.share_below(self.longest + 0.5) - self.share_below(self.min - 0.5)
        if not share >= LEAST_ACCEPTED_SHARE:  # nan where the numbers are beyond all reason
            raise ValueError(
                f"only {share:.2%} of the draws would be from {self.min} to {self.longest} tokens long; "
                "widen the limits or move the mean"
            )
        return self

    @property
    def longest(self) -> float:
        """``max``, infinite when there is none."""
        return inf if self.max is None else self.max

    def share_below(self, tokens: float) -> float:
        """Share of the draws, before rounding, that are shorter than ``tokens``."""
        raise NotImplementedError


class NormalTokens(_Bell):
    """Normal lengths, redrawn outside the limits."""

    kind: Literal["normal"]

    def share_below(self, tokens: float) -> float:
        """Share of the draws, before rounding, that are shorter than ``tokens``."""
        return NormalDist(self.mean, self.std).cdf(tokens)


class LogNormalTokens(_Bell):
    """Lognormal lengths; ``mean`` and ``std`` are those of the lengths, not of their logarithm."""

    kind: Literal["lognormal"]

    @property
    def sigma(self) -> float:
        """Standard deviation of the logarithm: σ² = ln(1 + std²/mean²)."""
        return sqrt(log1p((self.std / self.mean) ** 2))

    @property
    def mu(self) -> float:
        """Mean of the logarithm: ln mean − σ²/2."""
        return log(self.mean) - self.sigma**2 / 2

    def share_below(self, tokens: float) -> float:
        """Share of the draws, before rounding, that are shorter than ``tokens``."""
        return NormalDist(self.mu, self.sigma).cdf(log(tokens))


class QuantileTokens(Strict):
    """A distribution given by its percentiles, straight lines between them."""

    kind: Literal["quantiles"]
    percentiles: list[Annotated[float, Field(ge=0, le=100)]] = Field(
        min_length=2, description="rising, from 0 to 100", json_schema_extra={"unit": "%"}
    )
    tokens: list[TokenCount] = Field(min_length=2, description="the length at each percentile, never falling")

    @model_validator(mode="after")
    def _is_a_distribution(self) -> QuantileTokens:
        if len(self.percentiles) != len(self.tokens):
            raise ValueError(
                f"{len(self.percentiles)} percentiles but {len(self.tokens)} lengths; give as many of each"
            )
        if self.percentiles[0] != 0 or self.percentiles[-1] != 100:
            raise ValueError("percentiles must go from 0 (the shortest) to 100 (the longest)")
        if any(low >= high for low, high in zip(self.percentiles, self.percentiles[1:], strict=False)):
            raise ValueError("percentiles must rise")
        if any(low > high for low, high in zip(self.tokens, self.tokens[1:], strict=False)):
            raise ValueError("tokens must not fall from one percentile to the next")
        return self


class ChoiceTokens(Strict):
    """One of a few lengths."""

    kind: Literal["choice"]
    tokens: list[TokenCount] = Field(min_length=1, description="the lengths")
    weights: list[Annotated[float, Field(gt=0, le=1e12)]] | None = Field(
        None, description="how often each, relative to the others; null is equally often"
    )

    @model_validator(mode="after")
    def _one_weight_each(self) -> ChoiceTokens:
        if self.weights is not None and len(self.weights) != len(self.tokens):
            raise ValueError(
                f"{len(self.tokens)} lengths but {len(self.weights)} weights; give as many of each"
            )
        return self


Distribution = Annotated[
    UniformTokens | NormalTokens | LogNormalTokens | QuantileTokens | ChoiceTokens,
    Field(discriminator="kind"),
]
Tokens = TokenCount | Distribution
"""A length as a scenario gives it: a number, or a mapping with a ``kind``."""


def _check_order(least: float, most: float) -> None:
    if least > most:
        raise ValueError(f"min ({least}) is greater than max ({most})")
