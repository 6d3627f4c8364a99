"""Pages about several runs as text: complete, small, safe. How they look and act is in tests/docs."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import report_pages as made

from llmsim.report.pages import (
    METRICS,
    Candidate,
    ComparedSetting,
    ComparePage,
    Estimate,
    Headline,
    PlanPage,
    Pruned,
    Setting,
    SweepAxis,
    SweepPage,
    SweepPoint,
    compare_page,
    plan_page,
    sweep_page,
)
from llmsim.report.pages.words import relative_in_words

EVIL = "</script><script>alert(1)</script><img src=x onerror=alert(1)>"


def data_of(page: str) -> dict[str, Any]:
    """The block the script reads."""
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    assert found
    data: dict[str, Any] = json.loads(found[1], parse_constant=pytest.fail)
    return data


PAGES: dict[str, Callable[[], str]] = {
    "compare": lambda: compare_page(made.make_compare()),
    "sweep": lambda: sweep_page(made.make_sweep(made.RATE, made.BATCH, made.SCHEDULER, failed=3)),
    "plan": lambda: plan_page(made.make_plan()),
}


@pytest.mark.parametrize("make", PAGES.values(), ids=PAGES.keys())
def test_verdict_then_sources_then_table_then_plots(make: Callable[[], str]) -> None:
    """What a hurried reader needs is on top, what a doubting one needs is next."""
    page = make()
    order = [
        page.index(text) for text in ('class="word"', "NVIDIA H100 datasheet", "<thead>", 'class="host"')
    ]

    assert sorted(order) == order


@pytest.mark.parametrize("make", PAGES.values(), ids=PAGES.keys())
def test_each_plot_has_a_frame_a_caption_and_its_numbers(make: Callable[[], str]) -> None:
    """As many frames as plots, under the ids that the script looks for, each id once."""
    page = make()
    data = data_of(page)
    ids = [plot["id"] for plot in data["plots"] + data.get("times", [])]

    assert ids
    assert sorted(ids) == sorted(re.findall(r'id="plot-([\w-]+)"', page))
    assert len(ids) == len(set(ids)) == page.count("<figcaption>") == page.count("Numbers as a table")


@pytest.mark.parametrize("make", PAGES.values(), ids=PAGES.keys())
def test_nothing_comes_from_elsewhere(make: Callable[[], str]) -> None:
    """No address of another site, no style attribute that the policy would refuse."""
    page = make().replace("http://www.w3.org/2000/svg", "")

    assert "default-src 'none'" in page
    assert not re.search(r"(src|href)\s*=\s*[\"'](?!data:)|@import|https?://", page)
    assert not re.search(r"<[^>]+\sstyle=|<[^>]+\son\w+=", page)


def evil_compare() -> str:
    evil = ComparedSetting(EVIL, {EVIL: Estimate(1.0)}, scenario=EVIL, saturation_note=EVIL)
    head = made.make_head(
        title=EVIL, subtitle=EVIL, headline=Headline(EVIL, EVIL), notes=(EVIL,), version=EVIL
    )
    return compare_page(ComparePage(head, (METRICS["mean_ttft_ms"],), (evil, evil)))


def evil_sweep() -> str:
    axes = (SweepAxis(EVIL, (EVIL, "b"), unit=EVIL), SweepAxis("k", (1, 2), name=EVIL))
    points = [
        SweepPoint({EVIL: EVIL, "k": 1}, problem=EVIL),
        made.SweepPoint({EVIL: "b", "k": 2}, {"x": Estimate(1.0)}),
    ]
    metric = replace(METRICS["mean_ttft_ms"], key="x", name=EVIL, unit=EVIL)
    return sweep_page(SweepPage(made.make_head(), axes, (metric,), tuple(points), scenario=EVIL))


def evil_plan() -> str:
    candidate = Candidate(EVIL, True, {}, EVIL, EVIL)
    pruned = Pruned(EVIL, 1, (EVIL,), EVIL)
    data = PlanPage(made.make_head(), (), (candidate,), (pruned,), scenarios=(Setting(EVIL, EVIL),))
    return plan_page(data)


@pytest.mark.parametrize("make", [evil_compare, evil_sweep, evil_plan])
def test_user_text_is_escaped(make: Callable[[], str]) -> None:
    """Names, reasons, units and sources are text, never markup."""
    page = make()

    assert "alert(1)" in page
    assert EVIL not in page
    assert "<img" not in page
    assert 2 == page.count("<script") == page.count("</script>")


def test_two_thousand_points_stay_small() -> None:
    """A page that a mail can carry."""
    rates = SweepAxis(
        "workload.arrival.request_rate", tuple(x / 10 for x in range(1, 101)), unit="requests/s"
    )
    page = sweep_page(made.make_sweep(rates, made.BATCH, made.SCHEDULER))

    assert 2000 == page.count('<th scope="row">') - len(made.ASSUMED)
    assert 3_000_000 > len(page.encode())


def test_one_replication_shows_no_interval() -> None:
    """Nothing that looks like certainty where there is one run."""
    setting = ComparedSetting("only", {"mean_ttft_ms": Estimate(85.0)})
    page = compare_page(ComparePage(made.make_head(), (METRICS["mean_ttft_ms"],), (setting,)))

    assert "85.0 ms" in page
    assert "One run each" in page
    assert "interval" not in page.split("</head>")[1].split('<script type="application/json"')[0].replace(
        "so no intervals", ""
    )


@pytest.mark.parametrize(
    ("axes", "kinds"),
    [
        ((made.RATE,), {"lines", "points"}),
        ((made.SCHEDULER,), {"points"}),
        ((made.RATE, made.SCHEDULER), {"lines", "heat", "points"}),
        ((made.SCHEDULER, made.RATE, made.BATCH), {"lines", "heat", "points"}),
    ],
)
def test_axes_decide_what_is_drawn(axes: tuple[SweepAxis, ...], kinds: set[str]) -> None:
    """A number gives curves, two axes a heat map, a cost a front."""
    assert kinds == {plot["kind"] for plot in data_of(sweep_page(made.make_sweep(*axes)))["plots"]}


def test_heat_map_puts_every_point_in_its_cell() -> None:
    """For every choice of the other axes, by row and column."""
    data = made.make_sweep(made.SCHEDULER, made.RATE, made.BATCH, failed=2)
    [heat] = [plot for plot in data_of(sweep_page(data))["plots"] if plot["kind"] == "heat"]
    choices = {one["name"]: one for one in heat["slices"]}

    assert ("request rate (requests/s)", "scheduler") == (heat["xLabel"], heat["yLabel"])
    for point in data.points:
        slice_ = choices[f"max num batched tokens {point.settings[made.BATCH.key]:,}"]
        cell = heat["xs"].index(str(point.settings[made.RATE.key])) + len(heat["xs"]) * heat["ys"].index(
            point.settings[made.SCHEDULER.key]
        )
        if point.problem:
            assert None is slice_["values"][0][cell]
            assert point.problem == slice_["problems"][str(cell)]
        else:
            seconds = slice_["values"][0][cell]
            assert point.estimates["p99_ttft_ms"].value == pytest.approx(1000 * seconds, rel=1e-4)
            assert (point.saturation == "overloaded") == (cell in slice_["saturated"])


def test_curves_hold_every_point_of_a_sweep() -> None:
    """Every estimate is on the line of its settings, in the group of its settings, with its interval."""
    data = made.make_sweep(made.RATE, made.BATCH, made.SCHEDULER)
    plot = data_of(sweep_page(data))["plots"][0]
    groups = {group["name"]: {line["name"]: line for line in group["series"]} for group in plot["groups"]}
    scale = 1000 if plot["unit"] == "s" else 1

    for point in data.points:
        group = groups[f"max num batched tokens {point.settings[made.BATCH.key]:,}"]
        line = group[point.settings[made.SCHEDULER.key]]
        at = plot["stops"].index(point.settings[made.RATE.key])
        estimate = point.estimates["p99_ttft_ms"]
        assert [estimate.value, estimate.low, estimate.high] == pytest.approx(
            [line[column][at] * scale for column in ("values", "low", "high")], rel=1e-4
        )


def test_points_listed_one_by_one_may_lack_a_key() -> None:
    """A row with a dash, and no cell."""
    data = made.make_sweep(made.RATE, made.SCHEDULER)
    listed = SweepPoint({made.RATE.key: 99}, data.points[0].estimates)
    page = sweep_page(replace(data, points=(*data.points, listed)))
    [heat] = [plot for plot in data_of(page)["plots"] if plot["kind"] == "heat"]

    assert '<th scope="row">99</th><td class="word">–</td>' in page
    assert 80 == len(heat["slices"][0]["values"][0])


def knees_of(factor: float) -> list[dict[str, Any]]:
    """Knees of a queue's latency, squeezed by ``factor`` towards its least value."""
    curve = made.make_curve("mean_ttft_ms", {"one": 18.0})
    [line] = curve.series
    least = line.points[0].y.value
    points = tuple(
        replace(point, y=Estimate(least + factor * (point.y.value - least))) for point in line.points
    )
    data = made.make_compare(curves=(replace(curve, series=(replace(line, points=points),)),))
    [plot] = [plot for plot in data_of(compare_page(data))["plots"] if plot["id"] == "curve-0"]
    return plot["groups"][0]["knees"]


