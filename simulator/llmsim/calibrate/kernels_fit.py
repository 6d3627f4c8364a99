"""One accelerator's curves, or those of several together, from their kernel timings."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from llmsim.calibrate.kernels_forms import (
    CUSTOM,
    DECODE,
    EXPERTS,
    GEMM,
    PREFILL,
    RING,
    TILINGS,
    Form,
    Tiling,
    waves,
)
from llmsim.calibrate.kernels_samples import (
    EXPERT_KERNELS,
    all_reduce_samples,
    decode_samples,
    expert_samples,
    gemm_samples,
    peak_of,
    prefill_samples,
)
from llmsim.calibrate.kernels_solve import Array, Solution, solve
from llmsim.calibrate.kernels_tables import Samples, Tables, joined
from llmsim.cost.efficiency import CUSTOM_BYTES
from llmsim.spec.hardware import Accelerator

Values = dict[str, float]

FEWEST = 8
"""Timings below which a family is not fitted."""

ROUGH_ROWS = 200
"""About so many timings decide which tilings are worth fitting in full."""

GROUPS = (2, 4, 8)
"""Sizes of tensor-parallel groups that all-reduces were timed in."""


@dataclass(frozen=True)
class Member:
    """A device with timings: its name in the tables, and its datasheet."""

    gpu: str
    device: Accelerator
    tables: Tables


@dataclass(frozen=True)
class Fitted:
    """A curve, and the timings it was fitted to.

    Attributes:
        values: Its coefficients, rounded as they are written.
        samples: The timings, with what the form looks at filled in.
        fill_in: Completes other timings of the same kind, so that the curve can be asked for them.
    """

    form: Form
    values: Values
    samples: Samples
    tiling: Tiling | None = None

    def predict(self, samples: Samples) -> Array:
        """Seconds of each row. Pure query."""
        return self.form.seconds(self.completed(samples).columns, self.values)

    def completed(self, samples: Samples) -> Samples:
        """``samples`` with the columns that this curve's own choices add. Pure query."""
        return samples if self.tiling is None else _cut(samples, self.tiling)

    def residuals(self, samples: Samples | None = None) -> Array:
        """log(fitted / measured) of each row, its own unless others are given. Pure query."""
        asked = self.samples if samples is None else samples
        logs: Array = np.log(self.predict(asked) / asked.seconds)
        return logs


def rounded(value: float) -> float:
    """Three significant digits: fewer than any fit is sure of, so that every machine writes the same."""
    return float(f"{value:.3g}")


def _solved(form: Form, samples: Samples, rounds: int = 60) -> Solution:
    names = [parameter.name for parameter in form.parameters]

    def model(point: Array) -> Array:
        return form.seconds(samples.columns, form.coefficients(dict(zip(names, point, strict=True))))

    begin, low, high = ([getattr(p, side) for p in form.parameters] for side in ("start", "low", "high"))
    return solve(model, samples.seconds, begin, low, high, rounds=rounds)


def fit_form(form: Form, samples: Samples) -> Fitted:
    """The form's coefficients for these timings. Pure query."""
    point = _solved(form, samples).parameters
    found = form.coefficients({p.name: float(value) for p, value in zip(form.parameters, point, strict=True)})
    return Fitted(form, {name: rounded(value) for name, value in found.items()}, samples)


