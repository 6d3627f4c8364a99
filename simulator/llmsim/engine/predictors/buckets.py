"""A classifier of output lengths, with its confusion matrix."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from itertools import accumulate, pairwise
from typing import Annotated, Literal

from pydantic import Field, model_validator

from llmsim.engine.predictor import Predictor
from llmsim.engine.request import Request
from llmsim.spec.base import Place, Strict, raise_problems
from llmsim.units import Quantity

Share = Annotated[float, Field(ge=0, le=1)]

S3_ACCURACY = {"s3-google-nq": 0.7713, "s3-pile": 0.656}
"""Share of requests whose bucket S3's classifier (DistilBERT, 10 buckets) finds: Jin et al. 2023,
arXiv 2306.06000, as ri.k117.org quotes it; not compared with the paper."""


class BucketOptions(Strict):
    """Options of ``predictor: {kind: buckets}``."""

    num_buckets: int = Field(10, ge=1, le=1000, description="equal buckets up to `longest_tokens`; S3 has 10")
    longest_tokens: int | None = Field(
        None, ge=1, description="upper end of the last bucket; null is max_model_len",
        json_schema_extra={"unit": "tokens"},
    )  # fmt: skip
    edges: list[Annotated[int, Field(ge=1)]] | None = Field(
        None, min_length=1, description="upper ends of the buckets, rising, in place of equal ones",
        json_schema_extra={"unit": "tokens"},
    )  # fmt: skip
    accuracy: Annotated[float, Quantity("share")] | None = Field(
        None, gt=0, le=1, description="share of requests whose bucket is found; null is all of them"
    )
    preset: Literal["s3-google-nq", "s3-pile"] | None = Field(
        None, description="accuracy that S3 reports: 77.13% on Google-NQ, 65.6% on the Pile"
    )
    misses: Literal["adjacent", "uniform"] = Field(
        "adjacent",
        description="where a request goes that is not found: a bucket beside its own, or any other",
    )
    confusion: list[list[Share]] | None = Field(
        None,
        min_length=1,
        description="share of the requests of bucket i (row) told to be in bucket j (column)",
    )

    @model_validator(mode="after")
    def _fits_together(self) -> BucketOptions:
        raise_problems("BucketOptions", self._conflicts())
        return self

    @property
    def count(self) -> int:
        """How many buckets there are. Pure query."""
        return len(self.edges) if self.edges else self.num_buckets

    def _conflicts(self) -> Iterator[tuple[Place, str]]:
        given = [key for key in ("accuracy", "preset", "confusion") if getattr(self, key) is not None]
        for key in given[1:]:
            yield (key,), f"`{given[0]}` says that already; keep one of the two"
        if self.edges and any(a >= b for a, b in pairwise(self.edges)):
            yield ("edges",), "should rise from one to the next"
        if self.edges and self.longest_tokens is not None:
            yield ("longest_tokens",), "the last of `edges` says that already; remove it"
        for row, shares in enumerate(self.confusion or []):
            if len(shares) != self.count:
                yield ("confusion", row), f"has {len(shares)} shares; there are {self.count} buckets"
            elif abs(sum(shares) - 1) > 1e-6:
                yield ("confusion", row), f"the shares should sum to 1, not {sum(shares):g}"
        if self.confusion and len(self.confusion) != self.count:
            yield ("confusion",), f"has {len(self.confusion)} rows; there are {self.count} buckets"


class Buckets(Predictor):
    """A classifier: finds the bucket of a request's output length, or misses it, and says the bucket's upper end.

    An output that turns out longer is taken to be in the next bucket. That a miss lies beside the true bucket is an
    assumption; ``misses: uniform`` or a ``confusion`` matrix say otherwise.

    Source: S3 (Jin et al. 2023, arXiv 2306.06000).
    """

    Options = BucketOptions
    options: BucketOptions

    def __init__(self, longest: int, seed: int = 0, options: BucketOptions | None = None) -> None:
        super().__init__(longest, seed, options)
        o = self.options
        last = o.longest_tokens or longest
        self._edges = o.edges or [-(-last * (i + 1) // o.num_buckets) for i in range(o.num_buckets)]
        rows = o.confusion or _confusion(len(self._edges), self._accuracy(), o.misses)
        self._rows = [list(accumulate(row)) for row in rows]

    def _accuracy(self) -> float:
        if self.options.preset:
            return S3_ACCURACY[self.options.preset]
        return 1.0 if self.options.accuracy is None else self.options.accuracy

    def first(self, req: Request) -> int:
        """See :class:`Predictor`."""
        last = len(self._edges) - 1
        bucket = min(bisect_left(self._edges, req.output_tokens), last)
        return self._edges[min(bisect_right(self._rows[bucket], self.draws.of(req)), last)]

    def revised(self, exceeded: int) -> int:
        """See :class:`Predictor`: the next bucket's end; beyond the last one, twice as many."""
        following = bisect_right(self._edges, exceeded)
        return self._edges[following] if following < len(self._edges) else 2 * exceeded


def _confusion(count: int, accuracy: float, misses: str) -> list[list[float]]:
    """The matrix of a classifier that finds a share ``accuracy`` of every bucket. shape (count, count)"""
    rows = []
    for true in range(count):
        if misses == "uniform":
            wrong = [j for j in range(count) if j != true]
        else:
            wrong = [j for j in (true - 1, true + 1) if 0 <= j < count]
        row = [(1 - accuracy) / len(wrong) if j in wrong else 0.0 for j in range(count)]
        row[true] = accuracy if wrong else 1.0
        rows.append(row)
    return rows
