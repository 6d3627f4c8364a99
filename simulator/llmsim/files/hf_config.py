"""Reads a Hugging Face ``config.json`` by its fields, into the catalogue's own description of a model.

Rules of precedence, from first to last:

1. The text part of a multimodal config (``text_config`` …) before the level above it.
2. A field in the file before the architecture's default for it; null counts as absent.
3. A field for one kind of layer before the general one (``global_head_dim`` before ``head_dim``).
4. A list with an entry per layer before periods and offsets, and those before one value for all.
5. ``quantization_config`` in the file before an ``hf_quant_config.json`` beside it.

``model_type`` is read for one purpose: to know what the architecture's code fixes and no field says
(``files/hf/families.py``). Vision and audio towers, projectors and multi-token-prediction heads
(``num_nextn_predict_layers``, ``mtp_*``) are not part of the served model and are left out.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from llmsim.errors import ModelConfigError, Problem
from llmsim.files.hf.families import FAMILIES, LLAMA, Family
from llmsim.files.hf.fields import Fields, text_part
from llmsim.files.hf.shape import read_shape
from llmsim.registry import nearest
from llmsim.spec.model import ModelShape

_UNSUPPORTED = {
    "num_kv_shared_layers": "layers that reuse other layers' keys and values",
    "hidden_size_per_layer_input": "embeddings per layer",
    "block_configs": "a different block per layer",
    "attn_type_list": "lightning attention",
    "cross_attention_layers": "cross-attention to images",
}
"""Fields that change the shape in ways a ModelShape cannot say."""

HINT = "`assume: llama` in a model mapping reads an unknown architecture as a known one"


def load_config(path: Path, assume: str | None = None) -> ModelShape:
    """The model that a ``config.json`` describes.

    Args:
        path: The file. An ``hf_quant_config.json`` beside it (or ``NAME.hf_quant_config.json`` beside
            ``NAME.json``) is read with it.
        assume: Known architecture to read an unknown one as.

    Raises:
        ModelConfigError: It cannot be read, or does not say what has to be known.
    """
    side = [path.with_name("hf_quant_config.json"), path.with_suffix(".hf_quant_config.json")]
    side = side[1:] if path.name != "config.json" else side
    quantization = next((_json(file) for file in side if file.is_file()), None)
    name = path.resolve().parent.name if path.name == "config.json" else path.stem
    return read_config(_json(path), name=name, source=str(path), assume=assume, quant_config=quantization)


def read_config(
    config: Mapping[str, Any],
    *,
    name: str,
    source: str,
    assume: str | None = None,
    quant_config: Mapping[str, Any] | None = None,
) -> ModelShape:
    """The model that the fields of a ``config.json`` describe.

    Args:
        config: The whole file.
        name: What the result is called.
        source: Where the config was read, for messages and for the result.
        assume: Known architecture (a ``model_type``) to read the config as. Fields that nothing is known
            about are then let pass.
        quant_config: ModelOpt's ``hf_quant_config.json``, where there is one.

    Raises:
        ModelConfigError: Every field that is missing, malformed or unknown.
    """
    text = text_part(config)
    family = _family(text, source, assume)
    fields = Fields(text, (family or LLAMA).defaults, source)
    if family is None:
        fields.complain("model_type", _unknown(text))
    _refuse_unsupported(fields)
    try:
        shape = read_shape(fields, family or LLAMA, name, source, quant_config)
    except ValidationError as error:
        problems = [Problem(source, f"{'.'.join(map(str, e['loc']))}: {e['msg']}") for e in error.errors()]
        raise ModelConfigError(fields.problems or problems) from None
    unknown = fields.unread() if assume is None else []
    for field in unknown:
        fields.complain(field, f"is not known and may change the model's shape (it is {text[field]!r})")
    if fields.problems:
        raise ModelConfigError(fields.problems, hint=HINT if family is None or unknown else None)
    return shape


def _json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text("utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        raise ModelConfigError(Problem(str(path), f"cannot be read as JSON: {error}")) from None
    if not isinstance(content, dict):
        raise ModelConfigError(
            Problem(str(path), f"should hold an object, but holds {type(content).__name__}")
        )
    return content


def _family(text: Mapping[str, Any], source: str, assume: str | None) -> Family | None:
    """The traits to read with: of ``assume``, else of ``model_type``; None when it is not known.

    A file without ``model_type`` is read as Llama when its fields are Llama's, which ``rms_norm_eps`` shows.
    """
    if assume is None:
        known = text.get("model_type") or ("llama" if text.get("rms_norm_eps") else "")
        return FAMILIES.get(str(known))
    if assume not in FAMILIES:
        message = f"assume: unknown architecture {assume!r}; {nearest(assume, FAMILIES)}"
        raise ModelConfigError(Problem(source, message))
    return FAMILIES[assume]


def _unknown(text: Mapping[str, Any]) -> str:
    if text.get("model_type") is None:
        return "is missing, and no other field tells the architecture"
    return f"is {text['model_type']!r}, an architecture that is not known"


def _refuse_unsupported(f: Fields) -> None:
    for field, meaning in _UNSUPPORTED.items():
        if f.get(field):
            f.complain(field, f"asks for {meaning}, which a model's shape cannot say yet")
