"""Comparisons: laws of pairs, who may be compared, and what is said of whom."""

from __future__ import annotations

import numpy as np
import pytest

from llmsim.errors import ScenarioError, UserError
from llmsim.planning.axes import read_axes
from llmsim.planning.compare import Effort, compare
from llmsim.planning.contenders import Contender, contenders, pairing_warnings
from llmsim.planning.differences import differences
from llmsim.planning.points import Base
from llmsim.planning.precision import StoppingRule
from llmsim.planning.rates import at_rate, has_rate, mean_rate
from llmsim.planning.replicate import LATENCIES, replications
from llmsim.planning.workers import open_workers
from llmsim.report.compare_words import verdicts
from llmsim.workload.stream import open_stream

SCENARIO = """
name: {name}
model: llama-3.1-8b
fleet: {{accelerator: h100-sxm, cost_model: {{kind: linear, iteration_s: {iteration_s}, per_token_s: 2e-5}}}}
engine: {{max_num_seqs: 16, num_kv_tokens: 100000}}
workload:
  arrival: {arrival}
  input_tokens: {{kind: uniform, min: 100, max: 400}}
  output_tokens: {{kind: uniform, min: 8, max: 24}}
  num_requests: 150
slo: {{ttft_ms: 500}}
"""


def write(
    tmp_path, file="a.yaml", *, name="a", iteration_s=0.01, arrival="{kind: poisson, request_rate: 20}"
):
    path = tmp_path / file
    path.write_text(SCENARIO.format(name=name, iteration_s=iteration_s, arrival=arrival))
    return path


def run(compared, **effort):
    with open_workers("here") as workers:
        return compare(
            compared, Effort(**({"seed": 0, "replications": 4, "curves": False} | effort)), workers
        )


def two(tmp_path, **second):
    return contenders([Base(write(tmp_path)), Base(write(tmp_path, "b.yaml", **({"name": "b"} | second)))])


def test_a_against_a_differs_by_exactly_nothing(tmp_path):
    (loaded,) = [Base(write(tmp_path)).load()]
    found = run([Contender("a", {}, loaded), Contender("the same", {}, loaded)])
    for difference in found.compared[1].differences.values():
        assert (difference.change, difference.interval.low, difference.interval.high) == (0, 0, 0)
        assert difference.word == ""
    assert "no difference" in verdicts(found)[0]


def test_the_other_way_round_every_sign_changes(tmp_path):
    pair = two(tmp_path, iteration_s=0.011)
    there = run(pair).compared[1].differences
    back = run(pair[::-1]).compared[1].differences
    assert len(there) > 20
    for name, difference in there.items():
        ends = difference.interval.low, difference.interval.high
        assert ends == pytest.approx((-back[name].interval.high, -back[name].interval.low), abs=1e-9)
        assert {difference.word, back[name].word} in ({"higher", "lower"}, {""})


def test_common_random_numbers_make_differences_surer(tmp_path):
    """The same seeds on both sides against seeds of their own."""
    pair = two(tmp_path, iteration_s=0.011)
    ours, theirs = (each.found for each in run(pair, replications=8).compared)
    apart = run(pair, seed=100, replications=8).compared[1]
    moved = replications([(seed, each.summary) for seed, each in enumerate(apart.outcomes)])
    for name in ("mean_ttft_ms", "mean_e2el_ms", "p99_e2el_ms"):
        paired = differences(ours, theirs)[name].interval.half_width
        independent = differences(ours, moved)[name].interval.half_width
        assert paired < 0.5 * independent


def test_a_slower_server_is_called_slower(tmp_path):
    found = run(two(tmp_path, iteration_s=0.012))
    assert found.compared[1].differences["mean_tpot_ms"].word == "higher"
    (sentence,) = verdicts(found)
    assert "TPOT mean" in sentence
    assert "worse" in sentence


def test_with_one_seed_there_is_no_verdict(tmp_path):
    found = run(two(tmp_path, iteration_s=0.012), replications=1)
    assert not any(each.word for each in found.compared[1].differences.values())
    assert "no verdict" in verdicts(found)[0]


def test_latencies_of_an_overloaded_scenario_are_not_compared(tmp_path):
    found = run(two(tmp_path, iteration_s=0.2))
    other = found.compared[1]
    assert other.found.overloaded
    assert not any(name.endswith((*LATENCIES, "slo_attainment")) for name in other.differences)
    assert other.differences["output_throughput"].word == "lower"
    assert "b: overloaded: latencies" in verdicts(found)[0]


def test_seeds_of_mixed_kinds_are_not_compared_at_all():
    def runs(states):
        return replications(
            [(i, {"saturation": s, "completed": 9, "cost_usd": 1.0}) for i, s in enumerate(states)]
        )

    assert differences(runs(["stable"] * 3), runs(["stable", "overloaded", "stable"])) == {}
    assert "cost_usd" in differences(runs(["stable"] * 3), runs(["overloaded"] * 3))


def test_three_at_once_get_wider_intervals_than_two(tmp_path):
    """Bonferroni: 97.5% for each of two differences, so that both hold in 95%."""
    trio = contenders(
        [Base(write(tmp_path))], read_axes((), ["fleet.cost_model.iteration_s=0.01,0.011,0.012"])
    )
    assert [each.name for each in trio] == ["iteration_s=0.01", "iteration_s=0.011", "iteration_s=0.012"]
    wide, narrow = (run(some) for some in (trio, trio[:2]))
    assert (wide.level, narrow.level) == pytest.approx((0.975, 0.95))
    name = "mean_tpot_ms"
    assert wide.compared[1].differences[name].interval.half_width > 1.2 * (
        narrow.compared[1].differences[name].interval.half_width
    )


