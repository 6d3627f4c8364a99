"""What DeepSpeed-FastGen reported of SplitFuse against vLLM (arXiv 2401.08671), as far as it comes out."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from reproduce import fastgen_splitfuse as fastgen

CLIENTS = (4, 6, 8, 12, 16, 20)
"""Enough for both tops and for 9 s."""


@pytest.fixture(autouse=True)
def _few_clients(monkeypatch):
    monkeypatch.setattr(fastgen, "CLIENTS", CLIENTS)


def test_splitfuse_is_ahead_at_equal_latency_by_no_more_than_the_prompts_allow():
    """§4B: more requests a second at 9 s (by 2×, docs/reproductions.md says why not here); prompts bound them all."""
    fused, first = (fastgen.rate_at(name) for name in ("splitfuse", "vllm"))
    prompt_s = fastgen.run(fastgen.scenario("vllm", 1)).summary["mean_ttft_ms"] / 1e3

    assert first < fused < 1 / prompt_s
    assert fused == pytest.approx(fastgen.AT_9_S["splitfuse"], rel=0.3)


def test_more_requests_keep_the_token_target_than_under_vllm():
    """§4C: 1.42 against 0.63 req/s with 4 tokens/s kept up; none of SplitFuse's fail by their tokens."""
    fused, first = (fastgen.best(name) for name in ("splitfuse", "vllm"))
    published = fastgen.EFFECTIVE["splitfuse"] / fastgen.EFFECTIVE["vllm"]

    assert fused.effective / first.effective == pytest.approx(published, rel=0.3)
    assert fused.effective == pytest.approx(fastgen.EFFECTIVE["splitfuse"], rel=0.3)
    assert fused.effective > 0.95 * fused.rate
    assert first.effective < 0.85 * first.rate


def test_tail_between_tokens():
    """Figure 5: the P95 between tokens is 3.7 times lower, 16 clients, 2600 and 128 tokens."""
    assert fastgen.tail_ratio() == pytest.approx(fastgen.TAIL_RATIO, rel=0.3)


def test_moving_average_is_that_of_their_script():
    """microsoft/DeepSpeedExamples judges gaps by pandas' ``ewm(span=16).mean()``."""
    gaps = np.random.default_rng(0).exponential(0.2, 80)

    assert np.allclose(pd.Series(gaps).ewm(span=16).mean(), fastgen.moving_averages(gaps))