def fit_gemm(samples: Samples) -> Fitted:
    """A product's coefficients and tiling: every tiling is tried roughly, the best few in full. Pure query."""
    step = max(1, len(samples) // ROUGH_ROWS)
    some = samples.keep(np.arange(len(samples)) % step == 0)
    rough = [
        (round(_solved(GEMM, _cut(some, tiling), rounds=6).loss, 6), i) for i, tiling in enumerate(TILINGS)
    ]
    best = [TILINGS[i] for _, i in sorted(rough)[:3]]
    fits = [fit_form(GEMM, _cut(samples, tiling)) for tiling in best]
    losses = [round(float(np.mean(np.abs(fit.residuals()))), 6) for fit in fits]
    first = losses.index(min(losses))
    return Fitted(GEMM, fits[first].values, samples, best[first])


def _cut(samples: Samples, tiling: Tiling) -> Samples:
    columns = {**samples.columns, "waves": waves(samples.columns, tiling)}
    return Samples(columns, samples.seconds, samples.shapes)


def pooled(members: Sequence[Member], take: Callable[[Member], Samples]) -> Samples:
    """The timings of all members together. Pure query."""
    parts = [take(member) for member in members]
    return joined(parts) if any(len(part) for part in parts) else parts[0]


def fit_decode(
    members: Sequence[Member], kv_dtype: str = "bf16", *, only: bool | None = None
) -> Fitted | None:
    """Decode attention. Pure query."""
    samples = _side(pooled(members, lambda m: decode_samples(m.tables, m.gpu, m.device, kv_dtype)), only)
    return fit_form(DECODE, samples) if len(samples) >= FEWEST else None


def prefill_of(members: Sequence[Member], decode: Values) -> Samples:
    """Prefill timings, with the share of bandwidth that decoding streams KV at."""
    samples = pooled(members, lambda m: prefill_samples(m.tables, m.gpu, m.device))
    columns = samples.columns | {"decode_memory": np.full(len(samples), decode["memory"])}
    return Samples(columns, samples.seconds, samples.shapes)


def fit_prefill(members: Sequence[Member], decode: Values, *, only: bool | None = None) -> Fitted | None:
    """Prefill attention, given decode's share of bandwidth. Pure query."""
    samples = _side(prefill_of(members, decode), only)
    return fit_form(PREFILL, samples) if len(samples) >= FEWEST else None


def fit_products(members: Sequence[Member], *, only: bool | None = None) -> dict[str, Fitted]:
    """Dense products by dtype. Pure query."""
    fits = {}
    for dtype in ("bf16", "fp8", "fp4"):
        take = partial(_products, dtype=dtype)
        able = [m for m in members if peak_of(m.device, dtype)]
        samples = _side(pooled(able, take), only) if able else None
        if samples is not None and len(samples) >= FEWEST:
            fits[dtype] = fit_gemm(samples)
    return fits


def _products(member: Member, dtype: str) -> Samples:
    return gemm_samples(member.tables, member.gpu, member.device, dtype)


def fit_experts(members: Sequence[Member], *, only: bool | None = None) -> dict[str, Fitted]:
    """Routed experts by format. Pure query."""
    taken = {dtype: _side(pooled(members, partial(_experts, dtype=dtype)), only) for dtype in EXPERT_KERNELS}
    return {dtype: fit_form(EXPERTS, samples) for dtype, samples in taken.items() if len(samples) >= FEWEST}


def _experts(member: Member, dtype: str) -> Samples:
    return expert_samples(member.tables, member.gpu, member.device, dtype)


def fit_all_reduce(
    members: Sequence[Member], *, only: bool | None = None
) -> dict[str, tuple[Fitted, Fitted]]:
    """By group size: the engine's own kernel, and NCCL's ring. Pure query."""
    fits = {}
    for devices in GROUPS:
        custom = _side(_messages(members, devices, "vLLM_custom_graph"), only)
        ring = _side(_messages(members, devices, "nccl"), only)
        custom = custom.keep(custom.columns["message_bytes"] < CUSTOM_BYTES)
        if not len(custom):
            custom = ring.keep(ring.columns["message_bytes"] < CUSTOM_BYTES)
        if min(len(custom), len(ring)) >= FEWEST:
            fits[str(devices)] = (fit_form(CUSTOM, custom), fit_form(RING, ring))
    return fits


def eager_all_reduce_s(members: Sequence[Member], devices: int) -> float | None:
    """The host's time to start an all-reduce outside a graph: that of small messages. Pure query."""
    samples = _messages(members, devices, "vLLM_custom_eager")
    small = samples.seconds[samples.columns["message_bytes"] <= 1 << 16]
    return rounded(float(np.median(small))) if len(small) else None


def _messages(members: Sequence[Member], devices: int, impl: str) -> Samples:
    return pooled(members, lambda m: all_reduce_samples(m.tables, m.gpu, m.device, devices, impl))


@dataclass(frozen=True)
class Curves:
    """All that a group of devices has timings of."""

    products: dict[str, Fitted]
    experts: dict[str, Fitted]
    decode: Fitted | None
    decode_fp8: Fitted | None
    prefill: Fitted | None
    reduces: dict[str, tuple[Fitted, Fitted]]

    def all(self) -> Iterator[tuple[tuple[str, str], Fitted]]:
        """(family, dtype) and curve. Pure query."""
        yield from ((("GEMM", dtype), fit) for dtype, fit in self.products.items())
        yield from ((("routed experts", dtype), fit) for dtype, fit in self.experts.items())
        named = {"bf16": self.decode, "fp8": self.decode_fp8}
        yield from ((("decode attention", dtype), fit) for dtype, fit in named.items() if fit)
        if self.prefill:
            yield ("prefill attention", "bf16"), self.prefill
        for devices, (custom, ring) in self.reduces.items():
            yield ("all-reduce", f"{devices} custom"), custom
            yield ("all-reduce", f"{devices} NCCL"), ring


def fit_curves(members: Sequence[Member], *, only: bool | None = None) -> Curves:
    """Every family; of all shapes, or only of those held back (True) or not (False). Pure query."""
    decode = fit_decode(members, only=only)
    return Curves(
        fit_products(members, only=only),
        fit_experts(members, only=only),
        decode,
        fit_decode(members, "fp8", only=only),
        fit_prefill(members, decode.values, only=only) if decode else None,
        fit_all_reduce(members, only=only),
    )


def _side(samples: Samples, only: bool | None) -> Samples:
    """All rows, or only the held-back (True) or the other (False) ones."""
    return samples if only is None or not len(samples) else samples.keep(samples.held_back() == only)
