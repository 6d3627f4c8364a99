"""Step by step as vLLM V1: who ran, how many tokens each, who was preempted, how many blocks were free.

The goldens are the steps that the rules of :mod:`vllm_v1_rules` give; small enough to be checked by hand.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from vllm_v1_rules import Rules, Seq, trace

from llmsim.cost.linear import LinearCost, LinearOptions
from llmsim.engine.batch import Batch
from llmsim.engine.core import Engine
from llmsim.engine.plan import StepPlan
from llmsim.engine.request import Request
from llmsim.engine.scheduler import Limits
from llmsim.engine.schedulers.chunked_prefill import ChunkedPrefill
from llmsim.engine.schedulers.vllm_v1 import VllmV1, VllmV1Options
from llmsim.measure.records import StepLog
from llmsim.sim.play import make_engine, play

HERE = Path(__file__).parent
WORKLOADS: list[dict[str, Any]] = yaml.safe_load((HERE / "workloads.yaml").read_text())
GOLDENS: dict[str, list[str]] = yaml.safe_load((HERE / "goldens.yaml").read_text())
ONE_SECOND = LinearCost(LinearOptions(iteration_s=1.0))
"""Every step takes a second, so that step k starts at k seconds."""


def by_the_rules(case: dict[str, Any]) -> list[str]:
    """The steps that the rules give."""
    tokens, seats, blocks, size = case["limits"]
    return trace(Rules(tokens, seats, blocks, size), [Seq(*each) for each in case["requests"]])


def simulated(case: dict[str, Any], scheduler: Any = ChunkedPrefill) -> list[str]:
    """The steps of the simulator's own engine, one iteration at a time. A request's priority is its class."""
    tokens, seats, blocks, size = case["limits"]
    names = [each[0] for each in case["requests"]]
    requests = [
        Request(index, float(arrives), prompt, output, str(*priority))
        for index, (_, arrives, prompt, output, *priority) in enumerate(case["requests"])
    ]
    log = StepLog()
    engine = make_engine(
        0,
        log,
        scheduler,
        num_kv_tokens=blocks * size,
        block_size=size,
        limits=Limits(seats, tokens, blocks * size + 1),
        stages=[ONE_SECOND],
        fast_forward=False,
    )
    lines = watch(engine, names)
    play(requests, [engine], log)
    return lines


def watch(engine: Engine, names: Sequence[str]) -> list[str]:
    """A list that grows by a line with every step that the engine plans."""
    lines: list[str] = []
    planned = engine.plan

    def plan(batch: Batch, now_s: float) -> Any:
        before = {req: req.preemptions for req in batch.running}
        found = planned(batch, now_s)
        if isinstance(found, StepPlan):
            chunks = dict(found.chunks)
            tokens = {req: chunks.get(req, 1) for req in batch.running}
            for req in batch.prefilling:
                if req not in chunks:
                    del tokens[req]
            out = [req for req, count in before.items() if req.preemptions > count]
            lines.append(told(round(now_s), tokens, reversed(out), engine.kv.free_blocks, names))
        return found

    engine.plan = plan  # type: ignore[method-assign]
    return lines


def told(number: int, tokens: dict[Request, int], out: Any, free: int, names: Sequence[str]) -> str:
    """A step as text, in the form of the rules."""
    ran = " ".join(f"{names[req.id]}{count}" for req, count in tokens.items()) or "-"
    lost = " ".join(names[req.id] for req in out)
    return f"{number}: {ran}{f'  preempts {lost}' if lost else ''}  free {free}"


@pytest.mark.parametrize("case", WORKLOADS, ids=lambda case: case["name"])
def test_the_simulator_takes_vllms_steps(case: dict[str, Any]) -> None:
    """Line by line the golden, which is what the rules say."""
    assert GOLDENS[case["name"]] == by_the_rules(case)
    assert GOLDENS[case["name"]] == simulated(case)
    assert GOLDENS[case["name"]] == simulated(case, VllmV1)


def test_there_are_twenty_and_they_show_what_matters() -> None:
    """Preemption of one and of two in a step, and a pool without a free block."""
    lines = [line for golden in GOLDENS.values() for line in golden]

    assert 20 == len(WORKLOADS) == len(GOLDENS)
    assert {1, 2} == {len(line.partition("preempts ")[2].split("  ")[0].split()) for line in lines} - {0}
    assert any(line.endswith("free 0") for line in lines)


WORKLOAD = st.fixed_dictionaries(
    {
        "limits": st.tuples(
            st.integers(6, 40), st.integers(1, 6), st.integers(8, 20), st.sampled_from([1, 4])
        ),
        "requests": st.lists(
            st.tuples(st.integers(0, 6), st.integers(1, 24), st.integers(1, 8), st.integers(-1, 2)),
            min_size=1,
            max_size=8,
        ).map(lambda drawn: [[f"r{i}", *each] for i, each in enumerate(sorted(drawn, key=lambda x: x[0]))]),
    }
)


def fits(case: dict[str, Any]) -> bool:
    """Whether an empty pool holds each request, and the budget a token of every seat."""
    tokens, seats, blocks, size = case["limits"]
    return seats <= tokens and all(
        -(-(prompt + output - 1) // size) <= blocks for _, _, prompt, output, _ in case["requests"]
    )


@settings(max_examples=200, deadline=None)
@given(WORKLOAD, st.sampled_from([0, 3, 7]))
def test_any_small_workload_takes_vllms_steps(case: dict[str, Any], threshold: int) -> None:
    """R1 to R5 and R7, first come, first served."""
    assume(fits(case))
    seqs = [Seq(*each[:4]) for each in case["requests"]]
    scheduler = partial(VllmV1, options=VllmV1Options(long_prefill_token_threshold=threshold))
    rules = Rules(*case["limits"], long_prefill_token_threshold=threshold)

    assert trace(rules, seqs) == simulated(case, scheduler)


@settings(max_examples=200, deadline=None)
@given(WORKLOAD)
def test_priorities_take_vllms_steps(case: dict[str, Any]) -> None:
    """R6, to the first preemption: where the victim is who needed the block, others go on that V1 leaves out."""
    assume(fits(case))
    seqs = [Seq(*each) for each in case["requests"]]
    options = VllmV1Options(policy="priority", priorities={str(n): n for n in range(-1, 3)})
    by_the_rules = trace(Rules(*case["limits"], policy="priority"), seqs)
    steps = simulated(case, partial(VllmV1, options=options))
    preempts = next((i for i, line in enumerate(by_the_rules) if "preempts" in line), len(by_the_rules))

    assert by_the_rules[:preempts] == steps[:preempts]
