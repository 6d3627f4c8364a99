"""Draw the pictures of docs/fleet.md: what happened over time in a scenario whose fleet changes.

python benchmarks/draw_scenarios.py [NAME ...]
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping
from html import escape
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

import llmsim
from llmsim.measure.records import RunRecord
from llmsim.measure.series import series

Floats = npt.NDArray[np.float64]

ROOT = Path(__file__).parents[1]
SCENARIOS = ("chatbot-on-spot", "node-dies-at-peak")
WIDTH, LEFT, RIGHT = 760, 46, 12
PANEL, GAP, TOP = 96, 46, 34
NUM_BINS = 180

STYLE = """
text { font: 12px system-ui, sans-serif; fill: #5c656e; } .title { fill: #1c2126; font-weight: 600; }
path { fill: none; stroke-width: 1.6; } .grid { stroke: #e2e5e8; } .lost { fill: #b3261e; }
.s0 { stroke: #2667b0; } .s1 { stroke: #c2610c; } .s2 { stroke: #17806d; } .s4 { stroke: #b23f6b; }
tspan { font-weight: 600; } .t0 { fill: #2667b0; } .t1 { fill: #c2610c; } .t2 { fill: #17806d; } .t4 { fill: #b23f6b; }
@media (prefers-color-scheme: dark) {
  text { fill: #9aa4ae; } .title { fill: #e7eaed; } .grid { stroke: #2d333a; } .lost { fill: #f2847c; }
  .s0 { stroke: #6aa9ee; } .s1 { stroke: #f0a05a; } .s2 { stroke: #55c3ad; } .s4 { stroke: #ee8bb0; }
  .t0 { fill: #6aa9ee; } .t1 { fill: #f0a05a; } .t2 { fill: #55c3ad; } .t4 { fill: #ee8bb0; }
}"""


class Panel(NamedTuple):
    """A plot: its title, and column of the series to (name, colour)."""

    title: str
    lines: Mapping[str, tuple[str, int]]


PANELS = (
    Panel("Requests", {"running": ("running", 0), "waiting": ("waiting", 1)}),
    Panel("Replicas that serve", {"serving": ("replicas", 0)}),
    Panel("Accelerators held", {"spot_held": ("spot", 2), "on_demand_held": ("on demand", 1)}),
    Panel("Price of what is held, $ an hour", {"usd_per_hour": ("price", 4)}),
)


def picture(record: RunRecord, name: str) -> str:
    """The panels one below another, as SVG, for a light and a dark page."""
    values = series(record, NUM_BINS)
    panels = [
        panel
        for panel in PANELS
        if panel.lines.keys() <= values.keys() and not _is_flat(values[name] for name in panel.lines)
    ]
    height = TOP + len(panels) * (PANEL + GAP)
    body = "".join(
        "".join(_panel(panel, values, TOP + index * (PANEL + GAP))) for index, panel in enumerate(panels)
    )
    marks = "".join(_marks(record, values["time_s"]))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img">'
        f"<title>{escape(name)} over time</title><style>{STYLE}</style>{body}{marks}</svg>\n"
    )


def _is_flat(lines: Iterable[Floats]) -> bool:
    return all(np.ptp(line) < 1e-9 * max(1.0, float(np.max(line))) for line in lines)


def _x(time_s: float, edges: Floats) -> float:
    return LEFT + float((time_s - edges[0]) / (edges[-1] - edges[0])) * (WIDTH - LEFT - RIGHT)


def _panel(panel: Panel, values: Mapping[str, Floats], top: float) -> Iterator[str]:
    """Title with the lines' names, round levels, minutes, and the steps."""
    edges, bottom = values["time_s"], top + PANEL
    most = max(float(values[column].max()) for column in panel.lines) * 1.08 or 1.0
    named = len(panel.lines) > 1
    names = " ".join(f'<tspan class="t{color}">{name}</tspan>' for name, color in panel.lines.values())
    yield f'<text class="title" x="{LEFT}" y="{top - 16}">{panel.title}{": " + names if named else ""}</text>'
    step = next(s for s in _round_steps() if most / s <= 4)
    for level in np.arange(0, most, step):
        y = bottom - level / most * PANEL
        yield f'<path class="grid" d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}"/>'
        yield f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{level:g}</text>'
    for minute in range(0, int(edges[-1] / 60) + 1, 10):
        x = _x(minute * 60, edges)
        yield f'<text x="{x:.1f}" y="{bottom + 15}" text-anchor="middle">{minute}{" min" if not minute else ""}</text>'
    for column, (_, color) in panel.lines.items():
        ys = bottom - values[column] / most * PANEL
        steps = "".join(
            f"V{y:.1f}H{_x(right, edges):.1f}" for y, right in zip(ys, edges[1:].tolist(), strict=True)
        )
        yield f'<path class="s{color}" d="M{LEFT} {ys[0]:.1f}{steps}"/>'


def _round_steps() -> Iterator[float]:
    for power in range(-3, 7):
        yield from (10.0**power, 2 * 10.0**power, 5 * 10.0**power)


def _marks(record: RunRecord, edges: Floats) -> Iterator[str]:
    """A triangle above the first panel for each instance that went."""
    assert record.fleet is not None
    for kind in ("reclaimed", "crashed"):
        for time_s in record.fleet.losses_s(kind):
            yield (
                f'<path class="lost" d="M{_x(time_s, edges) - 4:.1f} {TOP - 5}h8l-4 7z">'
                f"<title>an instance {kind} at {time_s / 60:.1f} min</title></path>"
            )


def main(names: list[str]) -> None:
    """Write docs/pictures/NAME.svg for each scenario."""
    for name in names or SCENARIOS:
        record = llmsim.run(ROOT / "scenarios" / f"{name}.yaml").record
        (ROOT / "docs" / "pictures" / f"{name}.svg").write_text(picture(record, name))


if __name__ == "__main__":
    main(sys.argv[1:])
