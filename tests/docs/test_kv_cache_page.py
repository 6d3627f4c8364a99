"""docs/kv-cache.md: its examples are engines, its table is what its scenario gives."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

import llmsim
from llmsim.spec.serving import Engine

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "kv-cache.md").read_text()
EXAMPLES = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
VARIANTS = {
    "nothing": ("engine.kv_tiers=[]",),
    "256 GiB of host memory": ("engine.kv_tiers=[{kind: host, size: 256GiB}]",),
    "that, and a store that both share": (),
    "the same, layer by layer": ("engine.kv_loading=layerwise",),
}


@pytest.mark.parametrize("example", EXAMPLES)
def test_every_example_is_an_engine(example: str) -> None:
    """As a scenario's ``engine``."""
    keys = yaml.safe_load(example)

    assert Engine.model_validate(keys).enable_prefix_caching


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_table(variant: str) -> None:
    """Each row from a run."""
    loaded = llmsim.load(ROOT / "scenarios" / "long-chats.yaml", VARIANTS[variant])
    summary = llmsim.run(loaded).summary
    found, met = summary["prefix_cache_hit_rate"], summary["slo_attainment"]

    assert f"| {variant} | {found:.0%} | {summary['mean_ttft_ms']:.0f} ms | {met:.1%} |" in PAGE
