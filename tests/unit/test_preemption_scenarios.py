"""How a scenario says what preemption keeps."""

from __future__ import annotations

import json

import pytest

import llmsim
from llmsim import plugins
from llmsim.cli.listing import list_entries
from llmsim.errors import ScenarioError
from llmsim.files.scenario_file import load_scenario

TEXT = """
model: opt-13b
fleet: [{{name: main, accelerator: a100-sxm-40gb{pool}}}]
engine: {{{engine}}}
workload: {{arrival: {{kind: poisson, request_rate: 2}}, input_tokens: 100, output_tokens: 20, num_requests: 5}}
"""


def scenario(tmp_path, engine="", pool=""):
    """The path of a scenario with these engine keys, the pool's own included."""
    path = tmp_path / "swap.yaml"
    path.write_text(TEXT.format(engine=engine, pool=pool))
    return path


def test_recompute_is_the_default(tmp_path):
    """As in vLLM, and swap space is 4 GiB for each accelerator."""
    assert llmsim.load(scenario(tmp_path)).scenario.engine.preemption_mode.kind == "recompute"
    mode = llmsim.load(scenario(tmp_path, "preemption_mode: swap")).scenario.engine.preemption_mode
    assert mode.options == {"swap_space": 4.0}


@pytest.mark.parametrize(
    ("engine", "said"),
    [
        ("preemption_mode: swapp", "swap"),
        ("preemption_mode: {kind: swap, swap_space: -1}", "greater than or equal to 0"),
        ("preemption_mode: {kind: recompute, swap_space: 1}", "swap_space"),
        ("preemption_mode: blocks, kv_cache: contiguous_max", "has none; take paged or token"),
        ("preemption_mode: blocks, enable_prefix_caching: true", "remove this, or enable_prefix_caching"),
        ("preemption_mode: blocks, kv_cache: radix", "remove this, or kv_cache .radix."),
    ],
)
def test_mistakes_are_said(tmp_path, engine, said):
    """What was given, and what to do."""
    with pytest.raises(ScenarioError, match=said):
        llmsim.load(scenario(tmp_path, engine))


def test_a_pools_own_keys_are_held_against_the_scenarios(tmp_path):
    """A pool that takes blocks one by one where the scenario caches prefixes."""
    path = scenario(tmp_path, "enable_prefix_caching: true", ", engine: {preemption_mode: blocks}")
    with pytest.raises(ScenarioError, match="remove this, or"):
        llmsim.load(path)


def test_an_option_may_be_swept(tmp_path):
    """One key at a time, from outside."""
    loaded = load_scenario(
        scenario(tmp_path, "preemption_mode: {kind: swap}"), ["engine.preemption_mode.swap_space=16"]
    )
    assert loaded.scenario.engine.preemption_mode.options == {"swap_space": 16.0}


def test_they_are_listed_with_their_options(capsys):
    """`llmsim list preemption_modes`."""
    list_entries("preemption_modes", as_json=True)
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert list(rows) == plugins.PREEMPTION_MODES.names()
    assert rows["swap"]["options"] == "swap_space"
    assert "2309.06180" in rows["swap"]["source"]


def test_layers_that_keep_a_window_move_what_they_keep(tmp_path):
    """gpt-oss: half its layers keep 128 tokens. A long context is worth little more than half of its tokens."""
    path = tmp_path / "windows.yaml"
    path.write_text(
        """
model: gpt-oss-20b
fleet: {accelerator: h100-sxm}
engine: {preemption_mode: swap, num_kv_tokens: 20000, max_model_len: 12000}
workload: {arrival: {kind: burst}, input_tokens: 9000, output_tokens: 1500, num_requests: 6}
"""
    )
    whole = llmsim.run(load_scenario(path, ["engine.disable_hybrid_kv_cache_manager=true"]))
    parts = llmsim.run(path)
    per_preemption = [
        run.summary["kv_swaps"]["out_bytes"] / run.summary["preemptions"] for run in (parts, whole)
    ]
    assert per_preemption[0] < 0.6 * per_preemption[1]
