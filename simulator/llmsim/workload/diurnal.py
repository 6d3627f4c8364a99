"""A day of requests: a rate that follows the hours, and returns."""

from __future__ import annotations

from llmsim.spec.arrivals import DiurnalArrivals
from llmsim.workload.profile import RateProfile

SHAPES = {
    "conversation": (
        *(0.890, 0.972, 0.954, 0.790, 0.802, 0.872, 1.010, 1.090, 1.110, 1.080, 0.975, 1.030),
        *(1.150, 1.280, 1.340, 1.240, 1.130, 1.090, 1.080, 1.020, 0.921, 0.771, 0.694, 0.722),
    ),
    "code": (
        *(0.705, 0.682, 0.638, 0.524, 0.418, 0.343, 0.296, 0.250, 0.232, 0.240, 0.257, 0.377),
        *(0.694, 1.190, 1.690, 1.820, 1.730, 1.980, 2.180, 2.240, 2.070, 1.530, 1.100, 0.820),
    ),
}
"""Requests of each hour (UTC) over the mean of all, on the weekdays of Azure's LLM inference traces 2024 (week of
10 May, CC-BY 4.0; Stojkovic et al., DynamoLLM, HPCA 2025), averaged from rates read off the plots published with
the traces (AzurePublicDataset, analysis/AzureLLMInferenceDataset2024.ipynb at b469a11); three digits."""


def day(arrival: DiurnalArrivals) -> RateProfile:
    """The rate of ``arrival``, window by window over a day; its mean is ``request_rate``. Pure."""
    weights = SHAPES[arrival.shape] if isinstance(arrival.shape, str) else arrival.shape
    scale = arrival.request_rate * len(weights) / sum(weights)
    return RateProfile(
        window_s=arrival.period_s / len(weights),
        duration_s=arrival.period_s,
        requests_per_s=[weight * scale for weight in weights],
        burstiness=1.0,
    )
