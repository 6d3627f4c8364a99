"""Timings that no kernel can have: faster than the datasheet, or so slow that their unit must be another."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from llmsim.calibrate.kernels_fit import Curves
from llmsim.calibrate.kernels_forms import Columns
from llmsim.calibrate.kernels_samples import CACHE_FACTOR
from llmsim.calibrate.kernels_solve import Array
from llmsim.calibrate.kernels_tables import Samples
from llmsim.errors import Problem, UserError
from llmsim.spec.hardware import Accelerator

CLOCK_MARGIN = 1.05
"""A GeForce card's clock goes a few per cent above the one its datasheet peak is stated for."""

SLOWEST_SHARE = 0.02
"""The best of many kernels reaches more of the datasheet than this on any accelerator."""

Need = tuple[str, Array]
"""What bounds a kernel, and the seconds that it takes at least."""


def refuse_the_impossible(curves: Curves, device: Accelerator) -> None:
    """Checks timings against the datasheet.

    Raises:
        UserError: A kernel took less time than its arithmetic or its bytes can (the efficiency would be above
            1), or no kernel of a family comes near them (the times would be of another unit).
    """
    problems = [
        Problem(f"{family} {dtype}", text)
        for family, dtype, samples, needs in _families(curves)
        for text in _problems(samples, needs, device.name)
    ]
    if problems:
        hint = f"times are in microseconds; look whether they are of {device.name}"
        raise UserError(problems, hint=hint)


def _families(curves: Curves) -> Iterator[tuple[str, str, Samples, list[Need]]]:
    for (family, dtype), fit in curves.all():
        x = fit.samples.columns
        if family == "GEMM":
            yield family, dtype, fit.samples, _product_needs(x)
        elif family == "routed experts":
            flops = 6 * x["num_tokens"] * x["topk"] * x["hidden"] * x["inter"] / x["moe_tp"]
            yield family, dtype, fit.samples, [("peak", flops / x["peak"])]
        elif family == "decode attention":
            read = 2 * x["batch"] * x["kv_len"] * x["n_kv_heads"] * x["head_dim"] * x["kv_bytes"]
            yield family, dtype, fit.samples, [("memory bandwidth", _uncached(read, x))]
        elif family == "prefill attention":
            pairs = x["batch"] * (x["new"] * x["cached"] + x["new"] * (x["new"] + 1) / 2)
            yield (
                family,
                dtype,
                fit.samples,
                [("peak", 4 * x["n_q_heads"] * x["head_dim"] * pairs / x["peak"])],
            )


def _product_needs(x: Columns) -> list[Need]:
    stored = x["n"] * x["k"] * x["weight_bytes"]
    needs = ("peak", 2 * x["m"] * x["n"] * x["k"] / x["peak"])
    return [needs, ("memory bandwidth", np.where(stored > x["l2"], stored / x["bandwidth"], 0.0))]


def _uncached(read: Array, x: Columns) -> Array:
    """Seconds that memory takes for what no cache can hold."""
    return np.where(read > CACHE_FACTOR * x["l2"], read / x["bandwidth"], 0.0)


def _problems(samples: Samples, needs: list[Need], name: str) -> Iterator[str]:
    shares = {what: least / samples.seconds for what, least in needs}
    for what, share in shares.items():
        worst = int(np.argmax(share))
        if share[worst] > CLOCK_MARGIN:
            seconds = samples.seconds[worst]
            yield (
                f"{_shape(samples, worst)} took {seconds * 1e6:.4g} us, but {name}'s {what} allows no less than "
                f"{share[worst] * seconds * 1e6:.4g} us: {share[worst]:.0%} of it"
            )
    best = max(float(np.max(share)) for share in shares.values())
    if 0 < best < SLOWEST_SHARE:
        yield f"no timing reaches more than {best:.2%} of what {name} can do"


_NAMES = ("m", "n", "k", "num_tokens", "batch", "new", "cached", "kv_len", "n_q_heads", "n_kv_heads")


def _shape(samples: Samples, row: int) -> str:
    return ", ".join(f"{name} {samples.columns[name][row]:.0f}" for name in _NAMES if name in samples.columns)
