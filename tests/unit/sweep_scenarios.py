"""A scenario small enough to be swept in a test: a linear cost model, and few requests."""

from __future__ import annotations

from pathlib import Path

from llmsim.planning.axes import read_axes
from llmsim.planning.points import Base, Point, points, settings_of

SCENARIO = """
name: small
model: llama-3.1-8b
fleet:
  accelerator: h100-sxm
  cost_model: {kind: linear, iteration_s: 0.005, per_token_s: 0.0001}
engine: {num_kv_tokens: 20000}
workload:
  arrival: {kind: poisson, request_rate: 5}
  input_tokens: 64
  output_tokens: {kind: uniform, min: 4, max: 12}
  num_requests: 60
slo: {ttft_ms: 500, percentile: 0.95}
"""


def small(directory: Path, extra: str = "") -> Path:
    """The scenario's file."""
    path = directory / "small.yaml"
    path.write_text(SCENARIO + extra)
    return path


def grid(base: Base, *over: str, replications: int = 1) -> list[Point]:
    """The points of a grid over the scenario."""
    return points(settings_of(base, read_axes(over)), 0, replications)
