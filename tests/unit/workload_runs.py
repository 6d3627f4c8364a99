"""Builders for tests of workloads and traces."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from llmsim.engine.request import Request
from llmsim.spec.workload import Workload
from llmsim.workload.stream import Stream, open_stream

ROOT = Path(__file__).parents[2]
TRACES = ROOT.parent / "shared/data/traces"


def make_workload(**keys: Any) -> Workload:
    """100 Poisson requests of 512 tokens in and 128 out, with ``keys`` changed; None removes a key."""
    base: dict[str, Any] = {
        "arrival": {"kind": "poisson", "request_rate": 10.0},
        "input_tokens": 512,
        "output_tokens": 128,
        "num_requests": 100,
    }
    return Workload.model_validate({key: value for key, value in (base | keys).items() if value is not None})


def make_stream(seed: int = 0, base_dir: Path | None = None, **keys: Any) -> Stream:
    """The stream of :func:`make_workload`."""
    return open_stream(make_workload(**keys), seed, base_dir)


def requests(seed: int = 0, base_dir: Path | None = None, **keys: Any) -> list[Request]:
    """All requests of :func:`make_stream`."""
    return list(make_stream(seed, base_dir, **keys).requests())


def profile_keys(name: str, **keys: Any) -> dict[str, Any]:
    """Keys of a workload that is a profile and nothing else."""
    own = {"arrival": None, "input_tokens": None, "output_tokens": None, "num_requests": None}
    return own | {"profile": name} | keys


def trace_keys(path: Path | str, **keys: Any) -> dict[str, Any]:
    """Keys of a workload that is a trace and nothing else."""
    return profile_keys("", profile=None, trace=str(path)) | keys


def column(reqs: list[Request], name: str) -> npt.NDArray[np.float64]:
    """One attribute of all requests."""
    return np.array([getattr(req, name) for req in reqs], dtype=np.float64)


def shared_trace(name: str) -> Path:
    """A trace beside the checkout; the test is skipped where it is absent."""
    path = TRACES / name
    if not path.exists():
        pytest.skip(f"{path} is not here")
    return path
