"""A comparison as JSON, and the files its directory holds."""

from __future__ import annotations

import re
from typing import Any

import llmsim
from llmsim.files.scenario_text import resolved_yaml, scenario_sha256
from llmsim.planning.compare import Compared, Comparison
from llmsim.report.compare_page import compare_html
from llmsim.report.compare_words import notes, reading, verdicts
from llmsim.report.sweep import point_columns
from llmsim.report.whole_files import Fill, as_json, table, text


def compare_json(comparison: Comparison) -> dict[str, Any]:
    """What ``llmsim compare --json`` prints."""
    baseline, *others = comparison.compared
    return {
        "baseline": baseline.contender.name,
        "replications": len(baseline.outcomes),
        "seeds": [outcome.seed for outcome in baseline.outcomes],
        "ended": comparison.ended,
        "level": comparison.level,
        "reading": reading(comparison),
        "notes": list(notes(comparison)),
        "verdicts": [sentence.strip() for sentence in verdicts(comparison)],
        "scenarios": [_scenario(each) for each in comparison.compared],
        "differences": [
            {
                "scenario": each.contender.name,
                "to": baseline.contender.name,
                "metrics": {name: difference.as_dict() for name, difference in each.differences.items()},
            }
            for each in others
        ],
        "version": llmsim.__version__,
    }


def _scenario(each: Compared) -> dict[str, Any]:
    scenario = each.contender.loaded.scenario
    return {
        "name": each.contender.name,
        "settings": dict(each.contender.values),
        "scenario_sha256": scenario_sha256(scenario),
        **each.found.as_dict(),
        "runs": [
            {"seed": outcome.seed, "summary": outcome.summary}
            | ({"problem": outcome.problem} if outcome.problem else {})
            for outcome in each.outcomes
        ],
        "rates": [
            {
                "rate_factor": point.factor,
                "request_rate": point.request_rate,
                "seed": point.outcome.seed,
                "summary": point.outcome.summary,
            }
            for point in each.curve
        ],
    }


def compare_files(comparison: Comparison) -> dict[str, Fill]:
    """What a comparison's directory holds: name to content."""
    return {
        "summary.json": text(as_json(compare_json(comparison))),
        "report.html": text(compare_html(comparison)),
        **table("runs", point_columns(comparison.outcomes)),
        **{
            f"{position}-{_file_name(each.contender.name)}.yaml": text(
                resolved_yaml(each.contender.loaded.scenario)
            )
            for position, each in enumerate(comparison.compared)
        },
    }


def _file_name(name: str) -> str:
    return re.sub(r"[^\w.+-]+", "-", name)[:80]