def test_knee_is_marked_where_latency_turns_up_before_overload() -> None:
    """Of 1/(1-ρ) up to ρ = 17/18, over integer rates; not of noise on a flat line."""
    [found] = knees_of(1.0)

    assert found["at"] == pytest.approx(18 * (1 - (1 - 17 / 18) ** 0.5), abs=1)
    assert [] == knees_of(0.01)


@pytest.mark.parametrize(
    ("share", "text"),
    [
        ((-0.1234, -0.15, -0.0981), "-12.3% [-15.0, -9.8]"),
        ((2.0, 1.5, 2.5), "+200% [+150, +250]"),
        ((0.0, 0.0, 0.0), "0% [0, 0]"),
        ((-0.0001, -0.0003, -0.000004), "-0.01% [-0.03, -0.0004]"),
    ],
)
def test_a_sure_difference_never_reads_as_zero(share: tuple[float, float, float], text: str) -> None:
    """Signs as they are, and figures enough to show on which side of zero an interval ends."""
    assert text == relative_in_words(Estimate(*share))


def test_a_fleet_that_was_not_run_does_not_count_as_simulated() -> None:
    """Ranked all the same."""
    plan = made.make_plan()
    unrun = Candidate("not run", None, {}, replications=0)
    page = plan_page(replace(plan, candidates=(*plan.candidates, unrun)))

    assert "Ranked: 60 simulated, 1 not" in page
    assert '<th scope="row">not run</th>' in page


