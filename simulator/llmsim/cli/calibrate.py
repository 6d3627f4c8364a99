"""``llmsim calibrate``: fit a scenario to its server's runs, or an accelerator to its kernels' times."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from datetime import date
from pathlib import Path

from rich.console import Console, RenderableType

from llmsim.calibrate.kernels import efficiency_text, fit_accelerator
from llmsim.calibrate.overlay import overlay_of, overlay_text, source_of, write_once
from llmsim.calibrate.runs import read_runs
from llmsim.calibrate.server_fit_load import server_run
from llmsim.calibrate.server_fit_runs import calibrate
from llmsim.files import catalog
from llmsim.files.scenario_file import LoadedScenario
from llmsim.report.calibrate import render, render_kernels, to_dict


def calibrate_runs(
    files: Sequence[Path], loaded: LoadedScenario, out: Path | None, *, only: Sequence[str], as_json: bool
) -> None:
    """Fits ``loaded`` to the runs in ``files``, writes the overlay ``out`` and says what came of it."""
    out = out or Path(f"{loaded.scenario.name}.overlay.yaml")
    measured = {file: read_runs(file) for file in files}
    runs = [server_run(row, loaded) for rows in measured.values() for row in rows]
    result = calibrate(runs, only)
    sources = [source_of(file, len(rows)) for file, rows in measured.items()]
    overlay = overlay_of(result.fit, result.targets, loaded, sources, date.today())
    write_once(out, overlay_text(overlay, out.name), is_ours={"options", "sources", "fitted_on"})
    if as_json:
        print(json.dumps(to_dict(result, out), indent=2, ensure_ascii=False))
    else:
        _show(render(result, out))


def calibrate_kernels(folder: Path, name: str, out: Path | None, *, as_json: bool) -> None:
    """Fits the accelerator ``name`` to the kernel timings in ``folder``, writes ``out`` and says how well."""
    device = catalog.accelerator(name)
    out = out or Path(f"{device.name}.efficiency.yaml")
    fitted = fit_accelerator(folder.resolve(), device, date=date.today().isoformat())
    document = fitted.model_dump(exclude={"provenance"})
    write_once(out, efficiency_text(document), is_ours={"gemm", "decode", "sources"})
    if as_json:
        print(json.dumps({"file": str(out), **document}, indent=2, ensure_ascii=False))
    else:
        _show(render_kernels(fitted, out))


def _show(page: RenderableType) -> None:
    Console(width=None if sys.stdout.isatty() else 100, highlight=False).print(page)
