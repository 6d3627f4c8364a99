"""The bottleneck: what requests waited for, else where the busy time went."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from measure_runs import add_row, make_record, make_replica, scenario_like

from llmsim.cost.linear import LinearCost, LinearOptions
from llmsim.cost.stage import DecodeLine, StageCost
from llmsim.measure.bottleneck import Load, bottleneck
from llmsim.measure.records import StepLog
from llmsim.spec.attention import FULL


class Stage(StageCost):
    """1 ms of compute per token, 2 ms of memory, 1 ms of host; 0.1 ms per KV token, 1 ms per prefill pair."""

    spans = (FULL,)

    def tokens_s(self, tokens, logit_rows, sequences):
        return sum(self.bound_seconds(tokens, logit_rows, sequences).values())

    def chunk_s(self, new_tokens, cached):
        return 1e-3 * FULL.pairs(new_tokens, cached)

    def decode_line(self, sequences, kv_tokens, growth):
        return DecodeLine(1e-4 * kv_tokens[0], 0.0)

    def bound_seconds(self, tokens, logit_rows, sequences):
        return {"compute": 1e-3 * tokens, "memory": 2e-3, "host": 1e-3}

    def chunk_bound_seconds(self, new_tokens, cached):
        return {"compute": self.chunk_s(new_tokens, cached)}

    def decode_bound_seconds(self, sequences, kv_tokens):
        return {"memory": self.decode_line(sequences, kv_tokens, [0]).first_s}


def run_of(*rows, stages=None):
    """A run with these rows, one second each."""
    log = StepLog()
    for start, cells in enumerate(rows):
        add_row(log, start_s=float(start), first_s=1.0, **cells)
    return make_record([], log, replicas=[make_replica(stages=stages or [Stage()])])


def load_of(busy_share=1.0, mean_running=10.0, mean_waiting=0.0, preemptions=0) -> Load:
    return Load(busy_share, mean_running, mean_waiting, preemptions)


DECODING = {"sequences": 2, "decode_tokens": 2, "decode_kv_tokens": 50}


def test_shares_add_up_to_one_idle_included():
    """Compute 2, memory 2 + 5, host 1 of 10 ms, for the busy four fifths of the time."""
    words, shares = bottleneck(run_of(DECODING), scenario_like(), load_of(busy_share=0.8))

    assert {"compute": 0.16, "host": 0.08, "memory": 0.56, "idle": 0.2} == pytest.approx(shares)
    assert words == "memory bandwidth: reading weights and KV takes 70% of the busy time"


def test_a_mixed_iteration_has_chunks_and_decodes():
    """Two chunks of 4 tokens after 3 (44 pairs) and two decodes of 25 KV tokens: 10 + 44, 2 + 5 and 1 ms."""
    row = {
        "sequences": 4,
        "prefill_tokens": 8,
        "prefill_pairs": 44,
        "decode_tokens": 2,
        "decode_kv_tokens": 50,
    }
    _, shares = bottleneck(run_of(row), scenario_like(), load_of())

    assert {"compute": 54 / 62, "memory": 7 / 62, "host": 1 / 62, "idle": 0} == pytest.approx(shares)


def test_rows_weigh_by_their_time():
    """Three seconds of decoding and one of prefill are three parts and one."""
    rows = [DECODING] * 3 + [{"sequences": 1, "prefill_tokens": 1, "prefill_pairs": 6}]
    _, shares = bottleneck(run_of(*rows), scenario_like(), load_of())

    assert (3 * 0.7 + 0.2) / 4 == pytest.approx(shares["memory"])


def test_a_cost_model_without_parts_still_has_a_verdict():
    """Shares are then of anything and of idleness."""
    line = LinearCost(LinearOptions(iteration_s=1.0))
    words, shares = bottleneck(run_of(DECODING, stages=[line]), scenario_like(), load_of(0.9))

    assert {"other": 0.9, "idle": 0.1} == pytest.approx(shares)
    assert words.startswith("iterations")


def test_an_idle_fleet_waits_for_arrivals():
    """Mostly idle: more hardware would change nothing."""
    assert bottleneck(run_of(DECODING), scenario_like(), load_of(0.3))[0].startswith("arrivals")


QUEUED = {**DECODING, "waiting": 5}


@pytest.mark.parametrize(
    ("engine", "verdict"),
    [
        ({"max_num_seqs": 2}, "max_num_seqs"),
        ({}, "KV capacity"),
        ({"scheduler": SimpleNamespace(kind="static")}, "static batching"),
        ({"max_num_batched_tokens": 2}, "memory bandwidth"),
    ],
)
def test_a_queue_waits_for_the_limit_that_is_reached(engine, verdict):
    """Sequences at their limit, or budget left over and still no room: then it is blocks."""
    words, _ = bottleneck(run_of(QUEUED), scenario_like(**engine), load_of(mean_waiting=5.0))

    assert words.startswith(verdict)


FULL_POOL = {**QUEUED, "kv_blocks": 95}


def test_a_full_pool_comes_before_the_token_budget():
    """Prompts computed again after preemptions fill the budget; the pool is why they are."""
    words, _ = bottleneck(
        run_of(FULL_POOL),
        scenario_like(max_num_batched_tokens=2),
        load_of(mean_waiting=5.0, preemptions=2283),
    )

    assert words == "KV capacity: requests wait for blocks (2,283 preemptions)"


@pytest.mark.parametrize(
    "engine",
    [
        {"scheduler": SimpleNamespace(kind="orca")},
        {"scheduler": SimpleNamespace(kind="static")},
        {"kv_cache": SimpleNamespace(kind="contiguous_max")},
    ],
)
def test_reservations_are_named_with_what_to_do(engine):
    """40 blocks a request: two fill the pool of 100, whatever they use, and a shorter limit would admit more."""
    record = run_of({**QUEUED, "kv_blocks": 80})
    record.replicas[:] = [make_replica(stages=[Stage()], max_model_len=640)]
    words, _ = bottleneck(record, scenario_like(**engine), load_of(mean_waiting=5.0))

    assert words == "KV capacity: each request reserves 640 tokens: lower engine.max_model_len"


def test_a_few_waiting_are_no_queue():
    """Arrivals during an iteration always wait for its end."""
    assert "KV" not in bottleneck(run_of(QUEUED), scenario_like(), load_of(mean_waiting=0.5))[0].split(":")[0]


def test_a_queue_for_want_of_replicas_is_not_an_idle_fleet():
    """Nobody served for three quarters of the run: neither arrivals nor KV blocks held it back."""
    load = Load(0.2, mean_running=1.0, mean_waiting=8.0, preemptions=3, away_share=0.75)
    words, _ = bottleneck(run_of(DECODING), scenario_like(), load)

    assert "replicas: for 75% of the time there was none, and requests waited for one" == words
