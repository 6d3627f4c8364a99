"""Topologies that cannot be: one message each, with its place and what to do."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from door_scenarios import SCENARIO, write_scenario

from llmsim.errors import ScenarioError
from llmsim.files.scenario_file import load_scenario
from llmsim.files.scenario_text import resolved_yaml
from llmsim.spec.topology import Topology, missing_links

TOPOLOGY = """\
topology:
  zones: [east, west]
  links:
    - {between: [east, west], bandwidth: 10Gb/s, round_trip_ms: 30ms}
  storage:
    - {name: raid, kind: disk, bandwidth: 12GB/s}
    - {name: hub, kind: object_store, zone: west, bandwidth_per_node: 25Gb/s, latency_ms: 200}
  nodes:
    - {name: rack, node: dgx-h100, count: 2, zone: west}
"""


JOINED = "    - {between: [west, east], bandwidth: 5Gb/s}\n  storage:"


def write(folder: Path, old: str = "", new: str = "", pool: str = "", topology: str = TOPOLOGY) -> Path:
    """A scenario with ``topology``, in which ``old`` becomes ``new``, and more keys for its pool."""
    if old not in topology:
        raise ValueError(f"{old!r} is not in the topology")
    keys = "".join(f"    {key.strip()}\n" for key in pool.split(";") if key)
    text = SCENARIO.replace("h100-sxm\n", f"h100-sxm\n{keys}") + topology.replace(old, new, 1)
    return write_scenario(folder, text)


def problem_of(path: Path) -> str:
    """The one problem, as ``line: message``."""
    with pytest.raises(ScenarioError) as caught:
        load_scenario(path)
    [problem] = caught.value.problems
    return re.sub(r":\d+: ", ": ", str(problem).removeprefix(f"{path}:"), count=1)


def test_a_topology_is_read_with_its_units(tmp_path: Path) -> None:
    """Bits per second are an eighth of bytes; and the resolved file means the same."""
    loaded = load_scenario(write(tmp_path, pool="zone: west; node: DGX H100"))
    topology = loaded.scenario.topology

    assert (1.25e9, 30) == (topology.links[0].bandwidth, topology.links[0].round_trip_ms)
    assert (12e9, 3.125e9) == (topology.storage[0].bandwidth, topology.storage[1].bandwidth_per_node)
    again = tmp_path / "again.yaml"
    again.write_text(resolved_yaml(loaded.scenario))
    assert loaded.scenario == load_scenario(again).scenario


def test_nothing_of_it_need_be_given(tmp_path: Path) -> None:
    """A scenario without the section has an empty one."""
    assert Topology() == load_scenario(write(tmp_path, topology="")).scenario.topology


@pytest.mark.parametrize(
    ("expected", "old", "new"),
    [
        ("17: topology.links.0.between.1: unknown zone 'wset'; did you mean", "west], b", "wset], b"),
        ("20: topology.storage.1.zone: unknown zone 'est'; did you mean", "zone: west, b", "zone: est, b"),
        ("22: topology.nodes.0.zone: unknown zone 'mars'; known: east, west", "zone: west}", "zone: mars}"),
        ("22: topology.nodes.0.node: unknown node 'dgx-h10'; did you mean 'dgx-h100'", "dgx-h100", "dgx-h10"),
        ("15: topology.zones.1: 'east' is there 2 times", "[east, west]\n", "[east, east, west]\n"),
        ("20: topology.storage.1.name: 'raid' is there 2 times", "hub", "raid"),
        ("20: topology.storage.1.name: 'peer' means another replica", "hub", "peer"),
        ("17: topology.links.0.bandwidth: Input should be greater than 0", "10Gb/s", "0Gb/s"),
        ("17: topology.links.0.bandwidth: Input should be greater than 0", "10Gb/s", "-1"),
        ("17: topology.links.0.bandwidth: Input should be a number of B/s", "10Gb/s", "10gbps"),
        ("17: topology.links.0.round_trip_ms: Input should be greater than or equal to 0", "30ms", "-30ms"),
        ("17: topology.links.0.between: List should have at least 2 items", "[east, west], b", "[east], b"),
        ("18: topology.links.1.between: 'east' and 'west' are joined twice; keep one link", "  storage:", JOINED),
        ("19: topology.storage.0.zone: every node has its own disk", "kind: disk", "kind: disk, zone: east"),
        ("22: topology.nodes.0.count: Input should be greater than 0", "count: 2", "count: 0"),
        ("16: topology.link: unknown key; did you mean 'links'?", "  links:", "  link:"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_problem_with_its_place(tmp_path: Path, expected: str, old: str, new: str) -> None:
    """What was given, and what to do."""
    assert problem_of(write(tmp_path, old, new)).startswith(expected)


@pytest.mark.parametrize(
    ("expected", "pool"),
    [
        ("6: fleet.0.zone: unknown zone 'est'; did you mean 'west' or 'east'?", "zone: est"),
        ("6: fleet.0.node: unknown node 'dgx-h10'", "node: dgx-h10"),
        ("6: fleet.0.replicas: 17 replicas with 1 devices each need more than 2 × dgx-h100 (of 8", "replicas: 17"),
        ("6: fleet.0.replicas: 5 replicas with 4 devices each", "replicas: 5; pipeline_parallel_size: 4"),
        ("fleet.0: topology.nodes has no machine with h100-sxm in zone 'east', only 'rack'", "zone: east"),
        ("fleet.0: topology.nodes has no p5.48xlarge, only 'rack' (2 × dgx-h100 in west)", "node: p5.48xlarge"),
    ],
)  # fmt: skip
def test_a_pool_needs_machines(tmp_path: Path, expected: str, pool: str) -> None:
    """Those that are listed, in its zone, and enough of them."""
    assert expected in problem_of(write(tmp_path, pool=pool))


def test_pools_share_the_machines_listed(tmp_path: Path) -> None:
    """Each fits alone; together they do not."""
    path = write(tmp_path, pool="replicas: 12")
    second = "  - {name: second, accelerator: h100-sxm, replicas: 6}\nengine:"
    path.write_text(path.read_text().replace("engine:", second, 1))

    assert "fleet.1.replicas: 6 replicas with 1 devices each" in problem_of(path)
    assert "there is room for 4; lower it" in problem_of(path)


def test_without_listed_zones_pools_may_name_any(tmp_path: Path) -> None:
    """As a trace of spot capacity does; a part of the topology may not."""
    assert "eu-1" == load_scenario(write(tmp_path, pool="zone: eu-1", topology="")).scenario.fleet[0].zone
    topology = "topology: {storage: [{name: hub, kind: object_store, zone: eu-1}]}\n"
    assert "unknown zone 'eu-1'; list the zones under topology.zones" in problem_of(
        write(tmp_path, topology=topology)
    )


def test_zones_that_exchange_data_need_a_link() -> None:
    """Whoever knows who exchanges with whom asks; a pool without a zone is in the first one."""
    topology = Topology.model_validate(
        {"zones": ["a", "b", "c"], "links": [{"between": ["b", "a"], "bandwidth": 1.0}]}
    )
    exchanges = [
        (("fleet", 0), None, "b"),
        (("fleet", 1), "b", "c"),
        (("fleet", 2), "c", "c"),
        (("fleet", 3), None, "a"),
    ]
    [(where, message)] = missing_links(topology, exchanges)

    assert ("fleet", 1) == where
    assert message.startswith(
        "zones 'b' and 'c' exchange data, and no link joins them; add to topology.links"
    )


def test_the_example_in_the_documentation_is_right(tmp_path: Path) -> None:
    """docs/network.md, as it stands."""
    page = (Path(__file__).parents[2] / "docs" / "network.md").read_text("utf-8")
    example = page.partition("```yaml\n")[2].partition("```")[0]
    scenario = load_scenario(write(tmp_path, topology=example.replace("dgx-a100", "dgx-h100"))).scenario

    assert ["raid", "hub"] == [storage.name for storage in scenario.topology.storage]
