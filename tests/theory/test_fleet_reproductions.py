"""What papers reported of fleets, in their own settings: ``benchmarks/reproduce``, coarsely, against the figures."""

from __future__ import annotations

from pathlib import Path

import pytest

from llmsim.files import catalog
from reproduce import alpaserve, alpaserve_cases, distserve, fastgen, splitwise, splitwise_clusters

DATA = Path(__file__).parents[3] / "shared" / "data"

pytestmark = pytest.mark.skipif(not DATA.exists(), reason=f"{DATA} is not here")


def test_distserve_puts_prefill_on_two_gpus_and_decode_on_one():
    """LLMServe/DistServe@09804e8 simdistserve/README.md: four A100, prefill TP2 and decode TP1, 1.56 req/s per GPU."""
    lines = distserve.fitted_lines(DATA)
    rates = {each: distserve.best_rate(each, lines) for each in distserve.placements(single=True)}

    assert {(1, 1), (1, 2), (2, 1), (2, 2)} == {(each.prefill_tp, each.decode_tp) for each in rates}
    best = max(rates, key=lambda each: rates[each])
    assert distserve.PUBLISHED_PLACEMENT == best
    assert distserve.PUBLISHED_RATE == pytest.approx(rates[best], rel=0.25)
    assert 1.2 * max(rate for each, rate in rates.items() if each != best) < rates[best]


def test_distserve_with_long_answers_needs_two_gpus_to_decode():
    """Answers of 653 tokens fill one A100 with KV: the law behind the plan is memory, and the plan follows it."""
    lines, lengths = distserve.fitted_lines(DATA), distserve.trace_lengths(DATA)
    one = distserve.best_rate(distserve.Placement(2, 1), lines, lengths=lengths)
    two = distserve.best_rate(distserve.Placement(2, 2), lines, lengths=lengths)

    assert two > 2 * one


def test_fastgen_sixteen_replicas_give_sixteen_times_one():
    """DeepSpeed-FastGen §4E: 1.46 to 23.7 requests/s; a router that goes by load is linear within 2%, chance is not."""
    one = fastgen.throughput(1)
    sixteen, by_chance = (fastgen.throughput(16, router=name) for name in ("least_requests", "random"))

    assert 16 == pytest.approx(sixteen / one, rel=0.02)
    assert by_chance < sixteen
    assert fastgen.ONE == pytest.approx(
        one, rel=0.5
    )  # misses the 25% asked for; docs/reproductions.md says why


@pytest.mark.parametrize("case", alpaserve_cases.REPLICATED, ids=lambda case: f"{case.slo_scale}")
def test_alpaserve_one_gpu_per_group_drops_what_their_simulator_drops(case: alpaserve_cases.Case):
    """AlpaServe, ``sr-greedy``: their requests, placement and latency, all published, so the shares agree to 0.01."""
    assert case.simulated == pytest.approx(alpaserve.goodput(case), abs=0.01)
    assert case.real == pytest.approx(alpaserve.goodput(case), abs=0.01)


@pytest.mark.parametrize("case", alpaserve_cases.TENSOR_PARALLEL, ids=lambda case: f"{case.slo_scale}")
def test_alpaserve_groups_of_four_multiplex_bursts(case: alpaserve_cases.Case):
    """``mp-search`` goodput 0.333 and 0.535 in their cluster; one GPU to a model cannot meet these deadlines at all."""
    assert case.real == pytest.approx(alpaserve.goodput(case), abs=0.02)
    alone = [each for each in alpaserve_cases.REPLICATED if each.slo_scale == case.slo_scale]
    assert all(alpaserve.goodput(each) < 0.7 * case.real for each in alone)


def test_alpaserve_all_reduce_time_is_what_the_cost_model_says(tmp_path: Path):
    """The one number of that reproduction that nobody published: BERT-2.6B's all-reduces on four V100s."""
    one, four = (alpaserve.forward_pass_s(tmp_path, degree) for degree in (1, 4))

    assert alpaserve_cases.ALL_REDUCE_S == pytest.approx(four - one / 4, rel=0.02)


@pytest.mark.parametrize("accelerator", list(splitwise.TABLE_4))
def test_splitwise_prompts_take_what_one_machine_measured(accelerator: str):
    """Splitwise Table IV, coding: TTFT 185 and 95 ms. Tokens are quicker here: their prototype's host was slow."""
    ttft_ms, tbt_ms = splitwise.times_ms(accelerator)

    assert splitwise.TABLE_4[accelerator][0] == pytest.approx(ttft_ms, rel=0.1)
    assert 0.4 * splitwise.TABLE_4[accelerator][1] < tbt_ms < splitwise.TABLE_4[accelerator][1]


@pytest.mark.parametrize("accelerator", list(splitwise.TABLE_4))
def test_layerwise_transfer_exposes_at_most_the_last_layer(accelerator: str):
    """Where the wire keeps up with the prompt, one layer's share of the transfer is left: the other 79 are hidden."""
    whole, layerwise = (splitwise.exposed_ms(accelerator, how) for how in ("whole", "layerwise"))
    kv_bytes = splitwise.CODING[0] * splitwise.LAYERS * 2 * 8 * 128 * 2  # keys and values of 8 heads, fp16
    wire_ms = 1e3 * kv_bytes / catalog.node(splitwise.NODES[accelerator]).network_bytes_per_s
    latency_ms = whole - wire_ms

    assert 0 < latency_ms < 0.1
    assert layerwise - latency_ms == pytest.approx(wire_ms / splitwise.LAYERS, rel=1e-3)
    assert layerwise < splitwise.EXPOSED_MS[accelerator]


def test_splitwise_split_machines_take_more_than_mixed_ones_at_equal_cost():
    """Splitwise: prompts on H100, tokens on A100, 1.4 times what either baseline of that cost takes (coding)."""
    trace = DATA / "traces" / splitwise.TRACES["coding"]
    mixed = splitwise.Cluster("Splitwise-HA", splitwise.H100, 8, splitwise.A100, 4)
    rate = 30.0

    assert all(mixed.cost <= 1.02 * each.cost for each in splitwise.BASELINES)
    assert splitwise_clusters.meets(mixed, trace, rate, num_requests=1000)
    assert not any(
        splitwise_clusters.meets(each, trace, rate / 1.4, num_requests=1000) for each in splitwise.BASELINES
    )
