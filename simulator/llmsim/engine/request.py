"""A request and what happened to it."""

from __future__ import annotations

from math import nan
from typing import Literal

Status = Literal["waiting", "running", "completed", "rejected", "dropped", "lost", "unfinished"]


class Request:
    """One request. The engine writes its progress and times; reports read them afterwards.

    Attributes:
        id: Position in order of arrival, from 0.
        arrival_s: When it reached the router, in seconds from the run's start.
        input_tokens: Prompt length.
        output_tokens: Tokens it will produce. Known to a real server only as a limit; schedulers
            other than declared oracles must not read it.
        stop_at: Output tokens after which the replica that has it now is done with it: all of them, unless
            another one goes on.
        class_name: Its SLO class.
        model: The model it asks for; "" is the scenario's.
        session_id: The conversation it belongs to; "" without one.
        hash_ids: Chained hashes of its prompt's blocks, as in Mooncake's traces: equal ids mean equal
            prompts up to there; () where they are not known.
        cached_tokens: Prompt tokens that a prefix cache already held: never computed, but attended to
            and held in blocks like any others.
        prefill_target: Tokens its prefill has to compute: the prompt, and after a preemption by
            recompute also the tokens generated so far.
        computed: Tokens of ``prefill_target`` computed.
        generated: Output tokens produced when it last joined the decoding sequences.
        kv_tokens, blocks: Tokens in its KV cache, and blocks it holds, when it last joined.
        join_iteration, join_context: The batch's iteration count and its (padded) context when it joined.
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
        "hash_ids",
        "id",
        "input_tokens",
        "join_context",
        "join_iteration",
        "kv_tokens",
        "last_token_s",
        "left_s",
        "lost_tokens",
        "model",
        "moves",
        "output_tokens",
        "preemptions",
        "prefill_target",
        "reason",
        "replica",
        "scheduled_s",
        "session_id",
        "status",
        "stop_at",
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
        self.cached_tokens = self.computed = self.generated = self.kv_tokens = self.blocks = 0
        self.join_iteration = self.join_context = self.preemptions = 0
        self.moves = self.lost_tokens = self.discarded_tokens = 0
        self.model = self.session_id = ""
        self.hash_ids: tuple[int, ...] = ()
        self.scheduled_s = self.first_token_s = self.last_token_s = self.finish_s = self.left_s = nan
        self.replica = -1
        self.status: Status = "waiting"
        self.reason = ""
