"""What can go wrong, and the exit code each kind of trouble ends with.

LlmsimError
├── UserError            2   the user's input; carries every problem found, not only the first
│   ├── ScenarioError        a scenario file or a ``--set``
│   ├── CatalogError         a name that nothing is known under
│   ├── ModelConfigError     a model's config.json
│   ├── TraceError           a trace of requests, capacity or prices
│   ├── DoesNotFitError      a model that its accelerators cannot hold
│   ├── RunsError            a file of measured runs
│   └── OutputError          a results directory
└── InvariantError      70   our bug: an impossible state, with the numbers that show it

The library raises; only ``cli.py`` prints and exits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Problem:
    """One thing wrong: where, and what (what was given and what to do included)."""

    where: str
    message: str

    def __str__(self) -> str:
        return f"{self.where}: {self.message}" if self.where else self.message


class LlmsimError(Exception):
    """Any error this package raises on purpose."""

    exit_code = 70


class UserError(LlmsimError):
    """Something the user can mend. ``problems`` lists everything found, ``hint`` the next step."""

    exit_code = 2

    def __init__(self, problems: str | Problem | Sequence[Problem], *, hint: str | None = None) -> None:
        if isinstance(problems, str):
            problems = Problem("", problems)
        if isinstance(problems, Problem):
            problems = [problems]
        self.problems: list[Problem] = list(problems)
        self.hint = hint
        super().__init__("\n".join(str(problem) for problem in self.problems))
        if hint:
            self.add_note(f"hint: {hint}")  # a traceback shows it, for those who ask from Python


class ScenarioError(UserError):
    """A scenario that cannot be run as written."""


class CatalogError(UserError):
    """A name that is neither in the catalogue nor a file."""


class ModelConfigError(UserError):
    """A model description that does not say what has to be known."""


class TraceError(UserError):
    """A trace of requests, capacity or prices that cannot be read."""


class DoesNotFitError(UserError):
    """A model whose weights and one request's KV cache exceed the accelerators' memory."""


class RunsError(UserError):
    """A file of measured runs."""


class OutputError(UserError):
    """A results directory that cannot be written, or holds another scenario's results."""


class InvariantError(LlmsimError):
    """A state the simulator must never reach."""
