"""Sessions: who asks what, drawn session after session, so that it hangs on nothing that happens to them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import accumulate, count
from math import nan

import numpy as np
import numpy.typing as npt

from llmsim.engine.request import Request
from llmsim.rng import Streams
from llmsim.spec.sessions import Sessions
from llmsim.workload import lengths
from llmsim.workload.draws import counter, timer
from llmsim.workload.prefixes import LONGEST, Prefixes

SESSIONS = 256
"""Sessions drawn at a time; has no influence on them."""


class Session:
    """One session: what it will ask, and how far it is.

    Attributes:
        name: Its ``session_id``.
        prompts: Tokens of its requests' prompts. One for each request.
        outputs: Tokens of their outputs.
        pauses_s: From the end of the request before; the first one's is 0.
        asked: Requests sent.
        first: Number of its first request in the workload, whose others follow.
    """

    __slots__ = (
        "_first_id",
        "_ids",
        "_prefix",
        "_unit",
        "asked",
        "first",
        "name",
        "outputs",
        "pauses_s",
        "prompts",
    )

    def __init__(
        self, name: str, prompts: list[int], outputs: list[int], pauses_s: list[float],
        prefix: tuple[int, ...], unit: int, first_id: int,
    ) -> None:  # fmt: skip
        self.name, self.prompts, self.outputs, self.pauses_s = name, prompts, outputs, pauses_s
        self.asked = self.first = 0
        self._prefix, self._unit, self._first_id = prefix, unit, first_id
        self._ids = list(prefix)

    def __len__(self) -> int:
        return len(self.prompts)

    def cut(self, most: int) -> None:
        """It asks ``most`` times at most."""
        del self.prompts[most:]

    def ask(self, ended_s: float) -> Request | None:
        """Its next request, the one before having ended then; None when there is none left."""
        turn = self.asked
        if turn == len(self.prompts):
            return None
        self.asked += 1
        prompt, output = self.prompts[turn], self.outputs[turn]
        req = Request(self.first + turn, ended_s + self.pauses_s[turn], prompt, output)
        req.session_id, req.hash_tokens = self.name, self._unit
        req.hash_ids = self._hashes(prompt, output)
        return req

    def _hashes(self, prompt: int, output: int) -> tuple[int, ...]:
        """Hashes of the prompt and the answer: the next prompt goes on from there.

        At least one more than the prompt needs: they would be taken for the prompt's alone otherwise.
        """
        unit, ids = self._unit, self._ids
        needed = max(prompt // unit + 2, -(-(prompt + output) // unit))
        ids.extend(range(self._first_id + len(ids), self._first_id + needed))
        return tuple(ids[:needed])


class SessionSource:
    """Draws sessions, each whole: its length, its tokens and its pauses, from streams of their own.

    Args:
        spec: What the workload says of them.
        start_lengths: New prompt tokens and outputs of requests; an agent's further prompts are its tools'.
        streams: The random streams.
        prefixes: What sessions begin with; None where they share nothing.
        group: Number of the group among those of the workload.
        label: Before a session's number in its ``session_id``.
    """

    def __init__(
        self,
        spec: Sessions,
        start_lengths: Callable[[], lengths.Take],
        streams: Streams,
        prefixes: Callable[[], Prefixes] | None = None,
        group: int = 0,
        label: str = "",
    ) -> None:
        self._spec = spec
        self._start_lengths = start_lengths
        self._streams = streams
        self._prefixes = prefixes
        self._group = group
        self._label = label

    def openings(self, live: dict[str, Session]) -> Iterator[Request]:
        """The first request of each session, without a time; the sessions are put into ``live``."""
        for session in self.sessions():
            live[session.name] = session
            req = session.ask(nan)
            assert req is not None  # a session has one request at least
            yield req

    def sessions(self) -> Iterator[Session]:
        """All of them, from the first at each call; there is no end."""
        spec, streams = self._spec, self._streams
        take = self._start_lengths()
        turns = counter(spec.turns, streams("sessions.turns"))
        calls = counter(spec.calls, streams("sessions.calls"))
        think = timer(spec.think_time_s, streams("sessions.think"))
        run_tool = timer(spec.tool_time_s or 0.0, streams("sessions.tool_time"))
        result = lengths.drawer(spec.tool_tokens or 1, streams("sessions.tool_tokens"))
        shared = self._prefixes() if self._prefixes else None
        numbers = count()
        while True:
            per_session = turns(SESSIONS)  # (SESSIONS,)
            per_turn = calls(int(per_session.sum()))  # (num_turns,)
            asks = _first_of_each(per_turn)  # (num_requests,): a user's question, not a tool's result
            drawn = take(len(asks))
            new = drawn.inputs.copy()
            new[~asks] = result(int((~asks).sum()))
            pauses_s = np.empty(len(asks))
            pauses_s[asks], pauses_s[~asks] = think(len(per_turn)), run_tool(int((~asks).sum()))
            ends = np.cumsum(np.add.reduceat(per_turn, np.cumsum(per_session) - per_session))
            chains = shared.draw(SESSIONS) if shared else [()] * SESSIONS
            start = 0
            for end, chain in zip(ends.tolist(), chains, strict=True):
                yield self._session(
                    next(numbers), new[start:end].tolist(), drawn.outputs[start:end].tolist(),
                    pauses_s[start:end].tolist(), shared, chain,
                )  # fmt: skip
                start = end

    def _session(
        self, number: int, new: list[int], outputs: list[int], pauses_s: list[float],
        shared: Prefixes | None, chain: tuple[int, ...],
    ) -> Session:  # fmt: skip
        new[0] += shared.tokens if shared else 0
        pauses_s[0] = 0.0
        ends = list(accumulate(map(sum, zip(new, outputs, strict=True))))
        prompts = [end - output for end, output in zip(ends, outputs, strict=True)]
        session = Session(
            f"{self._label}{number}", prompts, outputs, pauses_s, chain,
            shared.hash_tokens if shared else LONGEST, (self._group << 50) + (number << 22),
        )  # fmt: skip
        most = self._spec.max_context_tokens
        if most is not None:
            session.cut(max(1, int(np.searchsorted(ends, most, side="right"))))
        return session


def _first_of_each(counts: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """Groups of so many in a row: whether each is the first of its group. shape (sum(counts),)"""
    firsts = np.zeros(int(counts.sum()), dtype=bool)
    firsts[np.cumsum(counts) - counts] = True
    return firsts
