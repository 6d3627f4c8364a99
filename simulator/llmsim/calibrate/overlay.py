"""Turns a fit into the overlay file that scenarios name."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence, Set
from contextlib import suppress
from datetime import date
from pathlib import Path

import yaml

from llmsim.calibrate.server_fit import Fit, Target, median_error
from llmsim.cost.pool_plan import parallel_plan
from llmsim.errors import OutputError, UserError
from llmsim.files.catalog import read
from llmsim.files.scenario_file import LoadedScenario
from llmsim.spec.overlay import Calibrated, Errors, Interval, Overlay, Source

HEAD = """\
# Fitted by `llmsim calibrate` to server runs. A scenario names it, relative to itself:
#   fleet: {{…, cost_model: {{kind: roofline, overlay: {name}}}}}
"""


def overlay_of(
    fit: Fit, targets: Sequence[Target], loaded: LoadedScenario, sources: Sequence[Source], today: date
) -> Overlay:
    """The overlay that holds ``fit``, whose scenario is ``loaded``. Pure."""
    pool = loaded.scenario.fleet[0]
    return Overlay(
        accelerator=pool.accelerator,
        model=loaded.model.name,
        tensor_parallel_size=parallel_plan(pool).tensor_parallel_size,
        fitted_on=today.isoformat(),
        options=Calibrated(**{each.coefficient.name: _rounded(each.value) for each in fit.fitted}),
        intervals_80={
            each.coefficient.name: Interval(low=_rounded(each.low), high=_rounded(each.high))
            for each in fit.fitted
        },
        kept={coefficient.name: why for coefficient, why in fit.left},
        errors=errors_by_metric(fit, targets),
        sources=list(sources),
    )


def errors_by_metric(fit: Fit, targets: Sequence[Target]) -> dict[str, Errors]:
    """Median absolute error of each metric that was fitted to, before and after. Pure."""
    metrics = dict.fromkeys(target.metric for target in targets)
    places = {m: [i for i, target in enumerate(targets) if target.metric == m] for m in metrics}
    return {
        metric: Errors(
            before=_rounded(median_error([fit.before[i] for i in of])),
            after=_rounded(median_error([fit.after[i] for i in of])),
        )
        for metric, of in places.items()
    }


def _rounded(value: float) -> float:
    return float(f"{value:.4g}")


def source_of(path: Path, num_runs: int) -> Source:
    """``path``, a file or a directory of results, as a source of ``num_runs`` runs, by its content's hash."""
    digest = hashlib.sha256()
    for file in sorted(path.glob("*.json")) if path.is_dir() else [path]:
        digest.update(file.read_bytes())
    return Source(file=path.name, sha256=digest.hexdigest(), runs=num_runs)


def overlay_text(overlay: Overlay, name: str) -> str:
    """``overlay`` as the file ``name`` holds it. Pure."""
    data = overlay.model_dump(exclude_none=True)
    text: str = yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=110)
    return HEAD.format(name=name) + text


def write_once(path: Path, text: str, is_ours: Set[str]) -> None:
    """The file ``path`` holds ``text``.

    Raises:
        OutputError: It cannot be written, or is there already without the keys ``is_ours``.
    """
    hint = "choose another file with --out"
    if path.exists() and not is_ours <= _keys(path):
        raise OutputError(f"{path}: is there already, and not written by this command", hint=hint)
    part = path.with_name(f"{path.name}.part")  # renamed when whole: never half a file under the name
    try:
        part.write_text(text, encoding="utf-8")
        part.replace(path)
    except OSError as error:
        with suppress(OSError):
            part.unlink()
        raise OutputError(f"{path}: cannot be written: {error.strerror or error}", hint=hint) from None


def _keys(path: Path) -> Set[str]:
    try:
        return read(path).keys()
    except UserError:
        return set()
