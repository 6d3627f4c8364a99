"""How sure a share of requests is: Wilson's interval, Student's, and the rule of three."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from llmsim.cli.app import app
from llmsim.measure.shares import share_interval
from llmsim.measure.student import mean_interval


def test_wilsons_interval() -> None:
    """81 of 263: 0.2553 to 0.3662. Source: Newcombe, Statistics in Medicine 17 (1998), 857, table I."""
    assert share_interval([81 / 263], 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)


def test_seeds_that_agree_do_not_make_it_certain() -> None:
    """Student's interval of equal shares is a point; requests are still countable: 15 of 15 leave 0.7961 to 1."""
    assert share_interval([1.0, 1.0, 1.0], 15) == pytest.approx((0.7961, 1.0), abs=5e-5)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=6), st.integers(1, 10_000))
def test_it_is_never_narrower_than_either(shares: list[float], offered: int) -> None:
    """And lies within what a share can be."""
    low, high = share_interval(shares, offered)
    assert 0 <= low <= sum(shares) / len(shares) + 1e-9
    assert sum(shares) / len(shares) - 1e-9 <= high <= 1
    student = mean_interval(shares)
    if student is not None:
        assert low <= max(0.0, student.low)
        assert high >= min(1.0, student.high)


@pytest.mark.parametrize(
    ("find", "option"),
    [
        ("fleet", ("--over", "workload.arrival.request_rate=1:2:1")),
        ("fleet", ("--resolution", "5%")),
        ("limit", ("--vary", "fleet.replicas=1,2")),
        ("limit", ("--precision", "5%")),
        ("pareto", ("--check",)),
        ("pareto", ("--max-replicas", "4")),
        ("pareto", ("--precision", "5%")),
    ],
)
def test_an_option_that_would_count_for_nothing_is_refused(
    find: str, option: tuple[str, ...], tmp_path: Path
) -> None:
    """Rather than be taken for an answer: nothing is run or written."""
    found = CliRunner().invoke(
        app, ["plan", "chatbot", "--find", find, *option, "--out", str(tmp_path / "out")]
    )
    assert found.exit_code == 2
    assert f"{option[0]}: not for --find {find}" in " ".join(found.stderr.replace("│", " ").split())
    assert not (tmp_path / "out").exists()
