"""docs/workloads.md says what its scenarios do; its examples can be run; its picture is of this version."""

from __future__ import annotations

import re
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

import llmsim
from llmsim.spec.workload import Workload
from llmsim.workload.stream import open_stream

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))
import draw_scenarios

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "workloads.md").read_text()
EXAMPLES = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
TEXT = " ".join(PAGE.split())


@cache
def summary(name: str, *changes: str) -> dict[str, Any]:
    """Of a shipped scenario with changes, run once."""
    return llmsim.run(llmsim.load(ROOT / "scenarios" / f"{name}.yaml", changes)).summary


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda text: text.split(":")[0])
def test_every_example_is_a_workload(example: str) -> None:
    """With lengths, times and an end where it has none."""
    keys = yaml.safe_load(example)
    base = {"arrival": {"kind": "burst"}, "input_tokens": 5, "output_tokens": 5}
    kept = {key: value for key, value in base.items() if "clients" not in keys}
    ends = {"num_requests", "num_sessions", "duration_s"} & keys.keys()
    workload = Workload.model_validate(kept | keys | ({} if ends else {"num_requests": 50}))

    assert 50 == len(open_stream(workload, 0).sample(50))


def test_what_agents_save() -> None:
    """Hits and attainment of the three ways to serve them."""
    own, any_replica, anew = (
        summary("agents", *changes)
        for changes in ((), ("router=least_requests",), ("engine.enable_prefix_caching=false",))
    )

    assert f"{own['prefix_cache_hit_rate']:.0%} of prompt tokens are never computed again" in TEXT
    assert f"{own['slo_attainment']:.1%} of the requests are within 500 ms" in TEXT
    assert (
        f"{any_replica['prefix_cache_hit_rate']:.0%} are found and {any_replica['slo_attainment']:.1%}"
        in TEXT
    )
    assert f"without prefix caching {anew['slo_attainment']:.1%}" in TEXT
    assert f"ask {anew['offered']:,} times in half an hour instead of {own['offered']:,}" in TEXT


def test_what_deadlines_save() -> None:
    """The interactive class with and without a scheduler that knows its target; no document is late."""
    fcfs, edf = (summary("chat-sessions", *changes)["classes"] for changes in ((), ("engine.scheduler=edf",)))

    assert f"{fcfs['interactive']['slo_attainment']:.1%} of the interactive requests are within 1 s" in TEXT
    assert f"{edf['interactive']['slo_attainment']:.2%} are, and every document" in TEXT
    assert 1 == fcfs["batch"]["slo_attainment"] == edf["batch"]["slo_attainment"]


def test_the_picture_is_of_this_version() -> None:
    """Its point at the scenario's own rate, in each variant."""
    shown = (ROOT / "docs" / "pictures" / "agents.svg").read_text()
    place = draw_scenarios.BY_RATE["agents"].rates.index(0.15)

    for color, changes in enumerate(draw_scenarios.BY_RATE["agents"].variants.values()):
        [path] = re.findall(rf'<path class="s{color}" d="M(.*?)"', shown)
        drawn = float(path.split("L")[place].split()[1])
        share = (draw_scenarios.SHARES_BOTTOM - drawn) / draw_scenarios.SHARES_PANEL
        assert summary("agents", *changes)["slo_attainment"] == pytest.approx(share, abs=0.001)
