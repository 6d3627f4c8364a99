"""S3: KV reserved by the predicted length of an output."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from llmsim.engine.batch import Batch
from llmsim.engine.request import Request
from llmsim.engine.schedulers.ordered import Lane, Ordered
from llmsim.spec.attention import FOREVER
from llmsim.spec.base import Strict


class ReservationOptions(Strict):
    """Options of ``scheduler: {kind: s3}``."""

    order: Literal["arrival", "longest"] = Field(
        "arrival",
        description="who waits goes in order of arrival, or the largest reservation first (S3's decreasing first fit, "
        "for work that is all there at once)",
    )  # fmt: skip


class PredictedReservation(Ordered):
    """A request is let in with room for its prompt and the output that the predictor says.

    An output that turns out longer has its KV thrown away and comes again with the room that the predictor says then:
    twice as much, or the next bucket. Without a predictor it is Orca: everybody reserves ``max_model_len``.

    Source: S3 (Jin et al. 2023, arXiv 2306.06000), without its retraining.
    """

    Options = ReservationOptions
    options: ReservationOptions
    always_reviews = True

    def rank(self, req: Request, generated: int) -> float:
        """See :class:`Ordered`."""
        if self.options.order == "arrival":
            return req.arrival_s
        return -self._reservation(req, generated)

    def room_for(self, req: Request, tokens: int) -> int:
        """See :class:`Ordered`: the whole reservation, however little of it is needed now."""
        return max(tokens, self._reservation(req, req.generated))

    def _reservation(self, req: Request, generated: int) -> int:
        """Tokens that ``req`` reserves with so many generated; the pool and its limits allow no more. Pure query."""
        predicted = req.input_tokens + self.knows.predictor.tokens(req, generated)
        return min(predicted, self._most())

    def _most(self) -> int:
        return min(self.limits.max_model_len, max(self.kv.num_tokens, self.kv.surely_fits))

    def review_at(self, req: Request, generated: int) -> int | None:
        """See :class:`Ordered`: when the reservation is used up, unless it is as large as any can be."""
        reserved = self._reservation(req, generated)
        return None if reserved >= self._most() else reserved - req.input_tokens

    def reviewed(self, batch: Batch, lane: Lane, req: Request) -> None:
        """See :class:`Ordered`: it has outgrown its room."""
        self.throw_out(batch, lane, req)

    def steady(self, batch: Batch, lane: Lane) -> int:
        """See :class:`Ordered`: until a reservation is used up, whoever waits."""
        return max(1, lane.reviews.next - batch.iteration) if lane.reviews else FOREVER
