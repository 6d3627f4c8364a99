"""The file around a page's contents: one that opens anywhere, offline, and may load nothing."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from html import escape
from importlib.resources import files
from string import Template
from typing import Any


def shell(
    *,
    title: str,
    subtitle: str,
    body: str,
    version: str,
    sha256: str,
    data: Mapping[str, Any],
    scripts: Sequence[str],
    styles: Sequence[str] = ("page.css",),
) -> str:
    """A whole page. A content security policy admits its own script and style by their hashes, and nothing else.

    Args:
        title: Heading and name of the window, as text.
        subtitle: A line under it, as text.
        body: HTML in which everything a user wrote is escaped.
        version: Version of llmsim.
        sha256: Hash of the scenario; '' where there is no single one.
        data: What the scripts draw, as JSON: finite numbers only.
        scripts: Names of the assets that make up the script, in order.
        styles: Names of the assets that make up the style sheet, in order.

    Raises:
        ValueError: ``data`` holds a number that is not finite.
    """
    style, script = "".join(map(asset, styles)), "".join(map(asset, scripts))
    made_by = f"llmsim {version}" + (f" · scenario {sha256[:12]}" if sha256 else "")
    return Template(asset("page.html")).substitute(
        title=escape(title),
        subtitle=escape(subtitle),
        body=body,
        footer=escape(made_by),
        style=style,
        style_hash=_hash(style),
        script=script,
        script_hash=_hash(script),
        data=_embedded(data),
    )


def asset(name: str) -> str:
    """A file beside this one, as text."""
    return files("llmsim.report").joinpath(name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    """What a content security policy calls an inline script or style."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _embedded(data: Mapping[str, Any]) -> str:
    """JSON that no text in it can end early: ``<`` is written as an escape."""
    return json.dumps(data, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
