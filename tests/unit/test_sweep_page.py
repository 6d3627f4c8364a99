"""The page of a sweep says what the outcomes say."""

from __future__ import annotations

import re
from pathlib import Path

from sweep_scenarios import grid, small

from llmsim.planning.axes import read_axes
from llmsim.planning.outcome import play
from llmsim.planning.points import Base
from llmsim.report.sweep_page import sweep_html

OVER = ("workload.arrival.request_rate=2:60:20", "engine.scheduler=orca,chunked_prefill")


def page(directory: Path, *over: str, replications: int = 2) -> str:
    """The page of a small sweep, its words without tags."""
    base = Base(small(directory))
    outcomes = [play(point) for point in grid(base, *over, replications=replications)]
    return re.sub(r"<[^>]+>", " ", sweep_html(base.load(), read_axes(over), outcomes))


def test_the_verdict_comes_first_and_counts(tmp_path: Path) -> None:
    """How many settings meet the targets, which is the cheapest, then notes, assumptions and every point."""
    told = page(tmp_path, *OVER)
    places = [
        told.index(word) for word in ("meet the targets", "Notes", "Assumptions", "All 6 points", "Curves")
    ]

    assert places == sorted(places)
    assert re.search(r"[1-6] of 6 meet the targets", told)
    assert "Cheapest of them" in told


def test_seeds_alone_are_a_sweep(tmp_path: Path) -> None:
    """One setting, as written, with its intervals."""
    assert "as written" in page(tmp_path, replications=3)


def test_failed_points_are_on_the_page(tmp_path: Path) -> None:
    """With the reason."""
    over = ("engine.max_num_seqs=8,512", "engine.max_num_batched_tokens=256,1024")
    assert "less than max_num_seqs" in page(tmp_path, *over, replications=1)
