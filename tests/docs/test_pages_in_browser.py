"""Pages of compare, sweep and plan in headless Chromium: drawn, answering keys, readable, asking nobody."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

sys.path.append(str(Path(__file__).parents[1] / "unit"))  # the made-up inputs live beside the unit tests
import report_pages as made
from browser import BROWSER, seen_by_browser

from llmsim.report.pages import SweepAxis, compare_page, plan_page, sweep_page

pytestmark = pytest.mark.skipif(BROWSER is None, reason="no Chromium or Chrome on this machine")

PAGES: dict[str, Callable[[], str]] = {
    "compare": lambda: compare_page(made.make_compare()),
    "sweep": lambda: sweep_page(made.make_sweep(made.RATE, made.BATCH, made.SCHEDULER, failed=3)),
    "plan": lambda: plan_page(made.make_plan()),
}

PROBE = """
const all = (selector, from = document) => [...from.querySelectorAll(selector)];
const press = (svg, key, times = 1) => {
  for (let i = 0; i < times; i += 1) svg.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
  return svg.getAttribute("aria-valuetext");
};
const plots = all("svg.plot");
const id = (svg) => svg.parentElement.id.replace("plot-", "");
const hosts = all(".host");
const drawn = () => plots.flatMap((svg) => all("path, circle, rect, line", svg))
  .flatMap((node) => [...node.attributes].map(({ name, value }) => `${name} ${value}`));
const seen = { ids: plots.map(id), kinds: all("figure").map((figure) => figure.className || "over time") };
seen.empty = hosts.filter((host) => !all(".curve, .cell, .estimate, .on-front", host).length).map((host) => host.id);
seen.unlabelled = plots.filter((svg) => !svg.getAttribute("aria-label") || svg.tabIndex !== 0).map(id);
const isNamed = (node) => node.textContent || node.getAttribute("aria-label");
seen.unnamed = all("select, button, .scroll").filter((node) => !isNamed(node)).length;
seen.broken = drawn().filter((text) => /NaN|Infinity|undefined/.test(text) && !text.startsWith("class"));

