"""A config.json's fields, read once each: aliases, defaults, checks, and what was left unread."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llmsim.errors import Problem
from llmsim.files.hf.vocabulary import OTHER_WORDS, REDUNDANT, SHAPE_WORDS

TEXT_PARTS = ("text_config", "llm_config", "language_config", "thinker_config")
"""Where multimodal configs keep their language model, in order of preference."""

LARGEST_COUNT = 10**9
"""No model has more of anything that its config.json counts."""

_SHARED = (
    "model_type",
    "architectures",
    "tie_word_embeddings",
    "torch_dtype",
    "dtype",
    "quantization_config",
    "vocab_size",
)
"""Fields that a text part may leave to the level above."""


def text_part(config: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of the language model: the text part of a multimodal config, or the config itself."""
    for name in TEXT_PARTS:
        if isinstance(config.get(name), Mapping):
            inherited = {key: config[key] for key in _SHARED if config.get(key) is not None}
            return text_part(inherited | dict(config[name]))
    return dict(config)


class Fields:
    """Reads fields by any of their names and remembers which were read.

    A null in the file counts as absent and, as in transformers, keeps the family's default away. A field
    that is missing or malformed becomes a problem and reads as 1, so that one look finds all problems.
    """

    def __init__(self, config: Mapping[str, Any], defaults: Mapping[str, Any], where: str) -> None:
        self._values = {**defaults, **config}
        self._given = config
        self._read: set[str] = set()
        self._where = where
        self.problems: list[Problem] = []

    def get(self, *names: str) -> Any:
        """The value of the first of ``names`` that is there; None when none is."""
        self._read.update(names)
        return next((self._values[name] for name in names if self.has(name)), None)

    def has(self, *names: str) -> bool:
        """Whether any of ``names`` is there. Pure query."""
        return any(self._values.get(name) is not None for name in names)

    def flag(self, *names: str, default: bool = False) -> bool:
        """The first of ``names`` as a yes or no."""
        value = self.get(*names)
        return default if value is None else bool(value)

    def count(
        self, *names: str, default: int | None = None, least: int = 1, most: int = LARGEST_COUNT
    ) -> int:
        """The first of ``names`` as a whole number from ``least`` to ``most``; a problem when it is not."""
        value = self.get(*names)
        if value is None and default is not None:
            return default
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if isinstance(value, int) and not isinstance(value, bool) and least <= value <= most:
            return value
        if value is None:
            self.complain(names[0], _missing(names))
        else:
            present = next(name for name in names if self.has(name))
            limit = f"at most {most:,}" if isinstance(value, int) and value > most else f"at least {least}"
            self.complain(present, f"should be a whole number of {limit}, but is {value!r}")
        return 1

    def per_layer(self, name: str, layers: int) -> list[Any] | None:
        """A list with an entry per layer (entries beyond, of prediction heads, are cut); None without one."""
        value = self.get(name)
        if not isinstance(value, list) or not value:
            return None
        if len(value) < layers or not all(isinstance(entry, (str, int)) for entry in value):
            self.complain(name, f"should list one word or number for each of the {layers} layers")
            return None
        return value[:layers]

    def layer_numbers(self, name: str) -> list[Any]:
        """A list that singles layers out; empty without one."""
        value = self.get(name)
        return value if isinstance(value, list) else []

    def complain(self, name: str, message: str) -> None:
        """Note a problem with field ``name``, once."""
        problem = Problem(self._where, f"'{name}' {message}")
        if problem not in self.problems:
            self.problems.append(problem)

    def unread(self) -> list[str]:
        """Fields nobody read that look as if they changed the shape, sorted. Pure query."""
        return sorted(
            name
            for name, value in self._given.items()
            if name not in self._read and _is_shape(name) and _has_weight(value)
        )


def _is_shape(name: str) -> bool:
    words = set(name.split("_"))
    return (
        not name.startswith("_")
        and name not in REDUNDANT
        and bool(words & SHAPE_WORDS)
        and not words & OTHER_WORDS
    )


def _has_weight(value: object) -> bool:
    return value is True or (isinstance(value, (int, float, list, dict)) and bool(value))


def _missing(names: tuple[str, ...]) -> str:
    others = f" (nor {' nor '.join(names[1:])})" if len(names) > 1 else ""
    return f"is missing{others}; it is needed to know the model's shape"
