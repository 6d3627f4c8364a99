"""A plug-in's options, as its own class."""

from __future__ import annotations

from typing import Any

from llmsim.spec.serving import PolicyRef


def options_of(policy: type, ref: PolicyRef) -> Any:
    """The checked options of ``ref``, as the policy's own class; None when it has none."""
    options = getattr(policy, "Options", None)
    return options.model_validate(ref.options) if options else None
