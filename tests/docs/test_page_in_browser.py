"""``report.html`` in headless Chromium: it draws, answers keys, fits, and asks nobody for anything."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.append(str(Path(__file__).parents[1] / "unit"))  # the made-up runs live beside the unit tests
import report_runs as runs
from browser import BROWSER
from browser import seen_by_browser as seen_with

pytestmark = pytest.mark.skipif(BROWSER is None, reason="no Chromium or Chrome on this machine")

BOTH = {"ttft_ms": 500.0, "tpot_ms": 50.0, "percentile": 0.9}

PROBE = """
const press = (id, key, times) => {
  const svg = document.querySelector(`#plot-${id} svg`);
  for (let i = 0; i < times; i += 1) svg?.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
  return svg?.getAttribute("aria-valuetext");
};
const overlaps = () => [...document.querySelectorAll("svg.plot")].flatMap((svg) => {
  const texts = [...svg.querySelectorAll(".axes text")];
  const boxes = texts.map((text) => [text.textContent, text.getBoundingClientRect()]);
  return boxes.flatMap(([name, a], i) => boxes.slice(i + 1)
    .filter(([, b]) => a.left < b.right && b.left < a.right && a.top < b.bottom - 3 && b.top < a.bottom - 3)
    .map(([other]) => `${name} on ${other}`));
});
const curves = () => [...document.querySelectorAll(".curve")].map((path) => path.getAttribute("d"));
const seen = { curves: curves(), overlaps: overlaps() };
seen.last = press("ttft", "End", 1);
seen.time = press("requests", "ArrowRight", 3);
seen.events = document.querySelectorAll(".event").length;
seen.dots = document.querySelectorAll("#plot-kv .dot").length;
document.getElementById("log").click();
seen.logCurves = curves();
seen.overlaps.push(...overlaps());
document.querySelector(".wide button")?.click();
seen.afterToggle = document.querySelectorAll("#plot-requests .curve").length;
seen.requests = performance.getEntriesByType("resource").map((entry) => entry.name);
const apart = (a, b) => a.right <= b.left || b.right <= a.left || a.bottom <= b.top || b.bottom <= a.top;
const crossed = (path, box, matrix) => {
  const length = path.getTotalLength();
  for (let at = 0; at <= length; at += 1) {
    const { x, y } = path.getPointAtLength(at).matrixTransform(matrix);
    if (x > box.left && x < box.right && y > box.top + 2 && y < box.bottom - 2) return true;
  }
  return false;
};
const limits = () => [...document.querySelectorAll("svg.plot")].flatMap((svg) => {
  const name = svg.querySelector(".limit-name");
  if (!name) return [];
  const box = name.getBoundingClientRect();
  const texts = [...svg.querySelectorAll(".axes text, .mark-name")];
  const named = texts.some((text) => !apart(box, text.getBoundingClientRect()));
  const hit = named || crossed(svg.querySelector(".curve"), box, svg.getScreenCTM());
  return hit ? [name.textContent] : [];
});
seen.limits = limits();
document.getElementById("log").click();
seen.limits.push(...limits());
seen.scrolled = [...document.querySelectorAll(".scroll")].filter((box) => box.scrollWidth > box.clientWidth).length;
seen.overflow = document.documentElement.scrollWidth - document.documentElement.clientWidth;
seen.unlabelled = document.querySelectorAll("svg.plot:not([aria-label]), svg.plot:not([tabindex])").length;
"""


def seen_by_browser(page: str, folder: Path, width: int = 1200, probe: str = PROBE) -> dict[str, Any]:
    """What the probe saw of a run's page."""
    return seen_with([page], folder, probe, (width,))[0]


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A usual run: two humps in TTFT, targets, a few rejected."""
    requests = runs.make_requests(2_000)
    for req in requests[::50]:
        runs.refuse(req, "too long")
    return seen_by_browser(
        runs.page_of(runs.make_record(requests), runs.make_loaded(BOTH)), tmp_path_factory.mktemp("a")
    )


def test_every_plot_is_drawn_with_finite_numbers(seen: dict[str, Any]) -> None:
    """Three distributions, and running, waiting, KV, prefill and decode over time; linear and logarithmic."""
    for curves in (seen["curves"], seen["logCurves"]):
        assert 8 == len(curves)
        assert all(re.fullmatch(r"M[\d.]+ [\d.]+([HV][\d.]+)+", curve) for curve in curves)


def test_console_stays_silent(seen: dict[str, Any]) -> None:
    """No error, no warning, no refusal by the page's policy."""
    assert [] == seen["console"]


