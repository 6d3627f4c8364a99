"""What papers reported of schedulers, in their own settings: ``benchmarks/reproduce`` against the figures."""

from __future__ import annotations

import numpy as np
import pytest

from reproduce import orca_paper, vllm_paper
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


def test_orca_serves_many_times_the_rate_of_fastertransformer_at_190_ms() -> None:
    """GPT-3 175B on 16 A100: 6.81 against 0.185 requests/s, 36.9 times."""
    ft = orca_paper.fastertransformer_rate(1, num_requests=400)

    assert orca_paper.RATIO == pytest.approx(orca_paper.orca_rate(64, num_requests=1000) / ft, rel=0.25)


def test_fastertransformer_gains_little_from_batches_of_unlike_requests() -> None:
    """Orca's Figure 10a: 0.49 requests/s at best; homogeneous requests do gain, as in its Figure 11."""
    one, eight = (orca_paper.peak(batch, num_requests=80) for batch in (1, 8))
    alone, together = (orca_paper.engine_s(batch) / batch for batch in (1, 8))

    assert orca_paper.PEAK_101B == pytest.approx(max(one, eight), rel=0.25)
    assert eight < 1.5 * one
    assert 4 * together < alone
