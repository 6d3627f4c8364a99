"""The planner's answer against everything there is: nothing cheaper passes, nothing ruled out would have."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from llmsim.planning.axes import Axis
from llmsim.planning.fleet import FleetAnswer, size_fleet
from llmsim.planning.fleet_trial import Rules, Trial
from llmsim.planning.outcome import play
from llmsim.planning.points import Base, Point, Setting
from llmsim.planning.space import Space, make_space
from llmsim.planning.workers import open_workers

LINES = [
    {"kind": "linear", "iteration_s": seconds, "per_token_s": 2e-5, "per_decode_kv_token_s": 4e-8}
    for seconds in (4e-3, 9e-3)
]


@st.composite
def questions(draw: st.DrawFn) -> tuple[dict[str, Any], list[Axis], int]:
    """A scenario with targets near what its fleets can do, what may vary, and the most replicas."""
    scenario = {
        "model": "llama-3.1-8b",
        "fleet": {"accelerator": "h100-sxm", "cost_model": LINES[0]},
        "engine": {
            "max_num_seqs": draw(st.sampled_from([2, 8])),
            "max_model_len": 600,
            "num_kv_tokens": draw(st.sampled_from([700, 4000])),
        },
        "workload": {
            "arrival": draw(
                st.sampled_from(
                    [{"kind": "burst"}, {"kind": "gamma", "request_rate": 30.0, "burstiness": 0.3}]
                )
            ),
            "input_tokens": {"kind": "uniform", "min": 1, "max": 300},
            "output_tokens": {"kind": "uniform", "min": 1, "max": 60},
            "num_requests": draw(st.integers(4, 25)),
        },
        "router": draw(st.sampled_from(["round_robin", "least_requests"])),
        "slo": {
            "ttft_ms": draw(st.sampled_from([15.0, 60.0, 300.0])),
            "e2el_ms": draw(st.sampled_from([None, 250.0, 600.0])),
            "percentile": draw(st.sampled_from([1.0, 0.9, 0.6])),
        },
        "simulation": {"seed": draw(st.integers(0, 3))},
    }
    axes = [
        Axis("fleet.accelerator", ("h100-sxm", "l40s")),
        Axis("engine.scheduler", draw(st.sampled_from([("chunked_prefill",), ("vllm", "static")]))),
        Axis("fleet.cost_model", tuple(LINES[: draw(st.sampled_from([1, 2]))])),
    ]
    return scenario, axes, draw(st.integers(1, 5))


def asked(scenario: dict[str, Any], axes: list[Axis], most: int) -> tuple[Space, Rules]:
    """The space and the rules of a question."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "a.yaml"
        path.write_text(yaml.safe_dump(scenario))
        base = Base(path)
        return make_space(base, axes, most), Rules(
            base.load().scenario.slo, scenario["simulation"]["seed"], 2
        )


def judged(space: Space, rules: Rules, index: int, replicas: int) -> Trial:
    """A fleet run until it is decided."""
    candidate = space.candidates[index]
    trial = Trial(index, replicas, rules)
    while seeds := trial.missing():
        for seed in seeds:
            setting = Setting(candidate.values_at(replicas), candidate.at(replicas))
            trial.outcomes[seed] = play(Point.of(setting, seed))
    return trial


def planned(space: Space, rules: Rules, width: int) -> FleetAnswer:
    with open_workers("here") as run:
        return size_fleet(space, rules, run, width=width)


@settings(max_examples=15, deadline=None)
@given(questions(), st.integers(1, 3))
def test_the_answer_is_that_of_brute_force(question, width):
    """Over every candidate at every number of replicas."""
    space, rules = asked(*question)

    answer = planned(space, rules, width)

    every = range(1, space.max_replicas + 1)
    states = {(i, r): judged(space, rules, i, r).state for i in range(len(space.candidates)) for r in every}
    costs = {(i, r): space.candidates[i].size(r)[0] for i, r in states}
    passing = {key for key, state in states.items() if state == "met"}
    assert (min(costs[key] for key in passing) if passing else None) == (answer.winner and answer.winner.cost)
    for one in answer.pruned:
        least, most = one.replicas
        meant = {(one.candidate, replicas) for replicas in range(least, most + 1)}
        if one.kind == "cost":
            assert all(costs[key] >= answer.passed[1].cost for key in meant)
        else:
            assert not meant & passing, f"{one} was ruled out, and passes"


@settings(max_examples=15, deadline=None)
@given(questions())
def test_the_runner_up_is_the_second_best_candidate(question):
    """The cheapest of each candidate, the second of them in cost."""
    space, rules = asked(*question)

    answer = planned(space, rules, 1)

    every = range(1, space.max_replicas + 1)
    cheapest = []
    for index, candidate in enumerate(space.candidates):
        met = [candidate.size(r)[0] for r in every if judged(space, rules, index, r).state == "met"]
        cheapest += [min(met)] if met else []
    assert sorted(cheapest)[:2] == [one.cost for one in answer.passed][:2]
