"""`engine.kv_tiers` in scenarios: what is refused, what is assumed, what is reported, and who loses what."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import llmsim
from llmsim.errors import ScenarioError
from llmsim.files import catalog
from llmsim.files.scenario_file import LoadedScenario
from llmsim.report.facts import use_facts
from llmsim.sim.tiers import PoolTiers
from llmsim.spec.kv_tiers import KVTier

CHAT: dict[str, Any] = {
    "name": "chat",
    "model": "llama-3.1-8b",
    "fleet": {"accelerator": "h100-sxm"},
    "engine": {"enable_prefix_caching": True, "num_kv_tokens": 40_000},
    "workload": {
        "arrival": {"kind": "poisson", "request_rate": 0.5},
        "sessions": {
            "turns": {"kind": "geometric", "mean": 5},
            "think_time_s": {"kind": "exponential", "mean_s": 20},
        },
        "input_tokens": 800,
        "output_tokens": 60,
        "num_sessions": 40,
    },
    "slo": {"ttft_ms": 500, "tpot_ms": 50},
}
BIG = {"kind": "host", "size": "1TiB"}


@pytest.fixture
def written(tmp_path: Path) -> Path:
    """Conversations whose KV does not fit a pool of 40,000 tokens."""
    path = tmp_path / "chat.yaml"
    path.write_text(json.dumps(CHAT))
    return path


def chat(path: Path, *tiers: dict[str, Any], **fleet: Any) -> LoadedScenario:
    """They, with ``tiers`` below."""
    changes = [f"fleet={json.dumps(CHAT['fleet'] | fleet)}", f"engine.kv_tiers={json.dumps(tiers)}"]
    return llmsim.load(path, changes)


@pytest.mark.parametrize(
    ("tiers", "expected"),
    [
        ([BIG, BIG], "engine.kv_tiers.1.kind: 'host' is there twice"),
        ([{"kind": "nvme", "size": 1}, BIG], "engine.kv_tiers.1.kind: host memory is the fastest"),
        ([BIG | {"prefetch": True}], "engine.kv_tiers.0.prefetch: brings KV up to a host tier"),
        ([{"kind": "nvme", "size": 1, "prefetch": True}], "engine.kv_tiers.0.prefetch: brings KV up"),
        ([BIG | {"size": -1}], "engine.kv_tiers.0.size: "),
        ([BIG | {"size": 0}], "engine.kv_tiers.0.size: "),
        ([BIG | {"write_bandwidth": 0}], "engine.kv_tiers.0.write_bandwidth: "),
        ([{"kind": "disk", "size": 1}], "engine.kv_tiers.0.kind: "),
    ],
)
def test_what_does_not_go_together(written: Path, tiers: list[dict[str, Any]], expected: str) -> None:
    """Each with its place."""
    with pytest.raises(ScenarioError) as caught:
        chat(written, *tiers)
    assert expected in "\n".join(str(problem) for problem in caught.value.problems)


def test_tiers_need_prefixes(written: Path) -> None:
    """Without prefix caching nobody would find anything in them."""
    with pytest.raises(ScenarioError, match="only known with enable_prefix_caching: true"):
        llmsim.load(written, [f"engine={json.dumps({'kv_tiers': [BIG]})}"])


def test_not_every_pool_has_tiers(written: Path) -> None:
    """The message names those that do."""
    with pytest.raises(ScenarioError, match="kv_cache 'radix' has no tiers; take paged or token"):
        llmsim.load(written, ["engine.kv_cache=radix", f"engine.kv_tiers={json.dumps([BIG])}"])


def test_sizes_and_rates() -> None:
    """16 tokens of 131,072 bytes are 2 MiB; two accelerators have two host links; the remote store is one."""
    h100 = catalog.accelerator("h100-sxm")
    specs = [KVTier(kind=kind, size=1.0) for kind in ("host", "nvme", "remote")]
    made = PoolTiers(specs, h100, 2, None, 131_072.0)
    first, second = made.of_replica(16).tiers, made.of_replica(16).tiers
    host, nvme, remote = first

    assert [each.store.capacity for each in first] == [512] * 3
    assert host.reads.bytes_per_s == 2 * (h100.host_link_bytes_per_s or 0) == host.writes.bytes_per_s
    assert nvme.writes.bytes_per_s < nvme.reads.bytes_per_s
    assert remote.store is second[2].store
    assert host.store is not second[0].store
    assert remote.reads is not second[2].reads


def test_what_is_reported(written: Path) -> None:
    """Hits below the pool and in it are all there are; what was read is what was found; the report names it."""
    result = llmsim.run(chat(written, BIG | {"size": 6}, {"kind": "nvme", "size": 9}))
    host, nvme = result.summary["kv_tiers"]["tiers"]
    cached = sum(result.requests.cached_tokens)

    assert 0 < host["hit_tokens"] + nvme["hit_tokens"] < cached
    assert host["hit_rate"] + nvme["hit_rate"] < result.summary["prefix_cache_hit_rate"]
    for tier, size in ((host, 6), (nvme, 9)):
        assert tier["size_bytes"] == size * 2**30
        assert 0 < tier["most_used_bytes"] <= tier["size_bytes"]
        assert tier["read_bytes"] == tier["hit_tokens"] * 131_072
    assert result.summary["kv_tiers"]["wait_s"] > 0
    assert sum(result.summary["bottleneck_shares"].values()) == pytest.approx(1)
    said = [fact.value for fact in use_facts(result.summary, result.record)]
    assert any(
        "0 B read" not in text and "GiB written; at most 6.00 GiB of 6.00 GiB used" in text for text in said
    )
    assert llmsim.run(chat(written)).summary["kv_tiers"] is None


def test_a_crash_loses_host_memory_but_not_the_store(written: Path) -> None:
    """The replica that comes back finds in a remote store what it had written before; in host memory nothing."""
    crash = {"failures": [{"at_s": 60, "repair_s": 1}], "provisioning": {"startup_delay_s": 1}}
    remote = {"kind": "remote", "size": "1TiB", "write": "through"}
    rates = {
        (name, bool(fleet)): llmsim.run(chat(written, tier, **fleet)).summary["prefix_cache_hit_rate"]
        for name, tier in (("host", BIG), ("remote", remote))
        for fleet in ({}, crash)
    }

    assert rates["host", True] < 0.95 * rates["host", False]
    assert rates["remote", True] == pytest.approx(rates["remote", False], rel=0.02)


def test_replicas_share_the_store_and_not_the_host(written: Path) -> None:
    """Turns of a conversation that go to four replicas in turns."""
    rates = []
    for tier in (BIG, {"kind": "remote", "size": "1TiB", "write": "through"}):
        loaded = chat(written, tier, replicas=4)
        rates.append(llmsim.run(loaded).summary["prefix_cache_hit_rate"])
    one = llmsim.run(chat(written, BIG)).summary["prefix_cache_hit_rate"]

    assert rates[0] < 0.7 * one
    assert rates[1] == pytest.approx(one, rel=0.02)


def test_prefill_and_decode_pools_have_stores_of_their_own(written: Path) -> None:
    """Prompts are found by those who compute them; rooms held for transfers change nothing between the two modes."""
    pools = [CHAT["fleet"] | {"name": role, "role": role} for role in ("prefill", "decode")]
    tiers = [{"kind": "host", "size": 4, "write": "back"}, {"kind": "remote", "size": 50, "prefetch": True}]
    changes = [f"fleet={json.dumps(pools)}", f"engine.kv_tiers={json.dumps(tiers)}"]
    fast, slow = (
        llmsim.run(llmsim.load(written, [*changes, f"simulation.fast_forward={on}"]))
        for on in ("true", "false")
    )

    assert slow.summary["mean_e2el_ms"] == pytest.approx(fast.summary["mean_e2el_ms"], rel=1e-9)
    hits = {(tier["pool"], tier["kind"]): tier["hit_tokens"] for tier in fast.summary["kv_tiers"]["tiers"]}
    assert hits["prefill", "host"] > 0
    assert hits["decode", "host"] == hits["decode", "remote"] == 0