def test_nothing_is_requested(seen: dict[str, Any]) -> None:
    """The page is one file."""
    assert [] == seen["requests"]


def test_keyboard_reads_the_plots_out(seen: dict[str, Any]) -> None:
    """End goes to the greatest value; on a time plot all panels answer together, in words."""
    assert re.fullmatch(r"100% of completed requests, at most [\d,.]+ ms", seen["last"])
    for name in ("running", "waiting", "KV cache", "prefill", "decode"):
        assert name in seen["time"]
    assert 1 == seen["dots"]
    assert 0 == seen["unlabelled"]


def test_legend_hides_a_curve(seen: dict[str, Any]) -> None:
    """Of running and waiting one is left."""
    assert 1 == seen["afterToggle"]


@pytest.mark.parametrize("width", [500, 760, 1600])
def test_fits_any_width(tmp_path: Path, width: int) -> None:
    """No sideways scrolling, and axis labels keep apart."""
    record = runs.make_record(runs.make_requests(500, drift=0.05))
    seen = seen_by_browser(runs.page_of(record, runs.make_loaded(BOTH)), tmp_path, width)

    assert 0 >= seen["overflow"]
    assert [] == seen["overlaps"]


@pytest.mark.parametrize("width", [500, 1200])
@pytest.mark.parametrize("limit", [15.0, 60.0, 600.0, 3000.0])
def test_limits_are_named_beside_the_curve_and_tables_fit(tmp_path: Path, width: int, limit: float) -> None:
    """On a phone too: no table scrolls sideways, and a target's name is on no curve and no other text."""
    slo = {"ttft_ms": limit, "tpot_ms": limit / 10, "e2el_ms": limit * 5, "percentile": 0.9}
    page = runs.page_of(runs.make_record(runs.make_requests(500, drift=0.1)), runs.make_loaded(slo))
    seen = seen_by_browser(page, tmp_path, width)

    assert [] == seen["limits"]
    assert 0 == seen["scrolled"]


def one_token_requests() -> list[Any]:
    return [runs.make_request(i, i * 0.1, wait_s=0.0, prefill_s=0.05, gap_s=0.0, output=1) for i in range(20)]


@pytest.mark.parametrize(
    ("num_curves", "requests"),
    [
        pytest.param(0, [], id="nothing offered"),
        pytest.param(0, [runs.refuse(req, "no") for req in runs.make_requests(5)], id="nothing completed"),
        pytest.param(8, runs.make_requests(1), id="one request"),
        pytest.param(7, one_token_requests(), id="one token each"),
    ],
)
def test_degenerate_runs_open_without_complaint(tmp_path: Path, num_curves: int, requests: list[Any]) -> None:
    """What cannot be drawn is said in words; what can be is drawn; the console stays silent."""
    seen = seen_by_browser(runs.page_of(runs.make_record(requests), runs.make_loaded()), tmp_path)

    assert num_curves == len(seen["curves"])
    assert not any("NaN" in curve or "Infinity" in curve for curve in seen["curves"] + seen["logCurves"])
    assert [] == seen["console"]


@pytest.mark.parametrize("width", [500, 1200])
def test_a_fleet_that_changes_is_drawn_and_read_out(tmp_path: Path, width: int) -> None:
    """Replicas, accelerators and price beside the other plots; what was taken is marked, and said to keyboards."""
    record = runs.make_changing(runs.make_requests(500))
    first_s, last_s = record.table.window_s
    [taken_s] = record.fleet.losses_s("reclaimed")
    steps = int(240 * (taken_s - first_s) / (last_s - first_s)) + 1
    page = runs.page_of(record, runs.make_loaded(BOTH, spot=runs.SPOT))
    seen = seen_by_browser(
        page, tmp_path, width, probe=PROBE.replace('"ArrowRight", 3', f'"ArrowRight", {steps}')
    )

    assert 12 == len(seen["curves"])
    assert all(re.fullmatch(r"M[\d.]+ [\d.]+([HV][\d.]+)+", curve) for curve in seen["curves"])
    assert "1 instance reclaimed" in seen["time"]
    for name in ("replicas serving", "spot accelerators", "on-demand accelerators", "$/h"):
        assert name in seen["time"]
    assert page.count('"name":"reclaimed"') == 1
    assert 6 == seen["events"]
    assert ([], [], 0, 0) == (seen["console"], seen["overlaps"], max(0, seen["overflow"]), seen["unlabelled"])
