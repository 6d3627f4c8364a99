"""The workload options of ``vllm bench serve``: what they make of a scenario, and what they refuse."""

from __future__ import annotations

from math import ceil, floor, inf
from pathlib import Path

import numpy as np
import pytest
from door_scenarios import write_scenario
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import llmsim
from llmsim.cli.app import app
from llmsim.errors import ScenarioError
from llmsim.files.scenario_file import load_scenario
from llmsim.planning.points import Base
from llmsim.spec.bench import BenchFlags

OWN = "workload={arrival: {kind: poisson, request_rate: 4}, input_tokens: 100, output_tokens: 20, num_requests: 50}"
GAMMA = "{kind: gamma, request_rate: 4, burstiness: 0.25}"
CLOSED = "workload.arrival={kind: closed, max_concurrency: 3}"
LENGTHS = "input_tokens: 100, output_tokens: 20"


def flagged(sets=(OWN,), path="chatbot", **flags):
    return load_scenario(path, sets, bench=BenchFlags(**flags)).scenario


def problems(sets=(OWN,), path="chatbot", **flags):
    with pytest.raises(ScenarioError) as caught:
        flagged(sets, path, **flags)
    return [(problem.where, problem.message) for problem in caught.value.problems]


@pytest.mark.parametrize(
    ("flags", "workload"),
    [
        (
            {"request_rate": 10.0},
            f"arrival: {{kind: poisson, request_rate: 10}}, {LENGTHS}, num_requests: 50",
        ),
        (
            {"request_rate": 10.0, "burstiness": 0.5},
            f"arrival: {{kind: gamma, request_rate: 10, burstiness: 0.5}}, {LENGTHS}, num_requests: 50",
        ),
        ({"burstiness": 0.25}, f"arrival: {GAMMA}, {LENGTHS}, num_requests: 50"),
        ({"burstiness": 1.0}, f"arrival: {{kind: poisson, request_rate: 4}}, {LENGTHS}, num_requests: 50"),
        ({"burstiness": inf}, f"arrival: {{kind: constant, request_rate: 4}}, {LENGTHS}, num_requests: 50"),
        ({"request_rate": inf}, f"arrival: {{kind: burst}}, {LENGTHS}, num_requests: 50"),
        (
            {"request_rate": inf, "max_concurrency": 8},
            f"arrival: {{kind: closed, max_concurrency: 8}}, {LENGTHS}, num_requests: 50",
        ),
        (
            {"request_rate": 10.0, "max_concurrency": 8},
            f"arrival: {{kind: poisson, request_rate: 10}}, max_concurrency: 8, {LENGTHS}, num_requests: 50",
        ),
        (
            {"max_concurrency": 8, "num_prompts": 7, "ignore_eos": True},
            f"arrival: {{kind: poisson, request_rate: 4}}, max_concurrency: 8, {LENGTHS}, num_requests: 7",
        ),
        (
            {"random_input_len": 300, "random_range_ratio": 0.25},
            "arrival: {kind: poisson, request_rate: 4}, input_tokens: {kind: uniform, min: 225, max: 375}, "
            "output_tokens: {kind: uniform, min: 15, max: 25}, num_requests: 50",
        ),
        (
            {"random_prefix_len": 64, "random_output_len": 9},
            "arrival: {kind: poisson, request_rate: 4}, input_tokens: 100, output_tokens: 9, num_requests: 50, "
            "shared_prefix: {tokens: 64}",
        ),
        (
            {"dataset_name": "random"},
            "arrival: {kind: poisson, request_rate: 4}, input_tokens: 1024, output_tokens: 128, num_requests: 50",
        ),
    ],
    ids=str,
)
def test_flags_make_the_workload_that_a_file_would_say(flags, workload):
    """Key by key the same scenario as with the keys written out."""
    assert load_scenario("chatbot", [f"workload={{{workload}}}"]).scenario == flagged(**flags)


def test_a_closed_loop_keeps_its_kind_and_gets_the_limit():
    assert 9 == flagged([OWN, CLOSED], max_concurrency=9).workload.arrival.max_concurrency


def test_flags_take_the_place_of_a_profile_as_far_as_they_go():
    """Its arrivals, its lengths, or both; then nothing of it is left, and vLLM's 1000 prompts come."""
    arrivals = flagged((), request_rate=5.0).workload
    lengths = flagged((), dataset_name="random").workload
    both = flagged((), request_rate=5.0, dataset_name="random").workload

    assert ("poisson", "azure-2023-conversation", None) == (
        arrivals.arrival.kind,
        arrivals.profile,
        arrivals.input_tokens,
    )
    assert ("profile", "azure-2023-conversation", 1024) == (
        lengths.arrival.kind,
        lengths.profile,
        lengths.input_tokens,
    )
    assert ("poisson", None, 1024, 1000) == (
        both.arrival.kind,
        both.profile,
        both.input_tokens,
        both.num_requests,
    )
    assert (1000, None) == (arrivals.num_requests, lengths.num_requests)


def test_flags_take_the_place_of_a_trace_as_far_as_they_go(tmp_path):
    """The number of prompts limits its rows while its times are used."""
    (tmp_path / "t.csv").write_text(
        "arrival_s,input_tokens,output_tokens\n0.0,100,20\n0.5,300,40\n0.6,30,4\n"
    )
    sets = [f"workload={{trace: {tmp_path}/t.csv, time_scale: 2, limit: 3}}"]

    own_times = flagged(sets, num_prompts=2).workload
    own_lengths = flagged(sets, request_rate=5.0, num_prompts=2).workload
    neither = flagged(sets, request_rate=5.0, random_input_len=5, random_output_len=6).workload
    assert ("trace", 2, None) == (own_times.arrival.kind, own_times.limit, own_times.num_requests)
    assert ("poisson", 3, 2, 1.0) == (
        own_lengths.arrival.kind,
        own_lengths.limit,
        own_lengths.num_requests,
        own_lengths.time_scale,
    )
    assert (None, None, 5, 6) == (neither.trace, neither.limit, neither.input_tokens, neither.output_tokens)


