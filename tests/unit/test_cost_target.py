"""A target for what a million output tokens may cost."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from llmsim.cli import main
from llmsim.errors import ScenarioError
from llmsim.files.scenario_file import load_scenario

SCENARIO = """
model: llama-3.1-8b
fleet: {{accelerator: {accelerator}{price}}}
workload: {{arrival: {{kind: poisson, request_rate: 2}}, input_tokens: 100, output_tokens: 50, num_requests: 50}}
slo: {{usd_per_million_output_tokens: {most}}}
"""


def scenario(path: Path, **values: object) -> Path:
    """The scenario in a file."""
    file = path / "cost.yaml"
    file.write_text(SCENARIO.format(**values))
    return file


@pytest.mark.parametrize(("most", "code", "word"), [(1e6, 0, "SLO met"), (1e-6, 1, "SLO missed")])
def test_check_judges_the_cost(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    most: float,
    code: int,
    word: str,
) -> None:
    """Under ``--check`` a run that costs too much ends with 1; the report says what it cost."""
    file = scenario(tmp_path, accelerator="h100-sxm", price=", usd_per_hour: 2", most=most)

    monkeypatch.setattr(sys, "argv", ["llmsim", "run", str(file), "--check", "--out", str(tmp_path / "out")])
    with pytest.raises(SystemExit) as ended:
        main()
    assert code == (ended.value.code or 0)
    text = capsys.readouterr().out
    assert text.startswith(word)
    assert "A million output tokens cost $" in text


def test_a_cost_target_needs_prices(tmp_path: Path) -> None:
    """One message, before anything runs."""
    with pytest.raises(
        ScenarioError, match=r"needs a price, and none of a100-pcie-40gb is known; give usd_per_hour"
    ):
        load_scenario(scenario(tmp_path, accelerator="a100-pcie-40gb", price="", most=1))
