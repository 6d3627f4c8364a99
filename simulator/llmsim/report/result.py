"""What one run answers, for those who ask from Python: figures, tables, files, and a short text of itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from llmsim import plugins
from llmsim.files.scenario_file import LoadedScenario
from llmsim.measure.records import RunRecord
from llmsim.measure.series import series
from llmsim.measure.token_times import TokenTimes
from llmsim.report.exports.base import Export, FinishedRun
from llmsim.report.format import figures
from llmsim.report.tables import request_columns, step_columns
from llmsim.report.verdict import METRICS, verdict
from llmsim.report.whole_files import text, write_all
from llmsim.report.write import prepare_directory, write_results

if TYPE_CHECKING:
    import pandas as pd

STATISTICS = ("mean", "p50", "p90", "p99")


@dataclass(frozen=True, repr=False)
class Result:
    """What one run answers. Tables are made when first asked for.

    Attributes:
        summary: The figures of ``summary.json``.
        record: Every request and every run of iterations they come from.
        loaded: The scenario that was run.
        run_info: What depends on the machine that ran it, as in ``run_info.json``.
    """

    summary: dict[str, Any]
    record: RunRecord
    loaded: LoadedScenario
    run_info: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def requests(self) -> pd.DataFrame:
        """One row for each request offered, in order of arrival, with the columns of ``requests.parquet``.

        ``arrival_s``, ``first_token_s`` and ``finish_s`` are seconds from the run's start, ``ttft_ms``,
        ``tpot_ms`` and ``e2el_ms`` milliseconds, nan where there is none; lengths are tokens.
        """
        return _frame(request_columns(self.record.table, self.loaded.scenario.slo))

    @cached_property
    def steps(self) -> pd.DataFrame:
        """One row for each run of identical iterations, with the columns of ``steps.parquet``.

        ``start_s`` and ``duration_s`` (of the whole row) are seconds; ``prefill_tokens`` and ``decode_tokens``
        count the whole row, ``sequences`` one iteration.
        """
        return _frame(step_columns(self.record))

    @cached_property
    def series(self) -> pd.DataFrame:
        """The run over time: averages over 200 equal stretches, indexed by their starts in seconds.

        ``running`` and ``waiting`` count requests, ``kv_usage`` is a share of all KV blocks; token rates are
        per second. A fleet that changes has ``serving``, ``spot_held``, ``on_demand_held`` and
        ``usd_per_hour`` too. Empty for a run that took no time.
        """
        found = series(self.record, table=self.record.table)
        starts = found.pop("time_s", np.empty(1))[:-1]
        return _frame({"time_s": starts, **found}).set_index("time_s")

    def token_times_s(self, request_id: int) -> npt.NDArray[np.float64]:
        """When each token of a completed request came out, in seconds from the run's start. shape (output_tokens,)"""
        req = self.record.requests[request_id]
        return self._token_times.of(req) if req.status == "completed" else np.empty(0)

    @cached_property
    def _token_times(self) -> TokenTimes:
        return TokenTimes(self.record)

    def save(self, directory: Path | str, exports: Sequence[str] = ()) -> Path:
        """Write what ``llmsim run`` writes to ``directory``, which it returns.

        Args:
            directory: New, empty, or with the results of the same scenario.
            exports: Formats of other tools to write as well, as ``--export`` names them.

        Raises:
            OutputError: It cannot be written, or holds something else.
            CatalogError: There is no such format.
        """
        for name in exports:
            plugins.EXPORTS.get(name)
        directory = Path(directory)
        prepare_directory(directory, self.summary["scenario_sha256"])
        write_results(directory, self.record, self.summary, self.loaded, self.run_info, exports)
        return directory

    def export(self, format: str, path: Path | str | None = None) -> Path:
        """Write the result in the ``format`` of another tool (``vllm-bench``, ``aiperf``, ``llm-d``).

        Args:
            format: One of ``--export``.
            path: The file, which is returned; the format's usual name by default.

        Raises:
            OutputError: It cannot be written.
            CatalogError: There is no such format.
        """
        export: Export = plugins.EXPORTS.get(format)()
        run = FinishedRun(self.record, self.summary, self.loaded)
        (written,) = write_all({Path(path or export.file_name): text("".join(export.pieces(run)))})
        return written

    def __repr__(self) -> str:
        judged = verdict(self.summary, self.loaded.scenario.slo)
        tails = ", ".join(
            f"P99 {name} {figures(self.summary[f'p99_{metric}'])} ms"
            for metric, name in METRICS.items()
            if metric in ("ttft_ms", "tpot_ms")
        )
        rate = figures(self.summary["output_throughput"])
        return (
            f"<Result {self.loaded.scenario.name}: {judged.word}; {self.summary['completed']:,} of "
            f"{self.summary['offered']:,} requests completed, {tails}, {rate} output tokens/s, "
            f"{self.summary['saturation']}>"
        )

    def _repr_html_(self) -> str:
        """What a notebook shows: verdict, latencies, and a few figures."""
        judged = verdict(self.summary, self.loaded.scenario.slo)
        name = escape(self.loaded.scenario.name)
        head = "".join(f"<th>{title}</th>" for title in ("ms", *(one.upper() for one in STATISTICS)))
        return (
            f"<p><b>{judged.word}</b> {name}: {escape(judged.sentence)}</p>"
            f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(self._latency_rows())}</tbody></table>"
            f"<p>{'; '.join(map(escape, self._facts()))}</p>"
        )

    def _latency_rows(self) -> Iterator[str]:
        for metric, name in METRICS.items():
            cells = (figures(self.summary[f"{statistic}_{metric}"]) for statistic in STATISTICS)
            yield f"<tr><th>{name}</th>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"

    def _facts(self) -> Iterator[str]:
        summary = self.summary
        yield f"{summary['completed']:,} of {summary['offered']:,} requests completed"
        yield f"{figures(summary['request_throughput'])} requests/s"
        yield f"{figures(summary['output_throughput'])} output tokens/s"
        yield str(summary["saturation"])
        if summary["usd_per_million_output_tokens"] is not None:
            yield f"${figures(summary['usd_per_million_output_tokens'])} per million output tokens"


def _frame(columns: Mapping[str, npt.NDArray[Any]]) -> pd.DataFrame:
    import pandas as pd  # noqa: PLC0415  slow to import, and not needed by those who want figures only

    return pd.DataFrame(columns)