const linear = (part) => (part <= 0.03928 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
const luminance = (text) => {
  const [r, g, b] = text.match(/[\\d.]+/g).map((part) => linear(part / 255));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const contrast = (a, b) => {
  const [x, y] = [luminance(a), luminance(b)];
  return (Math.max(x, y) + 0.05) / (Math.min(x, y) + 0.05);
};
const card = getComputedStyle(document.querySelector("figure")).backgroundColor;
const weak = (node, ink, paper) => (contrast(ink, paper) < 4.5 ? [`${node.textContent} ${ink} on ${paper}`] : []);
const cellOf = (text) => all("rect", text.parentElement)[all("text", text.parentElement).indexOf(text)];
const contrasts = () => all("svg.plot text").flatMap((text) => {
  const cell = text.classList.contains("cell-text") ? cellOf(text) : null;
  return weak(text, getComputedStyle(text).fill, cell ? getComputedStyle(cell).fill : card);
});
seen.weak = contrasts();
seen.paper = getComputedStyle(document.body).backgroundColor;

const overlaps = () => plots.flatMap((svg) => {
  const boxes = all(".axes text", svg).map((text) => [text.textContent, text.getBoundingClientRect()]);
  return boxes.flatMap(([name, a], i) => boxes.slice(i + 1)
    .filter(([, b]) => a.left < b.right && b.left < a.right && a.top < b.bottom - 3 && b.top < a.bottom - 3)
    .map(([other]) => `${id(svg)}: ${name} on ${other}`));
});
const outside = () => plots.flatMap((svg) => {
  const frame = svg.getBoundingClientRect();
  return all("text", svg).filter((text) => {
    const box = text.getBoundingClientRect();
    return box.width && (box.left < frame.left - 1 || box.right > frame.right + 1 || box.bottom > frame.bottom + 1);
  }).map((text) => `${id(svg)}: ${text.textContent}`);
});
seen.overlaps = overlaps();
seen.outside = outside();
seen.overflow = document.documentElement.scrollWidth - document.documentElement.clientWidth;

seen.first = Object.fromEntries(plots.map((svg) => [id(svg), press(svg, "Home")]));
seen.second = Object.fromEntries(plots.map((svg) => [id(svg), press(svg, "ArrowRight")]));
seen.last = Object.fromEntries(plots.map((svg) => [id(svg), press(svg, "End")]));
seen.up = Object.fromEntries(plots.map((svg) => (press(svg, "Home"), [id(svg), press(svg, "ArrowUp")])));
const rates = document.querySelector("#plot-curve-0 svg");
seen.rates = [press(rates ?? plots[0], "Home")];
for (let i = 0; rates && i < 19; i += 1) seen.rates.push(press(rates, "ArrowRight"));
seen.tips = all(".tip").filter((tip) => !tip.hidden).length;
plots.forEach((svg) => press(svg, "Escape"));
seen.tipsAfter = all(".tip").filter((tip) => !tip.hidden).length;

all(".switch").forEach((button) => button.click());
seen.brokenLog = drawn().filter((text) => /NaN|Infinity|undefined/.test(text) && !text.startsWith("class"));
seen.overlaps.push(...overlaps());
const key = document.querySelector("figure.lines .key");
const curves = () => all(".curve", key?.closest("figure") ?? document).length;
const before = curves();
key?.click();
seen.hidden = before - curves();
key?.click();

const chooser = document.querySelector("figure.heat select");
if (chooser) {
  const cells = () => all("figure.heat .cell-text").map((text) => text.textContent).join(" ");
  const at = cells();
  chooser.selectedIndex = 2;
  chooser.dispatchEvent(new Event("change"));
  seen.chosen = [at, cells()];
  seen.weak.push(...contrasts());
}
const group = document.querySelector("figure.lines select");
if (group) {
  const lines = () => all(".curve", group.closest("figure")).map((path) => path.getAttribute("d")).join();
  const at = lines();
  group.selectedIndex = 1;
  group.dispatchEvent(new Event("change"));
  seen.grouped = [at, lines()];
}
for (const details of all("details.as-table")) {
  details.open = true;
  details.dispatchEvent(new Event("toggle"));
}
seen.tables = all("details.as-table").map((details) => all("tbody tr", details).length);
seen.headless = all("details.as-table table").filter((table) => !all("thead th[scope=col]", table).length).length;
const sorted = document.querySelector("table.sortable");
if (sorted) {
  const column = [...sorted.tHead.rows[0].cells].findIndex((head) => head.textContent === "SLO attainment");
  const values = () => [...sorted.tBodies[0].rows].map((row) => row.cells[column].dataset.v ?? null);
  const button = sorted.tHead.rows[0].cells[column].querySelector("button");
  button.click();
  seen.ascending = [values(), button.parentElement.getAttribute("aria-sort")];
  button.click();
  seen.descending = [values(), button.parentElement.getAttribute("aria-sort")];
}
seen.overflow = Math.max(seen.overflow, document.documentElement.scrollWidth - document.documentElement.clientWidth);
seen.requests = performance.getEntriesByType("resource").map((entry) => entry.name);
"""


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """All three pages, at a usual width."""
    pages = [make() for make in PAGES.values()]
    return dict(zip(PAGES, seen_by_browser(pages, tmp_path_factory.mktemp("pages"), PROBE), strict=True))


def test_every_plot_is_drawn(seen: dict[str, dict[str, Any]]) -> None:
    """What belongs there; nothing empty, no coordinate that is not a number, linear or logarithmic."""
    kinds = {name: sorted(set(one["kinds"])) for name, one in seen.items()}

    assert {
        "compare": ["bars", "lines"],
        "sweep": ["heat", "lines", "points"],
        "plan": ["lines", "over time", "points"],
    } == kinds
    for one in seen.values():
        assert ([], [], []) == (one["empty"], one["broken"], one["brokenLog"])
        assert len(one["ids"]) == len(one["kinds"])


def test_silent_and_alone(seen: dict[str, dict[str, Any]]) -> None:
    """No console message, no refusal by the policy, no request."""
    assert [] == [line for one in seen.values() for line in one["console"] + one["requests"]]


def test_keys_read_every_plot_out(seen: dict[str, dict[str, Any]]) -> None:
    """Home, arrows and End name what is there; each plot can be reached and says what it is; Escape ends it."""
    for one in seen.values():
        assert ([], 0, 0) == (one["unlabelled"], one["unnamed"], one["tipsAfter"])
        own_tip = [kind for kind in one["kinds"] if kind in ("lines", "points", "heat")]
        assert one["tips"] == len(own_tip) + ("over time" in one["kinds"])
        for id in one["ids"]:
            assert one["first"][id] != one["second"][id] != one["last"][id]
    compare, sweep, plan = seen["compare"], seen["sweep"], seen["plan"]
    assert re.match(r"99\.9% of requests, vllm: [\d,.]+ ms, chunked_prefill: ", compare["last"]["cdf-ttft"])
    assert re.match(
        r"offered rate 20\.0 requests/s, vllm: .* s \[.*\], saturated, ", compare["last"]["curve-0"]
    )
    assert re.match(
        r"TTFT mean, chunked_prefill: -20\.0% \[-26\.0, -15\.0\], better; -17\.0 ms",
        compare["first"]["differences"],
    )
    assert re.match(
        r"request rate \(requests/s\) 1, max num batched tokens 512, TTFT P99 [\d.]+ s$",
        sweep["first"]["heat"],
    )
    assert re.match(r"request rate \(requests/s\) 1, max num batched tokens 1,024, ", sweep["up"]["heat"])
    assert re.match(r"\d × .*, Cost per hour \$[\d.]+/h, SLO attainment [\d.]+%", plan["second"]["front-0"])
    assert plan["up"]["front-0"].endswith("on the Pareto front")


def test_knee_is_in_the_read_out(seen: dict[str, dict[str, Any]]) -> None:
    """Not only a ring: for each line one stop says so."""
    assert [1, 1, 1, 1] == [
        sum(bool(re.search(rf"\b{name}: [^:]*, knee", text)) for text in seen["compare"]["rates"])
        for name in made.SLOWNESS
    ]


def test_choices_change_what_is_drawn(seen: dict[str, dict[str, Any]]) -> None:
    """A legend's key hides its line; another metric fills the cells anew; another group draws other lines."""
    assert 1 == seen["compare"]["hidden"]
    for before, after in (seen["sweep"]["chosen"], seen["sweep"]["grouped"]):
        assert before
        assert before != after


def test_each_plot_has_its_numbers_as_a_table(seen: dict[str, dict[str, Any]]) -> None:
    """With headings, one row at least for each stop of a line, row of cells, difference or point."""
    for one in seen.values():
        assert all(one["tables"])
        assert 0 == one["headless"]
    assert 60 == seen["plan"]["tables"][0]
    assert 5 == seen["sweep"]["tables"][seen["sweep"]["kinds"].index("heat")]


def test_headings_sort(seen: dict[str, dict[str, Any]]) -> None:
    """Up, then down; what has no value stays last; the order is told."""
    for name in ("sweep", "plan"):
        for direction, sign in (("ascending", 1), ("descending", -1)):
            values, told = seen[name][direction]
            numbers = [float(value) for value in values if value is not None]
            assert direction == told
            assert sorted(numbers, reverse=sign < 0) == numbers
            assert all(value is None for value in values[len(numbers) :])


@pytest.mark.parametrize(("is_dark", "widths"), [(False, (760, 1600)), (True, (390,))], ids=["light", "dark"])
def test_readable_at_any_width_in_light_and_dark(
    tmp_path: Path, is_dark: bool, widths: tuple[int, ...]
) -> None:
    """Text has WCAG's contrast of 4.5 to 1 on what it stands on, keeps apart, and nothing scrolls sideways."""
    pages = [make() for make in PAGES.values()]
    for seen in seen_by_browser(pages, tmp_path, PROBE, widths, is_dark=is_dark):
        assert [] == seen["weak"]
        assert ([], [], 0) == (seen["overlaps"], seen["outside"], max(0, seen["overflow"]))
        assert is_dark == (seen["paper"] == "rgb(19, 22, 25)")


RATES = SweepAxis("workload.arrival.request_rate", tuple(x / 10 for x in range(1, 101)), unit="requests/s")


def test_odd_inputs_open_without_complaint(tmp_path: Path) -> None:
    """One of a thing, many, thousands, or nearly all failed: drawn as far as it goes."""
    pages = [
        compare_page(made.make_compare({"only": 1.0})),
        compare_page(made.make_compare({f"s{i}": 1 + i / 20 for i in range(15)})),
        sweep_page(made.make_sweep(SweepAxis("seed", (1,)), made.RATE)),
        sweep_page(made.make_sweep(SweepAxis("a", ("x",)), SweepAxis("b", ("y",)))),
        sweep_page(made.make_sweep(made.RATE, made.SCHEDULER, failed=75)),
        sweep_page(made.make_sweep(RATES, made.BATCH, made.SCHEDULER)),
    ]
    for seen in seen_by_browser(pages, tmp_path, PROBE):
        assert ([], [], [], []) == (seen["console"], seen["broken"], seen["brokenLog"], seen["overlaps"])
        assert ([], 0) == (seen["empty"], max(0, seen["overflow"]))
