"""A request and what happened to it."""

from __future__ import annotations

from math import nan
from typing import Literal, NamedTuple

from llmsim.spec.attention import FOREVER

Status = Literal["waiting", "running", "completed", "rejected", "dropped", "lost", "unfinished"]


class Stint(NamedTuple):
    """One stay among the decoding sequences of a micro-batch: a token on joining, and one an iteration.

    Attributes:
        replica, lane: Which micro-batch.
        joined_s: When prefill brought its first token out.
        join_iteration: Decode iterations of the micro-batch by then.
        decoded: Decode iterations it stayed for.
    """

    replica: int
    lane: int
    joined_s: float
    join_iteration: int
    decoded: int


class Request:
    """One request. The engine writes its progress and times; reports read them afterwards.

    Attributes:
        id: Its number in the workload, from 0: its position in order of arrival or, where sessions bring requests,
            session after session, however fast they are served.
        arrival_s: When it reached the router, in seconds from the run's start.
        held_s: For how long its client had held it back by then.
        input_tokens: Prompt length.
        output_tokens: Tokens it will produce. Known to a real server only as a limit; schedulers
            other than declared oracles must not read it.
        width: Sequences that it runs as, in step with one another, from its first token on: each is computed and
            holds KV, one brings out the answer. 1 but for groups such as the beams of a search.
        group: What it has in common with others that belong on the same replica, such as completions of one prompt;
            -1 without one.
        max_tokens: Most output tokens that its user asked for; no limit but the model's by default.
        stop_at: Output tokens after which the replica that has it now is done with it: all of them, unless
            another one goes on.
        class_name: Its SLO class.
        tenant: Whose it is; "" where nobody says.
        priority: Less is more urgent, as in vLLM's requests.
        model: The model it asks for; "" is the scenario's.
        session_id: The conversation it belongs to; "" without one.
        hash_ids: Chained hashes of its prompt's blocks, as in Mooncake's traces: equal ids mean equal
            prompts up to there; () where they are not known. Fewer than the prompt has say that nobody shares
            the rest; more go on into what it generates.
        hash_tokens: Tokens that each of them stands for.
        segments: (name, tokens) of parts of its prompt that others may have as well, anywhere in theirs.
        given_tokens: Prompt tokens that the workload says are never computed, but attended to and held in
            blocks like any others.
        cached_tokens: Prompt tokens that it did not have to compute when it was first admitted: those, or what
            the replica's prefix cache had.
        prefill_target: Tokens its prefill has to compute: the prompt, and after a preemption by
            recompute also the tokens generated so far.
        computed: Tokens of ``prefill_target`` computed.
        generated: Output tokens produced when it last joined the decoding sequences.
        kv_tokens, blocks: Tokens in its KV cache, and blocks it holds, when it last joined.
        join_iteration, join_context: The batch's iteration count and its (padded) context when it joined.
        lane, joined_s: That batch's lane, and when it joined: the moment prefill brought a token out.
        stints: The times it joined before and was taken out again; () for nearly all.
        scheduled_s, first_token_s, last_token_s, finish_s: Times; nan until they happen.
            ``last_token_s`` is up to date when it joins, is preempted, or is done; ``finish_s`` is when its
            user has all of it, which under static batching is later.
        preemptions: How often it lost its place.
        moves: How often it went on at another replica, with its KV or without.
        lost_tokens: Tokens of KV it lost with replicas, all computed anew.
        discarded_tokens: Output tokens it made that never reached the user, and made again.
        replica: Index of the replica that served it last; -1 before.
        status: Where it is, and at the end its one bucket.
        reason: Why it was rejected, dropped or lost.
        left_s: When it was turned away or given up for good, if that was after its arrival; nan otherwise.
    """

    __slots__ = (
        "arrival_s",
        "blocks",
        "cached_tokens",
        "class_name",
        "computed",
        "discarded_tokens",
        "finish_s",
        "first_token_s",
        "generated",
        "given_tokens",
        "group",
        "hash_ids",
        "hash_tokens",
        "held_s",
        "id",
        "input_tokens",
        "join_context",
        "join_iteration",
        "joined_s",
        "kv_tokens",
        "lane",
        "last_token_s",
        "left_s",
        "lost_tokens",
        "max_tokens",
        "model",
        "moves",
        "output_tokens",
        "preemptions",
        "prefill_target",
        "priority",
        "reason",
        "replica",
        "scheduled_s",
        "segments",
        "session_id",
        "status",
        "stints",
        "stop_at",
        "tenant",
        "width",
    )

    def __init__(
        self, id: int, arrival_s: float, input_tokens: int, output_tokens: int, class_name: str = "default"
    ) -> None:
        self.id = id
        self.arrival_s = arrival_s
        self.input_tokens = input_tokens
        self.output_tokens = self.stop_at = output_tokens
        self.class_name = class_name
        self.prefill_target = input_tokens
        self.cached_tokens = self.given_tokens = self.computed = self.generated = self.kv_tokens = (
            self.blocks
        ) = 0
        self.width, self.group = 1, -1
        self.join_iteration = self.join_context = self.lane = self.preemptions = 0
        self.moves = self.lost_tokens = self.discarded_tokens = 0
        self.max_tokens = FOREVER
        self.model = self.session_id = self.tenant = ""
        self.priority = 0
        self.hash_ids: tuple[int, ...] = ()
        self.hash_tokens = 512
        self.segments: tuple[tuple[int, int], ...] = ()
        self.stints: tuple[Stint, ...] = ()
        self.scheduled_s = self.first_token_s = self.last_token_s = self.finish_s = self.left_s = nan
        self.joined_s = nan
        self.replica = -1
        self.status: Status = "waiting"
        self.reason = ""
        self.held_s = 0.0

    def end_stint(self) -> None:
        """It leaves the decoding sequences before it is done, with ``generated`` up to date."""
        self.stints = self.stays

    @property
    def stays(self) -> tuple[Stint, ...]:
        """All its stints, the one that ends with its last token so far included. Pure query."""
        decoded = self.generated - 1 - sum(1 + stint.decoded for stint in self.stints)
        if decoded < 0:  # none of this one's tokens has reached the user
            return self.stints
        last = Stint(self.replica, self.lane, self.joined_s, self.join_iteration, decoded)
        return (*self.stints, last)
