"""Plug-ins named in scenarios, and files that register them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from door_scenarios import write_scenario
from pydantic import Field

from llmsim import plugins
from llmsim.errors import ScenarioError, UserError
from llmsim.files.scenario_file import load_scenario
from llmsim.files.scenario_text import resolved_yaml
from llmsim.plugins import load_plugin_file
from llmsim.registry import Registry
from llmsim.spec.base import Strict
from llmsim.spec.serving import Policy, PolicyRef


class Queue(Strict):
    """A mapping inside the options."""

    length: int = Field(1, gt=0)


class Patience(Strict):
    """Options of a test's scheduler."""

    patience_s: float = Field(0.5, ge=0)
    queue: Queue = Field(default_factory=Queue)


@pytest.fixture
def own_scheduler(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A scheduler registered for one test."""

    class Patient:
        """Waits."""

        Options = Patience

    monkeypatch.setattr(plugins.SCHEDULERS, "_loaded", dict(plugins.SCHEDULERS._loaded))
    plugins.SCHEDULERS.register("patient")(Patient)
    yield "patient"


def test_a_registered_class_can_be_named(tmp_path: Path, own_scheduler: str) -> None:
    """Its options are checked and written out with their defaults."""
    path = write_scenario(tmp_path)
    scenario = load_scenario(path, [f"engine.scheduler={own_scheduler}"]).scenario

    assert PolicyRef("patient", {"patience_s": 0.5, "queue": {"length": 1}}) == scenario.engine.scheduler
    assert (
        "  scheduler:\n    kind: patient\n    patience_s: 0.5\n    queue:\n      length: 1\n"
        in resolved_yaml(scenario)
    )


def test_a_wrong_option_is_told_at_its_place(tmp_path: Path, own_scheduler: str) -> None:
    """The options' own model says what is wrong."""
    new = "scheduler:\n    kind: patient\n    patience_s: -1\n    patients: 2\n    queue: {lenght: 2}"
    path = write_scenario(tmp_path, old="max_num_seqs: 64", new=new)

    with pytest.raises(ScenarioError) as caught:
        load_scenario(path)

    assert [
        f"{path}:9:17: engine.scheduler.patience_s: Input should be greater than or equal to 0 (got -1)",
        f"{path}:10:5: engine.scheduler.patients: unknown key; did you mean 'patience_s'?",
        f"{path}:11:13: engine.scheduler.queue.lenght: unknown key; did you mean 'length'?",
    ] == list(map(str, caught.value.problems))


def test_a_class_without_options_takes_none() -> None:
    """``Options`` may be absent."""
    registry: Registry[object] = Registry("thing", {}, group="llmsim.tests")
    registry.register("plain")(type("Plain", (), {}))

    assert PolicyRef("plain", {}) == Policy(registry).read("plain")
    with pytest.raises(ValueError, match="extra"):
        Policy(registry).read({"kind": "plain", "x": 1})


def test_naming_imports_and_listing_does_not() -> None:
    """A name whose module does not exist is listed all the same."""
    registry: Registry[object] = Registry("thing", {"absent": "llmsim.absent:Absent"}, group="llmsim.tests")

    assert ["absent"] == registry.names()
    with pytest.raises(ModuleNotFoundError):
        registry.get("absent")


def test_a_plugin_file_is_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it registers is known afterwards."""
    monkeypatch.setattr(plugins.ROUTERS, "_loaded", dict(plugins.ROUTERS._loaded))
    file = tmp_path / "mine.py"
    file.write_text(
        "from llmsim.plugins import ROUTERS\n\n@ROUTERS.register('mine')\nclass Mine:\n    pass\n"
    )

    load_plugin_file(file)

    assert "mine" in plugins.ROUTERS.names()


@pytest.mark.parametrize(
    ("line", "message", "text"),
    [
        (2, "ZeroDivisionError: division by zero", "x = 1\ny = x / 0\n"),
        (3, "ValueError: no", "def f():\n    # here\n    raise ValueError('no')\nf()\n"),
        (1, "SyntaxError", "def f(:\n"),
        (1, "CatalogError: scheduler 'orca' is already registered",
         "from llmsim.plugins import SCHEDULERS; SCHEDULERS.register('orca')(int)\n"),
    ],
)  # fmt: skip
def test_an_error_in_a_plugin_file_has_its_line(tmp_path: Path, line: int, message: str, text: str) -> None:
    """File and line of the user's own code, not of ours."""
    file = tmp_path / "broken.py"
    file.write_text(text)

    with pytest.raises(UserError) as caught:
        load_plugin_file(file)

    assert f"{file}:{line}" == caught.value.problems[0].where
    assert caught.value.problems[0].message.startswith(message)


def test_a_plugin_file_that_is_not_there_is_an_input_error(tmp_path: Path) -> None:
    """Exit code 2, as any other file."""
    with pytest.raises(UserError, match="no such plug-in file"):
        load_plugin_file(tmp_path / "absent.py")
