"""The answer to "how much load does this fleet take" as JSON and as files."""

from __future__ import annotations

from math import isfinite
from typing import Any

from llmsim.files.scenario_text import resolved_yaml
from llmsim.planning.limit.answer import Limit
from llmsim.planning.limit.probe import Probe
from llmsim.report.limit import notes
from llmsim.report.whole_files import Fill, as_json, text

SCENARIO = "limit.yaml"
"""The scenario at the limit, ready to run."""
FIELDS = ("request_throughput", "output_throughput", "usd_per_million_output_tokens")
"""Means over the replications."""


def limit_json(limit: Limit) -> dict[str, Any]:
    """What ``llmsim plan --find limit --json`` prints. Pure."""
    surely = limit.surely
    return {
        "find": "limit",
        "key": limit.dial.key,
        "unit": limit.dial.unit,
        "targets": limit.given.scenario.slo.model_dump(mode="json"),
        "limit": limit.at and limit.at.value,
        "load": limit.at and limit.at.load,
        "step": limit.step,
        "given": limit.dial.given,
        "margin": limit.margin,
        "holds": limit.holds,
        "surely": surely and {"above": surely[0], "below": surely[1] if isfinite(surely[1]) else None},
        "at": limit.at and _entry(limit.at),
        "beyond": limit.beyond and _entry(limit.beyond),
        "islands": [probe.load for probe in limit.islands],
        "alone": limit.lone and _entry(limit.lone),
        "window_s": limit.length.window_s,
        "replications": limit.replications,
        "runs": limit.runs,
        "notes": list(notes(limit)),
        "tried": [_entry(probe) for probe in limit.tried],
    }


def _entry(probe: Probe) -> dict[str, Any]:
    first = probe.summaries[0] if probe.summaries else None
    return {
        "load": probe.load,
        "settings": dict(probe.setting.values),
        "seeds": [outcome.seed for outcome in probe.outcomes],
        "passes": probe.passes,
        "missed": list(probe.missed),
        "attainment": probe.attainment,
        "interval": probe.interval and list(probe.interval),
        "targets": [
            {"metric": tail.metric, "class": tail.class_name, "limit_ms": tail.limit_ms,
             "share": tail.share, "level": tail.level, "tail_ms": tail.tail_ms}
            for tail in probe.tails
        ],
        "saturation": probe.saturation,
        "bottleneck": first and first["bottleneck"],
        **{field: probe.mean(field) for field in FIELDS},
    }  # fmt: skip


def limit_files(limit: Limit) -> dict[str, Fill]:
    """What the directory holds: the answer, and the scenario at the limit, ready to run."""
    files = {"limit.json": text(as_json(limit_json(limit)))}
    if limit.at is not None and limit.at.setting.loaded is not None:
        files[SCENARIO] = text(resolved_yaml(limit.at.setting.loaded.scenario))
    return files
