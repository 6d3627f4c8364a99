"""Measured milliseconds per layer, by tensor-parallel degree and batch: the form of SpotServe's profiles."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from pydantic import Field, ValidationError

from llmsim.errors import CatalogError, Problem
from llmsim.spec.base import Strict

HINT = (
    "a table of layer times is JSON as in Hsword/SpotServe's profiles: layer_num, pp_init_comm, pp_incr_comm, embed, "
    'and for each degree "tp-N": {"bsz-M": {"init": ms, "incr": ms}}'
)
Milliseconds = Annotated[float, Field(gt=0, le=1e7)]


class _Form(Strict):
    """The keys beside the times."""

    name: str = ""
    layer_num: int = Field(gt=0)
    padded_layer_num: int = Field(0, ge=0)
    final_fix_factor: float = Field(1.0, gt=0, le=100)
    pp_init_comm: float = Field(0.0, ge=0)
    pp_incr_comm: float = Field(0.0, ge=0)
    hidden_size: int = Field(0, ge=0)
    max_tp: int = Field(0, ge=0)
    embed: list[Annotated[float, Field(ge=0)]] = Field([])
    times: dict[int, dict[int, _Pair]]


class _Pair(Strict):
    init: Milliseconds
    incr: Milliseconds


class LayerTime(NamedTuple):
    """Seconds of one layer: a prefill of all sequences of a batch, and one decode step of them."""

    prefill_s: float
    decode_s: float


class LayerTimes(NamedTuple):
    """A model's layer times as measured.

    Attributes:
        num_layers: Layers of the model.
        padded_layers: Layers with those that pad the last stage; a number of stages divides it.
        most_ranks: Largest tensor-parallel degree that is used.
        factor: Whole iteration over the sum of its measured parts.
        prefill_hop_s, decode_hop_s: From one pipeline stage to the next.
        embedding_s: Embedding or output layer of a prefill, by batch.
        layers: By tensor-parallel degree and batch.
    """

    num_layers: int
    padded_layers: int
    most_ranks: int
    factor: float
    prefill_hop_s: float
    decode_hop_s: float
    embedding_s: Mapping[int, float]
    layers: Mapping[int, Mapping[int, LayerTime]]


def read_layer_times(path: Path) -> LayerTimes:
    """The table in the file ``path``.

    Raises:
        CatalogError: There is no such file, or it is no such table; one problem for each wrong key.
    """
    if not path.is_file():
        raise CatalogError(f"no such file: {path}", hint=HINT)
    try:
        content = json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise CatalogError(Problem(str(path), f"is not JSON: {error}"), hint=HINT) from None
    if not isinstance(content, dict):
        raise CatalogError(Problem(str(path), f"holds a {type(content).__name__}"), hint=HINT)
    try:
        return _table(_Form.model_validate(_by_number(content)))
    except ValidationError as error:
        problems = [Problem(f"{path}: {_place(e['loc'])}", e["msg"]) for e in error.errors()]
        raise CatalogError(problems, hint=HINT) from None


def _by_number(content: dict[str, Any]) -> dict[str, Any]:
    """``content`` with ``tp-N`` and ``bsz-M`` as numbers, under ``times``."""
    rest = {key: value for key, value in content.items() if not key.startswith("tp-")}
    times = {_number(key, "tp-"): value for key, value in content.items() if key.startswith("tp-")}
    for degree, batches in times.items():
        if isinstance(batches, dict):
            times[degree] = {_number(key, "bsz-"): value for key, value in batches.items()}
    return {**rest, "times": times}


def _number(key: str, prefix: str) -> int | str:
    digits = key.removeprefix(prefix)
    return int(digits) if digits.isdigit() else digits


def _place(loc: tuple[int | str, ...]) -> str:
    return ".".join(str(part) for part in loc if part != "[key]").replace("times.", "tp-", 1)


def _table(form: _Form) -> LayerTimes:
    """Milliseconds as seconds. An embedding time stands for batch 1, 2, 4, 8 …, in order."""
    layers = {
        degree: {batch: LayerTime(pair.init / 1e3, pair.incr / 1e3) for batch, pair in sorted(times.items())}
        for degree, times in sorted(form.times.items())
    }
    return LayerTimes(
        form.layer_num,
        max(form.padded_layer_num, form.layer_num),
        form.max_tp or max(layers, default=1),
        form.final_fix_factor,
        form.pp_init_comm / 1e3,
        form.pp_incr_comm / 1e3,
        {1 << power: ms / 1e3 for power, ms in enumerate(form.embed)},
        layers,
    )
