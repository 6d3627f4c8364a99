"""What a scenario may say of the roofline's coefficients, and where files stand in for the catalogue's."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from llmsim.cost.efficiency import Efficiency, efficiency_for
from llmsim.cost.engines import EngineProfile
from llmsim.errors import CatalogError, Problem, UserError
from llmsim.files.catalog import read
from llmsim.files.overlay_file import read_overlay
from llmsim.spec.hardware import Accelerator
from llmsim.spec.overlay import Calibrated, Overlay


class RooflineOptions(Calibrated):
    """Overrides of the fitted efficiencies; what is not given comes from the accelerator's file.

    An overlay's numbers replace the accelerator file's; those of the scenario replace an overlay's.
    """

    gemm_compute: float | None = Field(
        None, gt=0, le=1, description="share of peak that matrix products reach"
    )
    gemm_memory: float | None = Field(None, gt=0, le=1, description="share of bandwidth of weight streaming")
    prefill_compute: float | None = Field(
        None, gt=0, le=1, description="share of peak of long prefill attention"
    )
    decode_memory: float | None = Field(
        None, gt=0, le=1, description="share of bandwidth of decode attention"
    )
    all_reduce_bandwidth: float | None = Field(None, gt=0, le=1, description="share of the link's bandwidth")
    kernel_floor: float | None = Field(
        None, gt=0, le=1, description="share of a kernel's start and drain that graph replay leaves"
    )
    efficiency: str | None = Field(
        None, min_length=1, description="a file of `llmsim calibrate --kernels`, in place of the catalogue's"
    )
    overlay: str | None = Field(
        None, min_length=1, description="a file of `llmsim calibrate`: coefficients fitted to server runs"
    )

    def curves(self, accelerator: Accelerator) -> Efficiency:
        """The efficiencies that are changed by the rest: of the file named, or else the catalogue's."""
        return (
            efficiency_for(accelerator)
            if self.efficiency is None
            else _read(Path(self.efficiency), accelerator)
        )

    def efficiency_of(
        self, accelerator: Accelerator, profile: EngineProfile | None, *, eager: bool
    ) -> Efficiency:
        """The efficiencies after all changes, as ``profile``'s engine leaves them. Pure query."""
        curves = self.curves(accelerator)
        return self.apply(self.under(curves, profile, eager=eager) if profile else curves)

    @cached_property
    def _overlay(self) -> Overlay | None:
        return None if self.overlay is None else read_overlay(Path(self.overlay))

    def calibrated(self) -> dict[str, float]:
        """What is fitted to server runs: the overlay's coefficients, and in their place the scenario's own."""
        overlay = self._overlay
        return (overlay.options.given() if overlay else {}) | self.given()

    def host_s(self, profile: EngineProfile | None) -> tuple[float, float]:
        """Host seconds per iteration and sequence: calibrated, else the engine's; none without one. Pure query."""
        given = self.calibrated()
        own = (profile.host.iteration_s.value, profile.host.sequence_s.value) if profile else (0.0, 0.0)
        return given.get("host_iteration_s", own[0]), given.get("host_sequence_s", own[1])

    def under(self, efficiency: Efficiency, profile: EngineProfile, *, eager: bool) -> Efficiency:
        """``efficiency`` as an engine leaves it: with its share of each kernel's floor. Pure query."""
        data = efficiency.model_dump()
        left = self.kernel_floor or profile.kernel_floor.value
        _scale(data, "floor_s", "kernel_floor", 1.0 if eager else left)
        return Efficiency.model_validate(data)

    def apply(self, efficiency: Efficiency) -> Efficiency:
        """``efficiency`` with the given numbers in place of its own. Pure query."""
        data = efficiency.model_dump()
        calibrated = self.calibrated()
        for key, name in (("compute", "compute_factor"), ("memory", "bandwidth_factor")):
            if name in calibrated:
                _scale(data, key, name, calibrated[name])
        shares = self.model_dump(
            exclude={*Calibrated.model_fields, "kernel_floor", "efficiency", "overlay"}, exclude_none=True
        )
        for name, value in shares.items():
            section, _, key = (
                name.partition("_") if not name.startswith("all_reduce") else ("all_reduce", "", "bandwidth")
            )
            curves = data[section].values() if section in ("gemm", "all_reduce") else [data[section]]
            for curve in curves:
                curve[key] = value
        if self._overlay:
            data["provenance"] += f"; {Path(self.overlay or '').name}: {self._overlay.provenance}"
        if own := sorted(self.given() | shares):
            data["provenance"] += "; set by the user: " + ", ".join(own)
        return Efficiency.model_validate(data)


def _scale(data: Any, key: str, name: str, factor: float) -> None:
    """Changes ``data``: multiplies every number called ``key``, however deep, by the coefficient ``name``.

    Raises:
        UserError: It would be more than all of the datasheet's.
    """
    for part, value in data.items():
        if isinstance(value, dict):
            _scale(value, key, name, factor)
        elif part == key:
            if value * factor > 1:
                raise UserError(
                    f"{name} {factor:.4g} makes a share of the datasheet's {key} {value * factor:.3g}: above 1"
                )
            data[part] = value * factor


def _read(path: Path, accelerator: Accelerator) -> Efficiency:
    """The efficiency in the file ``path``, which has to be that of ``accelerator``.

    Raises:
        CatalogError: It is no such file.
    """
    try:
        found = Efficiency.model_validate(read(path))
    except ValidationError as error:
        raise CatalogError(
            [Problem(f"{path}: {'.'.join(map(str, e['loc']))}", e["msg"]) for e in error.errors()],
            hint="`llmsim calibrate --kernels` writes such a file",
        ) from None
    if accelerator.name not in found.accelerators:
        raise CatalogError(f"{path}: is of {', '.join(found.accelerators)}, not of {accelerator.name}")
    return found.model_copy(update={"provenance": f"fitted to kernel timings: {path.name}, {found.date}"})
