"""The workload options of ``vllm bench serve``, as they were given."""

from __future__ import annotations

from dataclasses import dataclass, fields

NUM_PROMPTS, INPUT_LEN, OUTPUT_LEN = 1000, 1024, 128
"""vLLM's defaults (``vllm/benchmarks/datasets/arg_utils.py`` at 237145e)."""


@dataclass(frozen=True)
class BenchFlags:
    """Each by vLLM's name; None where it was not given.

    Attributes:
        request_rate: Requests per second; infinity sends all at once.
        burstiness: Shape of the gaps' gamma distribution; infinity spaces them evenly.
        max_concurrency: Most requests in flight.
        num_prompts: Requests in all.
        dataset_name: ``random``.
        random_input_len, random_output_len: Tokens.
        random_range_ratio: Lengths are uniform within this share around those.
        random_prefix_len: Tokens that all prompts begin with, before the random ones.
        ignore_eos: Taken for granted: outputs have the length asked for.
    """

    request_rate: float | None = None
    burstiness: float | None = None
    max_concurrency: int | None = None
    num_prompts: int | None = None
    dataset_name: str | None = None
    random_input_len: int | None = None
    random_output_len: int | None = None
    random_range_ratio: float | None = None
    random_prefix_len: int | None = None
    ignore_eos: bool | None = None

    def option(self, name: str) -> str:
        """``--request-rate 10``, as it was given. Pure query."""
        return f"--{name.replace('_', '-')} {getattr(self, name)}"

    def first_option(self, *names: str) -> str:
        """The first of ``names`` that was given, in words. Pure query."""
        return next(self.option(name) for name in names if getattr(self, name) is not None)

    def has(self, *names: str) -> bool:
        """Whether any of ``names`` was given; of all options without names. Pure query."""
        return any(getattr(self, name) is not None for name in names or [one.name for one in fields(self)])
