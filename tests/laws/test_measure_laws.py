"""The check after every run: sound runs pass, and each law broken by one number is caught."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmsim.engine.request import Request
from llmsim.engine.schedulers.chunked_prefill import ChunkedPrefill
from llmsim.engine.schedulers.orca import Orca
from llmsim.engine.schedulers.vllm import VllmPrefillFirst
from llmsim.errors import InvariantError
from llmsim.measure.gaps import GapPool
from llmsim.measure.laws import check
from llmsim.measure.records import STEP_COLUMNS, ReplicaRecord, RunRecord, StepLog
from llmsim.sim.play import make_engine, play

jobs = st.lists(
    st.tuples(st.floats(0, 5), st.floats(1e-3, 1), st.integers(1, 9), st.integers(0, 1)),
    min_size=1,
    max_size=30,
)


def add_row(log: StepLog, **cells: float) -> None:
    log.add(tuple(float(cells.get(name, 0.0)) for name in STEP_COLUMNS))


def run_of(jobs: list[tuple[float, float, int, int]]) -> RunRecord:
    """Two replicas that each take one request at a time: (gap, seconds per token, tokens, replica) each."""
    log, requests, free, now = StepLog(), [], [0.0, 0.0], 0.0
    for id, (gap, token_s, output_tokens, replica) in enumerate(jobs):
        now += gap
        req = Request(id, now, 10, output_tokens)
        req.status, req.generated, req.replica = "completed", output_tokens, replica
        req.scheduled_s = max(now, free[replica])
        req.first_token_s = req.scheduled_s + token_s
        common = {"replica": replica, "sequences": 1, "kv_blocks": 1, "first_s": token_s}
        add_row(log, **common, start_s=req.scheduled_s, iterations=1, duration_s=token_s, prefill_tokens=10)
        n = output_tokens - 1
        req.finish_s = req.last_token_s = req.first_token_s + n * token_s
        if n:
            decode = {"iterations": n, "duration_s": n * token_s, "decode_tokens": n, "aligned": 1}
            add_row(log, **common, **decode, start_s=req.first_token_s)
        free[replica] = req.finish_s
        requests.append(req)
    replicas = [ReplicaRecord(i, "main", "h100-sxm", 1, 4, 16, []) for i in range(2)]
    return RunRecord(requests, log, replicas, end_s=max(free))


def set_cell(record: RunRecord, row: int, name: str, value: float) -> None:
    record.steps.table[row, STEP_COLUMNS.index(name)] = value


@given(jobs=jobs)
@settings(deadline=None)
def test_a_sound_run_passes(jobs):
    """Whatever the arrivals, service times and lengths, a correct queue breaks no law."""
    check(run_of(jobs))


def test_an_empty_run_passes():
    """Nothing offered breaks nothing."""
    check(RunRecord([], StepLog(), [], end_s=0.0))


SOUND = [(0.1, 0.1, 4, 0), (0.1, 0.2, 3, 0), (0.1, 0.1, 1, 1)]


@pytest.mark.parametrize(
    ("field", "value", "law"),
    [
        ("status", "running", "L1"),
        ("scheduled_s", 0.0, "L4: scheduled_s before arrival_s"),
        ("first_token_s", 0.05, "L4: first_token_s before scheduled_s"),
        ("finish_s", 0.15, "L4: finish_s before first_token_s"),
        ("finish_s", float("nan"), "L4: a completed request has no finish_s"),
        ("generated", 3, "lacks tokens"),
    ],
)
def test_a_broken_request_is_caught(field, value, law):
    """One wrong value in one request names its law."""
    record = run_of(SOUND)
    setattr(record.requests[0], field, value)

    with pytest.raises(InvariantError, match=law):
        check(record)


@pytest.mark.parametrize(
    ("row", "name", "value", "law"),
    [
        (0, "iterations", 0, "no iteration"),
        (1, "kv_blocks", 5, "L2"),
        (1, "kv_blocks", -1, "L2"),
        (1, "duration_s", 0.35, "add up to its duration"),
        (1, "start_s", 0.15, "L3"),
        (1, "decode_tokens", 6, "tokens"),
        (1, "aligned", 0, "gaps"),
        (1, "lag_s", 0.01, "gaps: they last"),
    ],
)
def test_a_broken_row_is_caught(row, name, value, law):
    """One wrong cell in one row names its law."""
    record = run_of(SOUND)
    set_cell(record, row, name, value)

    with pytest.raises(InvariantError, match=law):
        check(record)


def test_the_numbers_are_in_the_message():
    """An invariant error shows the values that break it."""
    record = run_of(SOUND)
    record.requests[1].finish_s = 0.25

    with pytest.raises(InvariantError, match=r"id 1, first_token_s 0\.\d+, finish_s 0\.25"):
        check(record)


def test_lanes_of_a_pipeline_may_overlap():
    """Micro-batches in flight together are rows of different lanes."""
    record = run_of(SOUND)
    set_cell(record, 1, "lane", 1)
    set_cell(record, 1, "start_s", 0.15)

    check(record)


def test_a_preempted_token_closes_a_gap_without_a_decode():
    """Recomputed by a prefill, a token is in no decode row; its gap is among the extra ones."""
    record = run_of([(0.0, 0.1, 4, 0)])
    req = record.requests[0]
    req.preemptions = 1
    req.finish_s = req.last_token_s = req.first_token_s + 0.2 + 0.5
    for name in ("iterations", "decode_tokens"):
        set_cell(record, 1, name, 2)
    set_cell(record, 1, "duration_s", 0.2)
    record.steps.extra_gaps.append((0.5, 1))

    check(record)


@pytest.mark.parametrize("until_s", [0.0, 0.1, 0.4, 1e6])
def test_a_run_cut_off_at_any_moment_keeps_the_laws(until_s):
    """What is unfinished has the tokens its rows say, preemptions under a short KV pool included."""
    log = StepLog()
    engine = make_engine(0, log, ChunkedPrefill, num_kv_tokens=160, block_size=4)
    record = play([Request(i, 0.02 * i, 20, 40) for i in range(12)], [engine], log, until_s=until_s)

    check(record)
    assert (until_s < 1e6) == any(req.status == "unfinished" for req in record.requests)
    assert until_s < 0.4 or any(req.preemptions for req in record.requests)


@pytest.mark.parametrize("scheduler", [ChunkedPrefill, Orca, VllmPrefillFirst])
@given(
    lengths=st.lists(st.tuples(st.integers(1, 60), st.integers(1, 60)), min_size=1, max_size=25),
    gap_s=st.sampled_from([0.0, 0.01, 0.1]),
    fast_forward=st.booleans(),
)
@settings(deadline=None, max_examples=25)
def test_gaps_add_up_to_the_time_between_first_and_last_tokens(scheduler, lengths, gap_s, fast_forward):
    """The pool of gaps holds every second between tokens once, through preemptions and late joins."""
    log = StepLog()
    engine = make_engine(0, log, scheduler, num_kv_tokens=160, block_size=4, fast_forward=fast_forward)
    record = play([Request(i, gap_s * i, *pair) for i, pair in enumerate(lengths)], [engine], log)
    pool = GapPool.of(log)
    between_s = sum(req.finish_s - req.first_token_s for req in record.requests)

    check(record)
    assert sum(req.output_tokens - 1 for req in record.requests) == pool.size
    assert between_s == pytest.approx(pool.mean_s() * pool.size if pool.size else 0.0)


@given(jobs=jobs, seed=st.integers(0, 2**32 - 1))
@settings(deadline=None, max_examples=30)
def test_the_order_of_rows_of_different_replicas_does_not_matter(jobs, seed):
    """Replicas write when they like, each in its own order."""
    record = run_of(jobs)
    table = record.steps.table.copy()
    order = np.random.default_rng(seed).permutation(2)
    key = np.where(table[:, 0] == order[0], 0, 1)
    record.steps = StepLog()
    for row in table[np.argsort(key, kind="stable")]:
        record.steps.add(row.tolist())

    check(record)
