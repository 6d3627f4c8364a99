"""Quantities with their units: read from people, written for people.

Inside the program there are only SI units and bytes, or the unit a field's name carries. Friendlier
ones stop here. ``GB`` is 10^9 bytes and ``GiB`` is 2^30, everywhere.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import core_schema

GIB = 2**30
"""Bytes of a GiB."""

_BYTES = {"B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12, "PB": 10**15} | {
    "KiB": 2**10,
    "MiB": 2**20,
    "GiB": GIB,
    "TiB": 2**40,
}
_BITS = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
_FLOPS = {"FLOP": 1, "kFLOP": 10**3, "MFLOP": 10**6, "GFLOP": 10**9, "TFLOP": 10**12, "PFLOP": 10**15}

DIMENSIONS: dict[str, dict[str, int | Fraction]] = {
    "time": {
        "s": 1,
        "ms": Fraction(1, 10**3),
        "us": Fraction(1, 10**6),
        "µs": Fraction(1, 10**6),
        "ns": Fraction(1, 10**9),
        "min": 60,
        "h": 3600,
        "d": 86400,
    },
    "size": dict(_BYTES),
    "bandwidth": {f"{name}/s": factor for name, factor in _BYTES.items()}
    | {f"{prefix}b/s": Fraction(factor, 8) for prefix, factor in _BITS.items()},
    "compute": {f"{name}/s": factor for name, factor in _FLOPS.items()},
    "rate": {"1/s": 1, "/s": 1, "req/s": 1, "/min": Fraction(1, 60), "/h": Fraction(1, 3600)},
    "price": {"$/h": 1, "usd/h": 1, "USD/h": 1, "$/min": 60, "$/s": 3600},
    "power": {"W": 1, "mW": Fraction(1, 1000), "kW": 1000, "MW": 10**6},
    "energy": {"J": 1, "kJ": 1000, "MJ": 10**6, "Wh": 3600, "kWh": 3600 * 1000},
    "share": {"share": 1, "%": Fraction(1, 100)},
}
"""Dimension to its units, each as a multiple of the dimension's base unit."""

_QUANTITY = re.compile(
    r"\s*(?P<dollar>\$?)(?P<number>[-+]?([0-9]{1,40}\.?[0-9]{0,40}|\.[0-9]{1,40})([eE][-+]?[0-9]{1,3})?)"
    r"\s*(?P<unit>\S*)\s*"
)


def _dimension(unit: str) -> str:
    return next(name for name, units in DIMENSIONS.items() if unit in units)


def parse_quantity(text: str, unit: str) -> float:
    """The number of ``unit`` that ``text`` (``200ms``, ``3.35 TB/s``, ``$2.49/h``) says. Pure.

    The conversion is exact and rounded once.

    Args:
        text: A number followed by a unit of the same dimension.
        unit: The unit wanted, one of :data:`DIMENSIONS`.

    Raises:
        ValueError: Not a number with a unit of that dimension; the message names the units accepted.
    """
    dimension = _dimension(unit)
    units = DIMENSIONS[dimension]
    match = _QUANTITY.fullmatch(text)
    given = match["dollar"] + match["unit"] if match else ""
    if match is None or given not in units:
        raise ValueError(
            f"Input should be a number of {unit}, or one with a unit of {dimension}: {', '.join(units)}"
        )
    try:
        return float(Fraction(match["number"]) * Fraction(units[given]) / Fraction(units[unit]))
    except OverflowError:
        raise ValueError("Input should be a number that a float can hold") from None


@dataclass(frozen=True)
class Quantity:
    """Marks a float field that also takes text with a unit: ``Annotated[float, Quantity("ms")]``.

    A bare number is in the field's own unit; text is converted to it.
    """

    unit: str

    def read(self, value: Any) -> Any:
        """``value`` in the field's unit when it is text; anything else as it is."""
        return parse_quantity(value, self.unit) if isinstance(value, str) else value

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        return core_schema.no_info_before_validator_function(self.read, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return {**handler(schema), "type": ["number", "string"], "unit": self.unit}


def _scaled(value: float, steps: list[tuple[float, str]]) -> str:
    """``value`` to three significant digits in the largest unit of which there is at least one."""
    factor, unit = next((step for step in steps if abs(value) >= step[0]), steps[-1])
    scaled = value / factor
    digits = max(0, 3 - len(str(int(abs(scaled)))))
    return f"{scaled:,.{digits}f} {unit}".rstrip()


def format_seconds(seconds: float) -> str:
    """A duration in the unit that suits it: ``12.3 ms``, ``2.05 s``, ``1.50 h``."""
    return _scaled(seconds, [(3600, "h"), (60, "min"), (1, "s"), (1e-3, "ms"), (1e-6, "us"), (1e-9, "ns")])


def format_bytes(size: float) -> str:
    """A size in binary units: ``80.0 GiB``."""
    return _scaled(size, [(2**40, "TiB"), (2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB"), (1, "B")])


def format_si(value: float, unit: str = "") -> str:
    """A number with a decimal prefix: ``format_si(9.89e14, "FLOP/s")`` is ``989 TFLOP/s``."""
    prefixes = [(1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"), (1, "")]
    return _scaled(value, [(factor, prefix + unit) for factor, prefix in prefixes])
