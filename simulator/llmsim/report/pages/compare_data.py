"""What the page of ``llmsim compare`` is filled with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from llmsim.report.pages.parts import UNKNOWN, Curve, Estimate, Head, Metric, Saturation, Tone


@dataclass(frozen=True)
class Difference:
    """How a setting differs from the baseline in one metric, paired by seed.

    Attributes:
        absolute: Setting minus baseline, in the metric's unit, with its interval.
        relative: The same as a share of the baseline's value (0.1 is 10% more); an empty estimate where
            the baseline is zero or missing. The plot of differences draws these.
        word: The verdict in words, only where the interval excludes zero: ``better``, ``worse``,
            ``higher``; '' where it does not.
        tone: Colour of the word.
    """

    absolute: Estimate
    relative: Estimate = UNKNOWN
    word: str = ""
    tone: Tone = "plain"


@dataclass(frozen=True)
class ComparedSetting:
    """One of the settings compared.

    Attributes:
        name: Unique on the page, short: ``chunked_prefill``.
        estimates: Key of a metric to its mean over replications with its interval.
        differences: Key of a metric to the difference to the baseline; empty for the baseline itself.
        quantiles: ``ttft_ms``, ``tpot_ms``, ``e2el_ms`` (any of them) to values in ms at
            :attr:`ComparePage.levels`; None where there was no sample. Drawn as a CDF.
        saturation: Worst class among its replications.
        saturation_note: ``3 of 5 replications overloaded``; '' where there is nothing to say.
        scenario: Its scenario as YAML, fully resolved.
    """

    name: str
    estimates: Mapping[str, Estimate]
    differences: Mapping[str, Difference] = field(default_factory=dict)
    quantiles: Mapping[str, Sequence[float | None]] = field(default_factory=dict)
    saturation: Saturation | None = None
    saturation_note: str = ""
    scenario: str = ""


@dataclass(frozen=True)
class ComparePage:
    """The page of ``llmsim compare``.

    Attributes:
        head: Title, verdict, assumptions, notes.
        metrics: Rows of the table, in their order; those of METRICS fit.
        settings: The baseline first; at least one.
        levels: Shares of requests, ascending, 0 to 1, at which ``quantiles`` are given:
            :data:`llmsim.measure.quantiles.LEVELS`.
        limits_ms: Targets to mark on the CDFs: ``{"ttft_ms": 500.0}``.
        curves: Latency against rate, one :class:`Curve` per metric, one line per setting; () without.
        replications: Runs behind each estimate.
        confidence: Of the intervals: 0.95.
    """

    head: Head
    metrics: tuple[Metric, ...]
    settings: tuple[ComparedSetting, ...]
    levels: tuple[float, ...] = ()
    limits_ms: Mapping[str, float] = field(default_factory=dict)
    curves: tuple[Curve, ...] = ()
    replications: int = 1
    confidence: float = 0.95
