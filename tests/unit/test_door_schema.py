"""`llmsim schema`: the scenario's reference, generated from the models that check it."""

from __future__ import annotations

import json

import pytest

from llmsim.cli.schema import print_schema
from llmsim.errors import UserError
from llmsim.spec.scenario import Scenario


def shown(capsys: pytest.CaptureFixture[str], section: str) -> str:
    """What is printed for a section, spaces made one."""
    print_schema(section, as_json=False)
    return " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(
    ("section", "line"),
    [
        ("slo", "ttft_ms number | null ms null time to first token, from arrival"),
        ("engine", "max_num_batched_tokens integer tokens 2048 most new tokens in one iteration"),
        ("engine", "block_size integer tokens 16 tokens in a KV block"),
        ("fleet", "usd_per_hour number | null $/h null price of one accelerator"),
        ("fleet", "accelerator text required"),
        ("engine.kv_cache", "reserve pow2 | oracle pow2"),
        ("workload.arrival", "request_rate number 1/s required mean requests per second"),
        ("router", "round_robin which replica a request goes to"),
        ("", "scenario: A model on a fleet under a workload"),
    ],
)
def test_a_key_has_type_unit_default_and_meaning(
    capsys: pytest.CaptureFixture[str], section: str, line: str
) -> None:
    """One line per key, straight from its field."""
    assert line in shown(capsys, section)


def test_every_key_has_a_meaning() -> None:
    """No field of the scenario is without a description."""
    schema = Scenario.model_json_schema()
    unexplained = [
        f"{model}.{key}"
        for model, node in {"Scenario": schema, **schema["$defs"]}.items()
        for key, inner in node.get("properties", {}).items()
        if key != "kind" and not inner.get("description")
    ]

    assert [] == unexplained


@pytest.mark.parametrize("section", ["", "engine", "workload.arrival"])
def test_json_is_a_schema_that_resolves(capsys: pytest.CaptureFixture[str], section: str) -> None:
    """Every reference in it leads somewhere; in a single section's too."""
    print_schema(section, as_json=True)
    text = capsys.readouterr().out
    references = {part.split('"')[0] for part in text.split('"#/$defs/')[1:]}

    assert references <= set(json.loads(text)["$defs"])


def test_an_unknown_section_suggests_the_nearest() -> None:
    """As every other name."""
    with pytest.raises(UserError, match="no section 'engin'; did you mean 'engine'"):
        print_schema("engin", as_json=False)
