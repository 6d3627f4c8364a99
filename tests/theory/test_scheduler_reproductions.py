"""What papers reported of schedulers, in their own settings: ``benchmarks/reproduce`` against the figures."""

from __future__ import annotations

import numpy as np
import pytest

from reproduce import vllm_paper
from reproduce.lengths import cut_lognormal


@pytest.mark.parametrize("system", list(vllm_paper.FIGURE_13A))
def test_vllm_figure_13a_requests_that_run_at_once(system: str) -> None:
    """OPT-13B, ShareGPT, 2 req/s: 7.00, which is arithmetic, / 9.81 / 13.62 / 30.42."""
    within = 1e-3 if system == "Orca (Max)" else 0.15

    assert vllm_paper.FIGURE_13A[system] == pytest.approx(vllm_paper.mean_batch(system), rel=within)


def test_vllm_figure_12_sustained_rates_of_opt_13b() -> None:
    """1.7 to 2.7 times Orca (Oracle), 2.7 to 8 times Orca (Max), up to 22 times FasterTransformer."""
    rates = vllm_paper.rates("OPT-13B", duration_s=1800)

    for system, (least, most) in vllm_paper.RATIOS.items():
        assert 0.85 * least <= rates["vLLM"] / rates[system] <= 1.15 * most
    assert rates["FasterTransformer"] < rates["Orca (Max)"] < rates["Orca (Oracle)"] < rates["vLLM"]


def test_lengths_have_the_mean_they_are_asked_for() -> None:
    """A lognormal cut at its longest: the mean is that of what is left."""
    drawn = cut_lognormal(338, 1023)
    sigma = np.sqrt(np.log(1 + (drawn["std"] / drawn["mean"]) ** 2))
    values = np.random.default_rng(1).lognormal(np.log(drawn["mean"]) - sigma**2 / 2, sigma, 10**6)

    assert 338 == pytest.approx(values[values <= 1023].mean(), rel=0.005)
