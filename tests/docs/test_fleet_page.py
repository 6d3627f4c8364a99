"""docs/fleet.md says what its scenarios do, and shows what the program draws."""

from __future__ import annotations

import re
import sys
from functools import cache
from pathlib import Path

import pytest

import llmsim
from llmsim.api import Result
from llmsim.report.format import dollars

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))
import draw_scenarios

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "fleet.md").read_text()


@cache
def result(name: str) -> Result:
    """The scenario's run, once."""
    return llmsim.run(ROOT / "scenarios" / f"{name}.yaml")


def section(title: str) -> str:
    """What stands below a heading, on one line."""
    return " ".join(PAGE.split(f"## {title}\n", 1)[1].split("\n## ", 1)[0].split())


@pytest.mark.parametrize("name", draw_scenarios.SCENARIOS)
def test_the_picture_is_of_this_version(name: str) -> None:
    """The numbers in it, up to the last digit drawn."""
    assert_is_shown(draw_scenarios.picture(result(name).record, name), name)


def assert_is_shown(drawn: str, name: str) -> None:
    """The page's picture is ``drawn``, and small enough to be text."""
    shown = (ROOT / "docs" / "pictures" / f"{name}.svg").read_text()

    assert len(shown) < 100_000
    assert re.sub(r"-?\d+\.?\d*", "", shown) == re.sub(r"-?\d+\.?\d*", "", drawn)
    numbers = [[float(number) for number in re.findall(r"-?\d+\.?\d*", text)] for text in (shown, drawn)]
    assert numbers[0] == pytest.approx(numbers[1], abs=0.15)


def test_the_chat_service_on_spot() -> None:
    """Two lost, nobody hit, users within the targets, and dollars."""
    summary, text = (
        result("chatbot-on-spot").summary,
        section("A chat service on spot, with on-demand fallback"),
    )

    assert (2, 0) == (summary["fleet"]["reclaims"], summary["fleet"]["requests_hit"])
    assert f"{summary['slo_attainment']:.1%} are within" in text
    assert f"for {dollars(summary['cost_usd'])} instead" in text


def test_the_node_that_dies() -> None:
    """Requests hit, tokens lost, users within the targets."""
    summary, text = result("node-dies-at-peak").summary, section("A node dies at the peak")
    fleet = summary["fleet"]

    assert 1 == fleet["crashes"]
    assert f"{fleet['requests_hit']} requests lose {fleet['lost_kv_tokens'] // 1000},000 tokens" in text
    assert f"{summary['slo_attainment']:.1%} are within" in text


def test_the_day_that_is_followed() -> None:
    """Dollars, P99, users within the target, replicas, and what four replicas would have cost."""
    summary, text = result("diurnal-autoscaled").summary, section("A day, followed by an autoscaler")
    usd, replicas = summary["cost_usd"], summary["fleet"]["replicas"]
    fixed_usd = usd / summary["accelerator_seconds"] * 4 * summary["duration"]

    assert (1, 6) == (replicas["min"], replicas["max"])
    assert f"to six replicas serve, {replicas['mean']:.2f} on average" in text
    assert (
        f"| autoscaled | {dollars(usd)} | {summary['p99_ttft_ms']:,.0f} ms | {summary['slo_attainment']:.1%} |"
        in text
    )
    assert f"| ${fixed_usd:.2f} |" in text
    assert f"saves {1 - usd / fixed_usd:.0%}" in text


def test_the_mixed_fleet() -> None:
    """Its picture; the share it ships with meets the target, others do not; and what load routers reach."""
    points = draw_scenarios.by_share()
    by_share = dict(zip(draw_scenarios.SHARES, points, strict=True))
    text = section("A100s and H100s behind one router")

    assert_is_shown(draw_scenarios.shares_picture(points), draw_scenarios.MIXED)
    assert [80] == [share for share, within in by_share.items() if within.all >= 99]
    assert f"With 80% to the H100s {by_share[80].all:.2f}% are" in text
    assert f"they would keep {by_share[100].all:.0f}% within" in text
    for router, told in (
        ("least_tokens", "and {:.0f}% are within"),
        ("round_robin", "(`round_robin`) give {:.0f}%"),
    ):
        assert told.format(draw_scenarios.within_targets(f"router={router}").all) in text


def test_the_keys_are_those_of_the_summary() -> None:
    """Every key of `fleet` has a row, and every row is a key."""
    rows = re.findall(r"^\| (`\w+`(?:, `\w+`)*) \|", PAGE.split("## What a report says", 1)[1], re.MULTILINE)
    named = [name for row in rows for name in re.findall(r"\w+", row)]

    assert list(result("node-dies-at-peak").summary["fleet"]) == named


def test_the_example_can_be_run(tmp_path: Path) -> None:
    """The fleet section, with a model and requests."""
    [example] = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    path = tmp_path / "example.yaml"
    workload = (
        "{arrival: {kind: poisson, request_rate: 1}, input_tokens: 99, output_tokens: 20, num_requests: 50}"
    )
    path.write_text(f"model: llama-3.1-8b\nworkload: {workload}\n{example}")

    assert 50 == llmsim.run(path).summary["completed"]
