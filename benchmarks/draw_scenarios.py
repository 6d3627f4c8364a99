"""Draw the pictures of docs/fleet.md and docs/workloads.md: over time, over shares, and over rates.

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
from llmsim.measure.slo import good

Floats = npt.NDArray[np.float64]

ROOT = Path(__file__).parents[1]
SCENARIOS = ("chatbot-on-spot", "node-dies-at-peak", "diurnal-autoscaled")
MIXED = "mixed-a100-h100"
SHARES = (50, 60, 70, 75, 80, 85, 90, 100)
"""Of the requests, sent to the H100s, in %."""


class ByRate(NamedTuple):
    """A scenario at several rates, as it is and with changes."""

    heading: str
    rates: tuple[float, ...]
    variants: Mapping[str, tuple[str, ...]]


BY_RATE = {
    "disaggregated-70b": ByRate(
        "Requests within the targets, %, over requests per second",
        (2, 4, 6, 8, 10, 12, 14, 16),
        {
            "two for prompts, two for answers": (),
            "four mixed": (
                "fleet=[{name: mixed, accelerator: h100-sxm, tensor_parallel_size: 2, replicas: 4}]",
            ),
        },
    ),
    "agents": ByRate(
        "Requests within the targets, %, over sessions/s",
        (0.05, 0.1, 0.15, 0.2, 0.25, 0.3),
        {
            "session_affinity": (),
            "least_requests": ("router=least_requests",),
            "no prefix caching": ("engine.enable_prefix_caching=false",),
        },
    ),
}
WIDTH, LEFT, RIGHT = 760, 46, 12
PANEL, GAP, TOP = 96, 46, 34
NUM_BINS = 180
SHARES_PANEL = 180
SHARES_BOTTOM = TOP + SHARES_PANEL
SHARE_COLORS = {"a100": 1, "h100": 0, "all": 2}

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
    return _svg(f"{name} over time", height, body + marks)


def _is_flat(lines: Iterable[Floats]) -> bool:
    return all(np.ptp(line) < 1e-9 * max(1.0, float(np.max(line))) for line in lines)


def _x(time_s: float, edges: Floats) -> float:
    return LEFT + float((time_s - edges[0]) / (edges[-1] - edges[0])) * (WIDTH - LEFT - RIGHT)


def _panel(panel: Panel, values: Mapping[str, Floats], top: float) -> Iterator[str]:
    """Title with the lines' names, round levels, times, and the steps; a line that is 0 throughout is left out."""
    edges, bottom = values["time_s"], top + PANEL
    lines = {column: line for column, line in panel.lines.items() if values[column].any()}
    most = max(float(values[column].max()) for column in lines) * 1.08
    named = len(lines) > 1
    names = " ".join(f'<tspan class="t{color}">{name}</tspan>' for name, color in lines.values())
    yield f'<text class="title" x="{LEFT}" y="{top - 16}">{panel.title}{": " + names if named else ""}</text>'
    step = next(s for s in _round_steps() if most / s <= 4)
    for level in np.arange(0, most, step):
        y = bottom - level / most * PANEL
        yield f'<path class="grid" d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}"/>'
        yield f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{level:g}</text>'
    for time_s, label in _times(float(edges[-1])):
        x = _x(time_s, edges)
        yield f'<text x="{x:.1f}" y="{bottom + 15}" text-anchor="middle">{label}</text>'
    for column, (_, color) in lines.items():
        ys = bottom - values[column] / most * PANEL
        steps = "".join(
            f"V{y:.1f}H{_x(right, edges):.1f}" for y, right in zip(ys, edges[1:].tolist(), strict=True)
        )
        yield f'<path class="s{color}" d="M{LEFT} {ys[0]:.1f}{steps}"/>'


def _times(until_s: float) -> Iterator[tuple[float, str]]:
    """(time, label): every ten minutes, or every three hours where that would be crowded."""
    unit_s, every, name = (60, 10, "min") if until_s < 3 * 3600 else (3600, 3, "h")
    for number in range(0, int(until_s / unit_s) + 1, every):
        yield number * unit_s, f"{number}" if number else f"0 {name}"


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


class Within(NamedTuple):
    """Of the requests to each pool, and of all, the share within the targets, in %."""

    a100: float
    h100: float
    all: float