def test_differences_of_one_setting_are_a_line_each() -> None:
    """With one setting beside the baseline the metric names the row; with more it names a group of them."""
    for slowness, group in (({"a": 1.0, "b": 2.0}, ""), ({"a": 1.0, "b": 2.0, "c": 3.0}, "TTFT mean")):
        page = compare_page(made.make_compare(slowness))
        rows = data_of(page)["plots"][0]["rows"]

        assert len(made.COMPARED) * (len(slowness) - 1) == len(rows)
        assert group == rows[0]["group"]
        assert (rows[0]["group"] or rows[0]["name"]) == "TTFT mean"


def test_failed_points_are_named_with_their_reason() -> None:
    """And are rows of the table too."""
    page = sweep_page(made.make_sweep(made.RATE, made.SCHEDULER, failed=7))

    assert "7 of 80 have no result" in page
    assert "0 is not positive" in page
    assert 7 == page.count('<td class="word bad">failed</td>')


def test_a_difference_has_a_word_only_where_it_is_given() -> None:
    """The page adds no verdict of its own."""
    data = made.make_compare({"vllm": 1.0, "nearly": 1.01, "slow": 2.0})
    page = compare_page(data)
    given = [d.word for one in data.settings for d in one.differences.values() if d.word]

    assert given
    assert len(given) == len(re.findall(r'<b class="(?:good|bad|plain)">', page))


@pytest.mark.parametrize(
    "page",
    [
        pytest.param(
            lambda: compare_page(ComparePage(made.make_head(), (), (ComparedSetting("a", {}),))), id="compare"
        ),
        pytest.param(lambda: sweep_page(SweepPage(made.make_head(), (made.RATE,), (), ())), id="sweep"),
        pytest.param(lambda: plan_page(PlanPage(made.make_head(), (), ())), id="plan"),
    ],
)
def test_nothing_measured_is_a_page_all_the_same(page: Callable[[], str]) -> None:
    """Verdict and assumptions stand; nothing is drawn."""
    text = page()

    assert [] == data_of(text)["plots"]
    assert "NVIDIA H100 datasheet" in text
