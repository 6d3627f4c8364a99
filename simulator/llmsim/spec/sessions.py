"""Conversations: requests that follow one another and grow by what was said before."""

from __future__ import annotations

from pydantic import Field, model_validator

from llmsim.spec.base import Strict
from llmsim.spec.draws import Count, Time, mean_count, mean_time_s
from llmsim.spec.lengths import TokenCount, Tokens


class Sessions(Strict):
    """Users who read an answer, think, and ask on; agents that call the model several times for each answer.

    A request comes when the one before it is finished and a pause is over. Its prompt is all that was said so far
    and its own new tokens: `input_tokens` of the user, or what a tool returned. A session whose request is refused,
    dropped or lost ends there.
    """

    turns: Count = Field(description="questions that a user asks: a number or a distribution")
    think_time_s: Time = Field(description="from the end of an answer to the next question")
    calls: Count = Field(
        1, description="requests for each question: an agent's, of which all but the last call a tool"
    )
    tool_time_s: Time | None = Field(
        None, description="from the end of an agent's request to its next: how long the tool takes"
    )
    tool_tokens: Tokens | None = Field(
        None, description="what a tool returns, which the next prompt ends with"
    )
    max_context_tokens: TokenCount | None = Field(
        None,
        description="a session ends before a request whose prompt and output would be longer, its first one left "
        "out; null never",
    )

    @model_validator(mode="after")
    def _tools_are_whole(self) -> Sessions:
        missing = [name for name in ("tool_time_s", "tool_tokens") if getattr(self, name) is None]
        if self.calls != 1 and missing:
            raise ValueError(f"an agent with several `calls` also needs {' and '.join(missing)}")
        if self.calls == 1 and len(missing) < 2:
            raise ValueError(
                "tool_time_s and tool_tokens are about an agent's `calls`, and there is one; set `calls`"
            )
        return self

    @property
    def mean_requests(self) -> float:
        """Requests of a session on average, `max_context_tokens` left out. Pure query."""
        return mean_count(self.turns) * mean_count(self.calls)

    def mean_stay_s(self, request_s: float) -> float:
        """How long a session lasts on average whose requests take so long each, likewise. Pure query."""
        turns, calls = mean_count(self.turns), mean_count(self.calls)
        thinking = (turns - 1) * mean_time_s(self.think_time_s)
        return (
            self.mean_requests * request_s
            + thinking
            + turns * (calls - 1) * mean_time_s(self.tool_time_s or 0.0)
        )
