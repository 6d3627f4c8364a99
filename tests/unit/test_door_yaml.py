"""YAML to values and positions."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmsim.errors import ScenarioError
from llmsim.files.yaml_text import parse_yaml, read_yaml


@pytest.mark.parametrize(
    ("expected", "text"),
    [
        (1e9, "1e9"),
        (10, "10"),
        (8, "0o10"),
        (255, "0xff"),
        (-0.5, "-.5"),
        (float("inf"), ".inf"),
        (True, "true"),
        (None, "~"),
        (None, "null"),
        ("12:30", "12:30"),
        ("no", "no"),
        ("yes", "yes"),
        ("on", "on"),
        ("off", "off"),
        ("1_000", "1_000"),
        ("2026-01-02", "2026-01-02"),
        ("5", "'5'"),
        ("5", "!!str 5"),
        (5.0, "!!float 5"),
    ],
)
def test_scalars_follow_yaml_1_2(expected: object, text: str) -> None:
    """YAML 1.2.2 section 10.3.2, where 1.1 (and PyYAML) reads 750, False, 1000 and a date."""
    value = parse_yaml(f"key: {text}", "f").value["key"]

    assert (expected, type(expected)) == (value, type(value))


def test_every_value_and_key_has_its_place() -> None:
    """Lines and columns count from 1."""
    document = parse_yaml("a: 1\nfleet:\n  - name: x\n  - {name: y, tp: 2}\n", "f.yaml")

    assert "f.yaml:4:19" == document.where(("fleet", 1, "tp"))
    assert "f.yaml:4:15" == document.where(("fleet", 1, "tp"), key=True)
    assert "f.yaml:4:5" == document.where(("fleet", 1, "absent"))


def test_a_key_given_twice_is_a_problem_at_its_second_place() -> None:
    """PyYAML would silently keep the last."""
    document = parse_yaml("engine:\n  block_size: 16\n  block_size: 32\n", "f")

    assert ["f:3:3: engine.block_size: given twice, first on line 2; keep one"] == list(
        map(str, document.problems)
    )
    assert {"engine": {"block_size": 16}} == document.value


def test_aliases_stand_for_what_they_name() -> None:
    """An anchor is written once and used as often as wanted."""
    assert {"a": {"x": 1}, "b": {"x": 1}} == parse_yaml("a: &one {x: 1}\nb: *one\n", "f").value


@pytest.mark.parametrize(
    ("where", "text"),
    [
        ("f:2:1", "a: [1, 2\n"),
        ("f:1:5", "a: b: c\n"),
        ("f:2:1", "a: 1\n\tb: 2\n"),
        ("f:2:1", "a: 1\n---\nb: 2\n"),
        ("f:1:4", "a: *nothing\n"),
        ("f", "a: \x00\n"),
        ("f", "a: &a [*a]\n"),
        ("f", "[" * 600),
    ],
)
def test_what_is_not_yaml_is_one_problem_with_its_place(where: str, text: str) -> None:
    """Broken text, an unknown alias, a second document, an endless one."""
    with pytest.raises(ScenarioError) as caught:
        parse_yaml(text, "f")

    assert [where] == [problem.where for problem in caught.value.problems]


@pytest.mark.parametrize("text", ["a: !!int x", "a: !!bool maybe", "a: !thing 1", "!odd a: 1"])
def test_a_tag_that_does_not_hold_is_a_problem(text: str) -> None:
    """Nothing is guessed from a tag that is unknown or wrong."""
    problems = parse_yaml(text, "f").problems

    assert ["cannot be read as"] == [problem.message.partition("' ")[2][:17] for problem in problems]


def test_a_file_that_cannot_be_read_says_why(tmp_path: Path) -> None:
    """Missing, a directory, or not UTF-8."""
    (tmp_path / "latin.yaml").write_bytes(b"name: caf\xe9\n")

    for name, reason in [
        ("absent.yaml", "no such file"),
        ("", "is a directory"),
        ("latin.yaml", "is not UTF-8"),
    ]:
        with pytest.raises(ScenarioError, match=reason):
            read_yaml(tmp_path / name)


def test_a_byte_order_mark_is_no_content(tmp_path: Path) -> None:
    """Windows editors write one."""
    (tmp_path / "f.yaml").write_bytes(b"\xef\xbb\xbfname: x\n")

    assert {"name": "x"} == read_yaml(tmp_path / "f.yaml").value


@given(st.text(max_size=60))
def test_any_text_is_yaml_or_a_scenario_error(text: str) -> None:
    """No text makes the reader fail in another way."""
    try:
        parse_yaml(text, "f")
    except ScenarioError as error:
        assert error.problems
