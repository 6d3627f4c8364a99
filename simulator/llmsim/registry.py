"""Names to classes: built-in ones by import path, third-party ones by entry point."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Generic, TypeVar

from llmsim.errors import CatalogError

T = TypeVar("T")

MOST_LISTED = 40
"""Names in a message; more than these help nobody."""


def nearest(name: str, known: Iterable[str]) -> str:
    """`` did you mean 'x' or 'y'?``, or the list of what there is when nothing is close. Pure query."""
    names = sorted(known)
    close = difflib.get_close_matches(name.lower(), names, n=3, cutoff=0.6)
    if close:
        return "did you mean " + " or ".join(f"'{match}'" for match in close) + "?"
    listed = ", ".join(names[:MOST_LISTED])
    more = len(names) - MOST_LISTED
    return f"known: {listed}{f' and {more} more' if more > 0 else ''}"


class Registry(Generic[T]):
    """One kind of plug-in, found by name.

    Args:
        kind: What is registered, in the singular, for messages (``scheduler``).
        builtin: Name to ``module:attribute``; imported when first asked for.
        group: The entry-point group other packages register theirs in.
    """

    def __init__(self, kind: str, builtin: Mapping[str, str], *, group: str) -> None:
        self.kind = kind
        self.group = group
        self._paths: dict[str, str] = dict(builtin)
        self._loaded: dict[str, type[T]] = {}

    def register(self, name: str) -> Callable[[type[T]], type[T]]:
        """Decorator: make a class known as ``name``. A name can be taken once only."""

        def keep(cls: type[T]) -> type[T]:
            if name in self.names():
                raise CatalogError(f"{self.kind} '{name}' is already registered")
            if not isinstance(cls, type):
                raise CatalogError(f"{self.kind} '{name}' should be a class, but is {cls!r}")
            lacking = sorted(getattr(cls, "__abstractmethods__", ()))
            if lacking:
                raise CatalogError(
                    f"{self.kind} '{name}': class {cls.__name__} does not define {', '.join(lacking)}"
                )
            self._loaded[name] = cls
            return cls

        return keep

    def names(self) -> list[str]:
        """Every known name, sorted. Pure query."""
        found = {point.name for point in entry_points(group=self.group)}
        return sorted({*self._paths, *self._loaded, *found})

    def get(self, name: str) -> type[T]:
        """The class called ``name``.

        Raises:
            CatalogError: Nothing has that name (the message suggests the nearest), or importing the
                package that brings it fails.
        """
        if name not in self._loaded:
            if name in self._paths:
                module, _, attribute = self._paths[name].partition(":")
                self._loaded[name] = getattr(import_module(module), attribute)
            else:
                points = entry_points(group=self.group, name=name)
                if not points:
                    raise CatalogError(f"unknown {self.kind} '{name}'; {nearest(name, self.names())}")
                self._loaded[name] = self._entry(next(iter(points)))
        return self._loaded[name]

    def _entry(self, point: EntryPoint) -> type[T]:
        """The class another package registers, imported."""
        try:
            cls: type[T] = point.load()
        except Exception as error:
            package = f" of package {point.dist.name}" if point.dist else ""
            raise CatalogError(
                f"{self.kind} '{point.name}'{package} cannot be loaded from {point.value}: "
                f"{type(error).__name__}: {error}; mend or uninstall it"
            ) from error
        return cls
