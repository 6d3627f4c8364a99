"""The workload options of ``vllm bench serve``, for commands that run scenarios."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Annotated, Any, get_type_hints

import typer

from llmsim.spec.bench import BenchFlags


def _option(metavar: str, text: str) -> Any:
    return typer.Option(metavar=metavar, help=text, show_default=False)


OPTIONS: dict[str, Any] = {
    "request_rate": Annotated[
        float | None, _option("R", "Poisson arrivals, requests per second; inf sends all at once.")
    ],
    "burstiness": Annotated[
        float | None, _option("B", "Gamma-distributed gaps; 1 is Poisson, less is burstier, inf is even.")
    ],
    "max_concurrency": Annotated[
        int | None, _option("N", "Most requests in flight; the client holds the others back.")
    ],
    "num_prompts": Annotated[int | None, _option("N", "Requests in all.")],
    "dataset_name": Annotated[
        str | None, _option("random", "Random lengths: 1024 in and 128 out unless said otherwise.")
    ],
    "random_input_len": Annotated[int | None, _option("N", "Tokens of a prompt.")],
    "random_output_len": Annotated[int | None, _option("N", "Tokens of an output.")],
    "random_range_ratio": Annotated[
        float | None, _option("X", "Lengths uniform within this share around those, 0 to below 1.")
    ],
    "random_prefix_len": Annotated[
        int | None, _option("N", "Tokens that all prompts begin with, before the random ones.")
    ],
    "ignore_eos": Annotated[
        bool | None, typer.Option("--ignore-eos", help="As always here: outputs have the length asked for.")
    ],
}
"""Type and help of each field of :class:`BenchFlags`."""


def takes_bench_flags(command: Callable[..., Any]) -> Callable[..., Any]:
    """``command`` with these options, which it is given together as ``bench``."""
    hints = get_type_hints(command, include_extras=True)
    own = [
        parameter.replace(annotation=hints[name])
        for name, parameter in inspect.signature(command).parameters.items()
        if name != "bench"
    ]
    added = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=option)
        for name, option in OPTIONS.items()
    ]

    @wraps(command)
    def with_flags(**given: Any) -> Any:
        flags = BenchFlags(**{name: given.pop(name) for name in OPTIONS})
        return command(**given, bench=flags)

    everything = [*own, *added]
    with_flags.__annotations__ = {parameter.name: parameter.annotation for parameter in everything}
    with_flags.__signature__ = inspect.Signature(everything)  # type: ignore[attr-defined]
    del with_flags.__wrapped__  # or its signature would be read instead
    return with_flags
