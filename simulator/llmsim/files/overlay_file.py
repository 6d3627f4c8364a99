"""Reads the files that `llmsim calibrate` writes."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from llmsim.errors import CatalogError, Problem
from llmsim.files import catalog
from llmsim.spec.overlay import Overlay


def read_overlay(path: Path) -> Overlay:
    """The overlay in the file ``path``.

    Raises:
        CatalogError: There is no such file, or it is no overlay; one problem for each wrong key.
    """
    if not path.is_file():
        raise CatalogError(f"no such file: {path}", hint="`llmsim calibrate` writes such a file")
    try:
        return Overlay.model_validate(catalog.read(path))
    except ValidationError as error:
        raise CatalogError(
            [Problem(f"{path}: {'.'.join(map(str, e['loc']))}", e["msg"]) for e in error.errors()],
            hint="`llmsim calibrate` writes such a file",
        ) from None
