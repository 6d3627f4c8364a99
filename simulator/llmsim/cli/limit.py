"""``llmsim plan --find limit``: how much load a fleet takes."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from llmsim.cli.console import show
from llmsim.cli.points_bar import PointsBar
from llmsim.cli.run import nothing_left_on_error
from llmsim.cli.sweep import Where
from llmsim.errors import UserError
from llmsim.files.catalog import expanded
from llmsim.files.scenario_text import scenario_sha256
from llmsim.planning.axes import read_axes
from llmsim.planning.limit.answer import RESOLUTION, find_limit
from llmsim.planning.limit.dial import single_axis
from llmsim.planning.points import Base
from llmsim.planning.precision import read_precision
from llmsim.planning.workers import open_workers
from llmsim.report.limit import limit_text
from llmsim.report.limit_files import SCENARIO, limit_files, limit_json
from llmsim.report.limit_page import limit_html
from llmsim.report.whole_files import as_json, prepare, text, write_all
from llmsim.spec.plan import Plan

FINE, BELOW = 0, 1
FILE = "limit.json"


@dataclass(frozen=True)
class Range:
    """What is turned up, and how finely, as the command line says it."""

    over: Sequence[str] = ()
    resolution: str | None = None
    replications: int | None = None

    @property
    def step(self) -> float:
        """The share of the limit that it is told to. Raises UserError."""
        return RESOLUTION if self.resolution is None else read_precision(self.resolution, "--resolution")


def find_and_tell(base: Base, asked: Range, where: Where, *, check: bool) -> int:
    """Looks for the limit and says what came of it.

    Returns the exit code: with ``check`` 1 where the scenario's own load is beyond the limit.
    """
    axis = single_axis(read_axes(asked.over))
    if axis and asked.resolution is not None:
        raise UserError("--resolution: the range of --over has a step of its own; leave one of them out")
    resolution = asked.step
    loaded = base.load()
    section = loaded.scenario.plan or Plan()
    sha256 = scenario_sha256(loaded.scenario)
    directory = expanded(where.out or Path("results") / f"{loaded.scenario.name}-limit-{sha256[:8]}")
    with nothing_left_on_error(directory):
        prepare(directory, FILE, "limit's")
        with (
            open_workers(where.on, where.workers, where.plugins) as run,
            PointsBar(quiet=where.quiet, what="runs") as bar,
        ):
            limit = find_limit(
                base,
                run,
                over=axis,
                resolution=resolution,
                replications=asked.replications or section.replications,
                progress=bar,
            )
        files = limit_files(limit) | {"report.html": text(limit_html(limit))}
        write_all({directory / name: fill for name, fill in files.items()})
        if SCENARIO not in files:  # nor one of an earlier question
            (directory / SCENARIO).unlink(missing_ok=True)
    if where.json:
        print(as_json(limit_json(limit)), end="")
    elif not where.quiet:
        show(limit_text(limit))
    if not where.quiet:
        print(f"results: {directory}", file=sys.stderr)
    return BELOW if check and not limit.holds else FINE
