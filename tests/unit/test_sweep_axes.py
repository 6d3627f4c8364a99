"""What ``--over`` and ``--vary`` say, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sweep_scenarios import small

from llmsim.errors import ScenarioError
from llmsim.planning.axes import read_axes
from llmsim.planning.points import Base, points, settings_of


@given(st.integers(-50, 50), st.integers(0, 200), st.integers(1, 9))
def test_a_range_is_pythons_with_its_stop(start: int, length: int, step: int) -> None:
    """``start:stop:step`` of whole numbers is ``range(start, stop + 1, step)``, upwards and downwards."""
    up, down = read_axes([f"a={start}:{start + length}:{step}", f"b={start}:{start - length}:{-step}"])

    assert tuple(range(start, start + length + 1, step)) == up.values
    assert tuple(range(start, start - length - 1, -step)) == down.values


@given(st.integers(1, 99), st.integers(1, 60))
def test_decimal_steps_end_where_they_should(step_hundredths: int, count: int) -> None:
    """As many values as decimal arithmetic gives, none of them with a tail of binary digits."""
    step = step_hundredths / 100
    stop = f"{step_hundredths * count / 100:.2f}"
    (axis,) = read_axes([f"a=0:{stop}:{step}"])

    assert count + 1 == len(axis.values)
    assert all(len(repr(value)) <= 6 for value in axis.values)
    assert float(stop) == axis.values[-1]


def test_lists_are_yaml() -> None:
    """Words, mappings with commas, and quantities with units; a value said twice counts once."""
    axes = read_axes(["a=orca,{kind: gamma, burstiness: 0.5},1e3,orca"], ["b=100ms:300ms:100ms"])

    assert ("orca", {"kind": "gamma", "burstiness": 0.5}, 1000.0) == axes[0].values
    assert ("100ms", "200ms", "300ms") == axes[1].values
    assert (1, 2, 4, 8) == read_axes(["a=1:8:x2"])[0].values


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a.b=", "no values: nothing would be run"),
        ("a.b=1:5:0", "never ends: steps of 0 from 1 do not reach 5"),
        ("a.b=1:5:-1", "never ends"),
        ("a.b=1:0:x2", "never ends"),
        ("a.b=1:8:x1", "never ends"),
        ("a.b=0:8:x2", "never ends"),
        ("a.b=1:1e12:1", "at most 10,000 are taken"),
        ("a.b=1ms:5:1", "different units"),
        ("a.b=[1", "not YAML"),
        ("a.b", "write KEY=start:stop:step"),
        ("a..b=1", "write KEY=start:stop:step"),
    ],
)
def test_what_makes_no_axis_is_refused(text: str, message: str) -> None:
    """With the option, what was given and what to write."""
    with pytest.raises(ScenarioError) as caught:
        read_axes([text])
    assert f"--over {text}" == caught.value.problems[0].where
    assert message in caught.value.problems[0].message


def test_all_problems_come_at_once() -> None:
    """Of every option; a key given twice is one of them."""
    with pytest.raises(ScenarioError) as caught:
        read_axes(["a=1:2:0", "b", "c=1,2", "c=3"], ["d="])
    assert 4 == len(caught.value.problems)


def test_the_command_line_wins_over_the_section() -> None:
    """Key by key: its values replace the section's, and other keys stay."""
    axes = read_axes(["b=9"], section={"a": [1, 2], "b": "1:3:1"})
    assert {"a": (1, 2), "b": (9,)} == {axis.key: axis.values for axis in axes}


def test_a_grid_is_every_combination_and_replications_share_their_seeds(tmp_path: Path) -> None:
    """The last key fastest; every setting has the same seeds, which is what makes their runs pairs."""
    base = Base(small(tmp_path))
    settings = settings_of(base, read_axes(["engine.max_num_seqs=1,2", "fleet.replicas=1:3:1"]))
    made = points(settings, 7, 2)

    assert [(1, 1), (1, 2), (1, 3), (2, 1), (2, 2), (2, 3)] == [tuple(s.values.values()) for s in settings]
    assert [7, 8] * 6 == [point.seed for point in made]
    assert 12 == len({point.sha256 for point in made})
    assert all(point.loaded and point.loaded.scenario.simulation.seed == point.seed for point in made)


def test_a_value_that_never_works_is_the_users_mistake(tmp_path: Path) -> None:
    """An unknown key with the nearest one, and an unknown name, together; nothing is run."""
    with pytest.raises(ScenarioError) as caught:
        axes = read_axes(["fleet.replica=1,2"], ["engine.scheduler=orca,vlm"])
        settings_of(Base(small(tmp_path)), axes)
    said = "\n".join(map(str, caught.value.problems))
    assert "did you mean 'replicas'" in said
    assert "did you mean 'vllm'" in said


def test_a_combination_that_does_not_work_is_one_failed_point(tmp_path: Path) -> None:
    """Both values work with others: the other three points stand."""
    over = ["engine.max_num_seqs=8,512", "engine.max_num_batched_tokens=256,1024"]
    settings = settings_of(Base(small(tmp_path)), read_axes(over))
    failed = [setting for setting in settings if setting.loaded is None]

    assert [{"engine.max_num_seqs": 512, "engine.max_num_batched_tokens": 256}] == [
        setting.values for setting in failed
    ]
    assert "less than max_num_seqs" in (failed[0].problem or "")


def test_a_section_is_no_part_of_what_is_run(tmp_path: Path) -> None:
    """A scenario with and without its ``sweep:`` section has one hash: a single run leaves it aside."""
    plain = points(settings_of(Base(small(tmp_path)), []), 0, 1)[0]
    listed = "sweep: {over: {fleet.replicas: [1, 2]}, points: [{engine.max_num_seqs: 4}], replications: 3}\n"
    swept = points(settings_of(Base(small(tmp_path, listed)), []), 0, 1)[0]

    assert plain.sha256 == swept.sha256
