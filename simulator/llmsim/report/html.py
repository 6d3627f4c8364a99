"""``report.html``: one file that opens anywhere, offline, and loads nothing."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from string import Template
from typing import Any

from llmsim.files.scenario_file import LoadedScenario
from llmsim.measure.records import RunRecord
from llmsim.measure.requests import RequestTable
from llmsim.report import facts
from llmsim.report.assumptions import assumptions
from llmsim.report.format import dollars, figures, milliseconds, percent
from llmsim.report.pieces import about_time, facts_table, figure, notes_list, scenario_text
from llmsim.report.plots import plot_data
from llmsim.report.shell import asset, shell
from llmsim.report.steady import steady_facts
from llmsim.report.verdict import Verdict, verdict


def page(
    summary: Mapping[str, Any], record: RunRecord, loaded: LoadedScenario, resolved: str, table: RequestTable
) -> str:
    """The report of one run as HTML. Everything a user wrote is escaped; a policy forbids any request.

    Args:
        summary: The summary dict (interface.md, "Summary").
        record: What the run left behind.
        loaded: The scenario and where it was read from.
        resolved: The scenario in full, as YAML.
        table: The run's requests as columns.
    """
    judged = verdict(summary, loaded.scenario.slo)
    data = plot_data(summary, record, loaded.scenario.slo, table)
    body = Template(asset("run.html")).substitute(
        verdict=_verdict(judged, summary),
        tiles=_tiles(summary, judged),
        notes=notes_list(summary["notes"]),
        distributions="".join(figure(spec, bool(spec["x"])) for spec in data["distributions"]),
        latency=_latency(summary),
        time_about=escape(about_time(data)),
        times="".join(figure(spec, True) for spec in data["times"]),
        use=facts_table(
            [
                *facts.request_facts(summary, record),
                *facts.use_facts(summary, record),
                *steady_facts(summary),
            ]
        ),
        assumptions=facts_table(assumptions(record, loaded)),
        scenario=scenario_text("Scenario, fully resolved", resolved),
    )
    return shell(
        title=loaded.scenario.name,
        subtitle=facts.subtitle(record, loaded.models_in_words),
        body=body,
        version=str(summary["version"]),
        sha256=str(summary["scenario_sha256"]),
        data=data,
        scripts=("ticks.js", "chart.js", "plot.js", "numbers.js", "times.js", "page.js"),
    )


def _verdict(judged: Verdict, summary: Mapping[str, Any]) -> str:
    checks = "".join(
        f'<tr><th scope="row">{escape(check.title())}</th><td>{_bar(check.share, check.is_met)}</td>'
        f"<td>{percent(check.share)} within</td><td>{escape(check.margin())}</td></tr>"
        for check in judged.checks
    )
    table = f'<div class="scroll"><table class="checks">{checks}</table></div>' if checks else ""
    return (
        f'<section class="verdict {judged.status}"><p class="word">{judged.word}</p>'
        f"<p>{escape(judged.sentence[:1].upper() + judged.sentence[1:])}</p>{table}"
        f"<p><b>Load</b> {escape(facts.saturation(summary))}</p>"
        f"<p><b>Bottleneck</b> {escape(facts.bottleneck(summary))}</p></section>"
    )


def _bar(share: float | None, is_met: bool) -> str:
    width = 100 * (share or 0)
    return (
        f'<svg class="bar{"" if is_met else " missed"}" viewBox="0 0 100 6" preserveAspectRatio="none" '
        f'aria-hidden="true"><rect width="{width:.1f}" height="6"/></svg>'
    )


def _tiles(summary: Mapping[str, Any], judged: Verdict) -> str:
    tiles = {
        "requests served per second": figures(summary["request_throughput"]),
        "output tokens per second": figures(summary["output_throughput"]),
        "to the first token, P99": milliseconds(summary["p99_ttft_ms"]),
        "per output token, P99": milliseconds(summary["p99_tpot_ms"]),
        **({"of requests within the SLO": percent(summary["slo_attainment"])} if judged.checks else {}),
        "per million output tokens": dollars(summary["usd_per_million_output_tokens"]),
    }
    body = "".join(f"<div><dt>{name}</dt><dd>{escape(value)}</dd></div>" for name, value in tiles.items())
    return f'<dl class="tiles">{body}</dl>'


def _latency(summary: Mapping[str, Any]) -> str:
    heads = "".join(f'<th scope="col">{name}</th>' for name in facts.STATISTICS.values())
    rows = "".join(
        f'<tr><th scope="row">{name}</th>' + "".join(f"<td>{value}</td>" for value in values) + "</tr>"
        for name, values in facts.latency_rows(summary)
    )
    return (
        '<h3 class="over">Over the whole run</h3><div class="scroll"><table class="numbers">'
        f"<thead><tr><th></th>{heads}</tr></thead><tbody>{rows}</tbody></table></div>"
    )
