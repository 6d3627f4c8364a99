"""Numbers with their sources: how an entry of the hardware catalogue is taken apart."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from llmsim.spec.hardware import Accelerator

SHEET = {"citation": "a datasheet", "read_on": "2026-11-21"}


def entry(**changes: Any) -> dict[str, Any]:
    """An accelerator as a file has it."""
    return {
        "name": "made-up",
        "vendor": "nobody",
        "form": "card",
        "year": 2026,
        "family": "other",
        "memory_type": "hbm3",
        "link_name": "nvlink4",
        "peaks": {"bf16": {"value": 1e15, "source": "sheet"}},
        "memory_bytes": {"value": "80GiB", "source": "sheet"},
        "memory_bytes_per_s": {"value": "3.35TB/s", "source": "sheet"},
        "sources": {"sheet": SHEET},
    } | changes


def test_the_value_is_plain() -> None:
    """A number's field holds the number."""
    assert 1e15 == Accelerator.model_validate(entry()).peak_flops_per_s("bf16")


def test_a_value_may_carry_its_unit() -> None:
    """Text with a unit becomes SI units and bytes."""
    item = Accelerator.model_validate(entry(usd_per_hour={"value": "$2.49/h", "source": "sheet"}))

    assert (80 * 2**30, 3.35e12, 2.49) == (item.memory_bytes, item.memory_bytes_per_s, item.usd_per_hour)


def test_the_source_is_kept() -> None:
    """``sources`` says, by field, which document a number is from."""
    item = Accelerator.model_validate(entry())

    assert {"peaks.bf16", "memory_bytes", "memory_bytes_per_s"} == set(item.sources())
    assert "a datasheet" == item.sources()["peaks.bf16"].citation


def test_a_number_may_add_a_remark() -> None:
    """A number can be unverified, and say why, although its document is not."""
    number = {"value": 1e15, "source": "sheet", "unverified": True, "why": "halved"}
    cited = Accelerator.model_validate(entry(peaks={"bf16": number})).sources()["peaks.bf16"]

    assert (True, "halved") == (cited.unverified, cited.why)


def test_an_unknown_source_is_an_error() -> None:
    """A source id that the file does not list is refused with the place."""
    with pytest.raises(ValidationError, match=r"memory_bytes: source 'sheat' is not among"):
        Accelerator.model_validate(entry(memory_bytes={"value": 1e9, "source": "sheat"}))


@pytest.mark.parametrize(
    "changes",
    [
        {"memory_bytes": {"value": 0, "source": "sheet"}},
        {"memory_bytes": {"value": -1.0, "source": "sheet"}},
        {"memory_bytes": {"value": float("nan"), "source": "sheet"}},
        {"memory_bytes": {"value": "80 bananas", "source": "sheet"}},
        {"memory_bytes": {"value": 1e9, "source": "sheet", "sauce": "?"}},
        {"num_sms": {"value": 13.5, "source": "sheet"}},
        {"family": "hoper"},
        {"sources": ["a datasheet"]},
        {"peaks": {"bf61": {"value": 1e15, "source": "sheet"}}},
        {"tdp": 700},
    ],
)
def test_nonsense_is_refused(changes: dict[str, Any]) -> None:
    """Zero, negative and non-numbers, wrong units, unknown keys, families and formats do not load."""
    with pytest.raises(ValidationError):
        Accelerator.model_validate(entry(**changes))


def test_a_format_without_a_peak_has_none() -> None:
    """What is not published is None, not zero."""
    assert Accelerator.model_validate(entry()).peak_flops_per_s("fp4") is None


def test_no_peak_at_all_still_loads() -> None:
    """An accelerator of which no dense peak is published is an entry all the same."""
    assert {} == Accelerator.model_validate(entry(peaks={})).peaks


def test_plain_numbers_do_too() -> None:
    """An accelerator written without sources (in a test, in a what-if) has none."""
    plain = Accelerator.model_validate(
        entry(peaks={"bf16": 1e15}, memory_bytes=8e10, memory_bytes_per_s=3e12)
    )

    assert {} == plain.sources()


def test_an_entry_survives_writing() -> None:
    """What is written out reads back as the same accelerator, sources included."""
    item = Accelerator.model_validate(entry())

    assert item == Accelerator.model_validate(item.model_dump(mode="json"))
