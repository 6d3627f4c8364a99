"""``llmsim.sweep``, ``compare`` and ``plan`` from Python: mistakes told, short ways of asking, notebooks."""

from __future__ import annotations

from collections.abc import Callable
from importlib.resources import files
from typing import Any

import pytest

import llmsim
from llmsim.errors import UserError

HERE = llmsim.Where(on="here")
SMALL = {
    "workload": {"arrival": {"kind": "poisson", "request_rate": 8}, "input_tokens": 100, "output_tokens": 5,
                 "num_requests": 20},
}  # fmt: skip
KEY = "engine.max_num_seqs"


@pytest.mark.parametrize(
    ("ask", "said"),
    [
        (lambda: llmsim.sweep("chatbot", {KEY: 3}, where=HERE), "3 is one value; give a list, such as [3]"),
        (lambda: llmsim.plan("chatbot", {"engine.scheduler": {"kind": "orca"}}, where=HERE), "is one value"),
        (lambda: llmsim.sweep("chatbot", {KEY: [1, 2]}, replications=0, where=HERE), "replications: 0 is not"),
        (lambda: llmsim.compare("chatbot", {KEY: [1, 2]}, replications=-1, where=HERE), "replications: -1 is not"),
        (lambda: llmsim.plan("chatbot", replications=0, where=HERE), "replications: 0 is not"),
        (lambda: llmsim.sweep("chatbot", {KEY: [1, 2]}, precision=5, where=HERE), "precision: 5 is not a share"),
        (lambda: llmsim.sweep("chatbot", {KEY: [1]}, where=llmsim.Where(workers=0)), "workers"),
        (lambda: llmsim.compare("chatbot", {KEY: []}, where=HERE), "no values"),
    ],
)  # fmt: skip
def test_a_number_that_asks_for_nothing_is_refused(ask: Callable[[], Any], said: str) -> None:
    """Before anything runs, and never taken for the default."""
    with pytest.raises(UserError) as caught:
        ask()
    assert said in str(caught.value)


def test_values_may_be_text_and_a_scenario_may_stand_alone() -> None:
    """As on the command line: ``"a,b"`` is two values, not three letters."""
    listed = llmsim.compare(["chatbot"], {KEY: [4, 8]}, SMALL, replications=2, where=HERE)
    text = llmsim.compare("chatbot", {KEY: "4,8"}, SMALL, replications=2, where=HERE)
    assert listed.differences.equals(text.differences)
    assert text.comparison.compared[0].contender.name == "max_num_seqs=4"


def test_a_notebook_shows_what_the_terminal_would() -> None:
    """Verdict and table; ``≤`` and ``<`` in them are no markup."""
    fleet = {"fleet.usd_per_hour": 2.0}
    swept = llmsim.sweep("chatbot", {KEY: [4, 8]}, SMALL, where=HERE)
    compared = llmsim.compare("chatbot", {KEY: [4, 8]}, SMALL, replications=2, where=HERE)
    planned = llmsim.plan("chatbot", changes=SMALL | fleet, max_replicas=1, where=HERE)
    for result, told in (
        (swept, "TTFT"),
        (compared, "against max_num_seqs=4"),
        (planned, "Cheapest fleet"),
    ):
        shown = result._repr_html_()
        assert shown.startswith("<pre")
        assert told in shown
        assert shown.count("<") == 2, "the frame, and nothing else"
    assert repr(planned) == "<PlanResult chatbot: $2.00 an hour for fleet.replicas=1, 24 runs>"


def test_a_plan_is_saved_with_its_page(tmp_path: Any) -> None:
    """Everything that ``llmsim plan`` writes."""
    planned = llmsim.plan("chatbot", changes=SMALL, max_replicas=1, where=HERE)
    names = {path.name for path in planned.save(tmp_path / "out").iterdir()}
    assert names == {"plan.json", "scenario.yaml", "winner.yaml", "report.html"}


def test_requests_of_one_token_have_times_too(tmp_path: Any) -> None:
    """A run without a single decode iteration can be exported."""
    result = llmsim.run("chatbot", SMALL | {"workload.output_tokens": 1})
    assert result.token_times_s(0).shape == (1,)
    for name in ("vllm-bench", "aiperf", "llm-d"):
        assert result.export(name, tmp_path / name).stat().st_size > 0


def test_the_package_says_that_it_is_typed() -> None:
    """Or a type checker takes everything it gives for anything (PEP 561)."""
    assert files("llmsim").joinpath("py.typed").is_file()