def test_precision_runs_all_scenarios_equally_often(tmp_path):
    rule = StoppingRule(0.02, most=12)
    found = run(two(tmp_path, iteration_s=0.012), rule=rule)
    counts = {len(each.outcomes) for each in found.compared}
    assert len(counts) == 1
    assert 5 <= counts.pop() <= 12
    assert "a: " in found.ended


def test_requests_are_the_same_for_all_and_a_warning_where_they_are_not(tmp_path):
    same = two(tmp_path, iteration_s=0.02)
    streams = [
        [
            (r.arrival_s, r.input_tokens, r.output_tokens)
            for r in open_stream(c.loaded.scenario.workload, 3).requests()
        ]
        for c in same
    ]
    assert streams[0] == streams[1]
    assert pairing_warnings(same) == []
    faster = two(tmp_path, arrival="{kind: poisson, request_rate: 30}")
    (warning,) = pairing_warnings(faster)
    assert "b does not get the requests of a: workload.arrival" in warning


def test_a_closed_loop_and_other_targets_are_told(tmp_path):
    axes = read_axes((), ["slo.ttft_ms=100,200"])
    arrival = "{kind: closed, max_concurrency: 4}"
    warnings = pairing_warnings(contenders([Base(write(tmp_path, arrival=arrival))], axes))
    assert "other targets" in warnings[0]
    assert "closed loop" in warnings[1]


@pytest.mark.parametrize(
    "arrival",
    [
        "{kind: poisson, request_rate: 20}",
        "{kind: gamma, request_rate: 20, burstiness: 0.5}",
        "{kind: constant, request_rate: 20}",
        "{kind: diurnal, request_rate: 20}",
    ],
)
def test_another_rate_is_that_rate(tmp_path, arrival):
    loaded = Base(write(tmp_path, arrival=arrival)).load()
    assert mean_rate(at_rate(loaded, 1.5)) == pytest.approx(1.5 * mean_rate(loaded))


def test_profiles_and_traces_are_squeezed(tmp_path):
    chatbot = Base("chatbot").load()
    assert mean_rate(at_rate(chatbot, 0.5)) == pytest.approx(0.5 * mean_rate(chatbot))
    trace = tmp_path / "trace.csv"
    rows = "".join(f"{2 * i},100,10\n" for i in range(50))
    trace.write_text("arrival_s,input_tokens,output_tokens\n" + rows)
    path = tmp_path / "t.yaml"
    path.write_text(f"model: llama-3.1-8b\nfleet: {{accelerator: h100-sxm}}\nworkload: {{trace: {trace}}}\n")
    loaded = Base(path).load()
    assert (mean_rate(loaded), mean_rate(at_rate(loaded, 2.0))) == pytest.approx((0.5, 1.0))


def test_curves_have_five_rates_and_a_closed_loop_has_none(tmp_path):
    found = run(two(tmp_path, iteration_s=0.012), replications=2, curves=True)
    for each in found.compared:
        assert [point.request_rate for point in each.curve] == pytest.approx([10, 15, 20, 25, 30])
        assert each.curve[2].outcome is each.outcomes[0]
        waits = [point.outcome.summary["mean_ttft_ms"] for point in each.curve]
        assert np.argmax(waits) >= 3
    closed = Base(write(tmp_path, "c.yaml", arrival="{kind: closed, max_concurrency: 4}")).load()
    assert not has_rate(closed)


class TestRefused:
    def test_one_scenario_and_nothing_varied(self, tmp_path):
        with pytest.raises(UserError, match="nothing to compare"):
            contenders([Base(write(tmp_path))])

    def test_the_same_scenario_twice_under_any_name(self, tmp_path):
        path = write(tmp_path)
        with pytest.raises(ScenarioError, match="given twice"):
            contenders([Base(path), Base(path)])
        with pytest.raises(ScenarioError, match="the same scenario as a"):
            two(tmp_path)

    def test_names_that_tell_nothing_apart(self, tmp_path):
        (tmp_path / "other").mkdir()
        same = [write(tmp_path), write(tmp_path / "other", iteration_s=0.02)]
        with pytest.raises(ScenarioError, match="called so"):
            contenders([Base(path) for path in same])

    def test_files_tell_scenarios_of_one_name_apart(self, tmp_path):
        assert [each.name for each in two(tmp_path, name="a", iteration_s=0.02)] == ["a", "b"]

    def test_all_problems_of_all_scenarios_at_once(self, tmp_path):
        bases = [
            Base(write(tmp_path, iteration_s="fast")),
            Base(write(tmp_path, "b.yaml", arrival="{kind: poison}")),
        ]
        with pytest.raises(ScenarioError) as refused:
            contenders(bases)
        text = str(refused.value)
        assert "a.yaml" in text
        assert "b.yaml" in text

    def test_a_value_that_cannot_be(self, tmp_path):
        with pytest.raises(ScenarioError, match="chunked_prefill"):
            contenders([Base(write(tmp_path))], read_axes((), ["engine.scheduler=orca,chunked_prefil"]))

    def test_an_unknown_key_names_the_nearest(self, tmp_path):
        with pytest.raises(ScenarioError, match="scheduler"):
            contenders([Base(write(tmp_path))], read_axes((), ["engine.schedular=orca,vllm"]))