def within_targets(*sets: str) -> Within:
    """What the mixed fleet does with these changes; nan for a pool without requests."""
    scenario = llmsim.load(ROOT / "scenarios" / f"{MIXED}.yaml", sets)
    record = llmsim.run(scenario).record
    met = good(record.table, scenario.scenario.slo)
    assert met is not None
    pools = np.array([replica.pool for replica in record.replicas])[record.table.replica]
    by_pool = [
        float(met[pools == name].mean()) if (pools == name).any() else np.nan for name in Within._fields[:2]
    ]
    return Within(*(100 * share for share in (*by_pool, float(met.mean()))))


def by_share() -> list[Within]:
    """The mixed fleet at each of ``SHARES``."""
    return [
        within_targets(f"router.weights.a100={100 - share}", f"router.weights.h100={share}")
        for share in SHARES
    ]


def shares_picture(points: list[Within]) -> str:
    """Who is within the targets over the share that goes to the H100s, as SVG."""
    names = {"a100": "at the A100s", "h100": "at the H100s", "all": "of all"}
    lines = {
        names[each]: (color, [getattr(point, each) for point in points])
        for each, color in SHARE_COLORS.items()
    }
    heading = "Requests within the targets, %, over the share that goes to the H100s"
    labels = {float(share): f"{share}%" for share in SHARES if share % 10 == 0}
    return _curves(f"{MIXED}, by share", heading, list(map(float, SHARES)), labels, lines)


def rates_picture(name: str) -> str:
    """Who is within the targets over the rate, in each of the scenario's variants, as SVG."""
    heading, rates, variants = BY_RATE[name]
    scenario = ROOT / "scenarios" / f"{name}.yaml"
    lines: dict[str, tuple[int, list[float]]] = {}
    for color, (variant, sets) in enumerate(variants.items()):
        changes = [(*sets, f"workload.arrival.request_rate={rate}") for rate in rates]
        summaries = [llmsim.run(llmsim.load(scenario, each)).summary for each in changes]
        lines[variant] = color, [100 * summary["slo_attainment"] for summary in summaries]
    labels = {float(rate): str(rate) for rate in rates}
    return _curves(f"{name}, by rate", heading, list(map(float, rates)), labels, lines)


def _curves(
    title: str,
    heading: str,
    places: list[float],
    labels: Mapping[float, str],
    lines: Mapping[str, tuple[int, list[float]]],
) -> str:
    """Shares in % over ``places``, a line for each (colour, values), as SVG."""
    span = (WIDTH - LEFT - 2 * RIGHT) / (places[-1] - places[0])
    xs = [LEFT + (place - places[0]) * span for place in places]
    names = " ".join(f'<tspan class="t{color}">{name}</tspan>' for name, (color, _) in lines.items())
    body = [f'<text class="title" x="{LEFT}" y="{TOP - 16}">{heading}: {names}</text>']
    for level in range(0, 101, 20):
        y = SHARES_BOTTOM - level / 100 * SHARES_PANEL
        body.append(f'<path class="grid" d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}"/>')
        body.append(f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{level}</text>')
    for x, place in zip(xs, places, strict=True):
        if place in labels:
            body.append(
                f'<text x="{x:.1f}" y="{SHARES_BOTTOM + 15}" text-anchor="middle">{labels[place]}</text>'
            )
    for color, values in lines.values():
        ys = [SHARES_BOTTOM - value / 100 * SHARES_PANEL for value in values]
        path = "L".join(f"{x:.1f} {y:.1f}" for x, y in zip(xs, ys, strict=True) if not np.isnan(y))
        body.append(f'<path class="s{color}" d="M{path}"/>')
    return _svg(title, SHARES_BOTTOM + GAP, "".join(body))


def _svg(title: str, height: float, body: str) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img">'
        f"<title>{escape(title)}</title><style>{STYLE}</style>{body}</svg>\n"
    )


def draw(name: str) -> str:
    """The picture of the scenario ``name``."""
    if name == MIXED:
        return shares_picture(by_share())
    if name in BY_RATE:
        return rates_picture(name)
    return picture(llmsim.run(ROOT / "scenarios" / f"{name}.yaml").record, name)


def main(names: list[str]) -> None:
    """Write docs/pictures/NAME.svg for each scenario."""
    for name in names or (*SCENARIOS, MIXED, *BY_RATE):
        (ROOT / "docs" / "pictures" / f"{name}.svg").write_text(draw(name))


if __name__ == "__main__":
    main(sys.argv[1:])