@given(
    tokens=st.integers(1, 5000),
    ratio=st.floats(0, 1, exclude_max=True).map(lambda x: round(x, 3) if x < 0.999 else 0.9),
    prefix=st.integers(0, 100),
)
@settings(max_examples=60, deadline=None)
def test_lengths_lie_where_vllm_samples_them(tmp_path_factory, tokens, ratio, prefix):
    """Its bounds: floor and ceil of the length times 1 ∓ ratio; outputs are one token at least."""
    low, high = floor(tokens * (1 - ratio)), ceil(tokens * (1 + ratio))
    assume(low >= 1)
    flags = {"random_range_ratio": ratio, "random_input_len": tokens, "random_output_len": tokens}
    workload = flagged(**flags, random_prefix_len=prefix + 1).workload
    bounds = [
        (length, length) if isinstance(length, int) else (length.min, length.max)
        for length in (workload.input_tokens, workload.output_tokens)
    ]

    assert [(low, high), (low, high)] == bounds
    assert prefix + 1 == workload.prefix_tokens


@pytest.mark.parametrize(
    ("flags", "sets", "where", "words"),
    [
        ({"request_rate": inf, "burstiness": 2.0}, [OWN], "--burstiness 2.0", "no gaps"),
        ({"burstiness": 2.0}, [OWN, CLOSED], "--burstiness 2.0", "add --request-rate"),
        ({"burstiness": -1.0}, [OWN], "--burstiness -1.0", "burstiness"),
        ({"request_rate": 0.0}, [OWN], "--request-rate 0.0", "request_rate"),
        ({"request_rate": float("nan")}, [OWN], "--request-rate nan", "request_rate"),
        ({"max_concurrency": 0}, [OWN], "--max-concurrency 0", "max_concurrency"),
        ({"num_prompts": 0}, [OWN], "--num-prompts 0", "num_requests"),
        ({"dataset_name": "sharegpt"}, [OWN], "--dataset-name sharegpt", "only random"),
        ({"random_range_ratio": 1.0}, [OWN], "--random-range-ratio 1.0", "below 1"),
        ({"random_prefix_len": -1}, [OWN], "--random-prefix-len -1", "0 or more"),
        ({"random_input_len": 0}, [OWN], "--random-input-len 0", "at least one"),
        (
            {"random_input_len": 10, "random_range_ratio": 0.95},
            [OWN],
            "--random-input-len 10",
            "at least one",
        ),
        ({"random_input_len": 10}, [], "--random-input-len 10", "add --random-output-len"),
        (
            {"random_range_ratio": 0.5},
            [OWN, "workload.input_tokens={kind: uniform, min: 1, max: 9}"],
            "--random-range-ratio 0.5",
            "a distribution",
        ),
        ({"num_prompts": 9}, [OWN, "workload.num_requests=8"], "--num-prompts 9", "keep one"),
        ({"request_rate": 9.0}, [OWN, "workload.arrival.request_rate=8"], "--request-rate 9.0", "keep one"),
    ],
    ids=str,
)
def test_contradictions_and_what_cannot_be_are_refused(flags, sets, where, words):
    """One problem, under the option's name."""
    ((found, message),) = problems(sets, **flags)

    assert where == found
    assert words in message


def test_all_mistakes_are_listed_at_once():
    found = problems(request_rate=inf, burstiness=2.0, dataset_name="sonnet", random_range_ratio=3.0)

    assert {"--burstiness 2.0", "--dataset-name sonnet"} <= {where for where, _ in found}


def test_a_run_from_the_command_line_has_the_workload_of_its_flags(tmp_path: Path):
    """As pasted from a bench script, infinity included."""
    path, out = str(write_scenario(tmp_path)), tmp_path / "out"
    flags = (
        "--request-rate inf --max-concurrency 4 --num-prompts 30 --random-input-len 50 --random-output-len 8"
    )
    app(["run", path, "--out", str(out), "--quiet", "--ignore-eos", *flags.split()], standalone_mode=False)
    requests = llmsim.run(out / "scenario.yaml").record.requests

    assert {(50, 8)} == {(req.input_tokens, req.output_tokens) for req in requests}
    assert (30, 4) == (len(requests), sum(req.arrival_s == 0.0 for req in requests))


def test_every_point_of_a_grid_has_the_flags():
    """What compare, sweep and plan start from."""
    base = Base("chatbot", (OWN,), bench=BenchFlags(request_rate=9.0, num_prompts=3))

    assert (9.0, 3) == (
        base.load().scenario.workload.arrival.request_rate,
        base.load().scenario.workload.num_requests,
    )


def test_gaps_have_the_mean_and_the_variation_of_vllms():
    """Gamma(burstiness, 1/(rate·burstiness)): mean 1/rate, coefficient of variation 1/√burstiness."""
    scenario = load_scenario(
        "chatbot", [OWN], bench=BenchFlags(request_rate=20.0, burstiness=0.25, num_prompts=20_000)
    )
    from llmsim.workload.stream import open_stream

    times = [req.arrival_s for req in open_stream(scenario.scenario.workload, 3).requests()]
    gaps = np.diff(times)
    assert (0.05, 2.0) == pytest.approx((gaps.mean(), gaps.std() / gaps.mean()), rel=0.05)
