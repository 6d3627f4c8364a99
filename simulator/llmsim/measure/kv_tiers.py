"""What the memories below the KV pools held, and what went up and down."""

from __future__ import annotations

from typing import Any

import numpy as np

from llmsim.engine.kv.tiers import Tier
from llmsim.measure.records import ReplicaRecord, RunRecord
from llmsim.measure.requests import RequestTable


def kv_tiers_summary(record: RunRecord, table: RequestTable) -> dict[str, Any] | None:
    """The summary's ``kv_tiers``: one entry for each tier of each pool, over all its replicas; None without any.

    ``hit_rate`` is the share of the prompt tokens of all admitted requests that was found there; what was found in
    the pool above is not in it. ``wait_s`` is for how long iterations waited for KV, over all replicas.
    """
    pools: dict[str, list[ReplicaRecord]] = {}
    for replica in record.replicas:
        if replica.kv_tiers is not None:
            pools.setdefault(replica.pool, []).append(replica)
    if not pools:
        return None
    admitted = int(table.input_tokens[~np.isnan(table.scheduled_s)].sum(dtype=np.int64))
    entries = []
    for pool, replicas in pools.items():
        for views in zip(*(tiers.tiers for each in replicas if (tiers := each.kv_tiers)), strict=True):
            entries.append({"pool": pool, **_entry(views, replicas[0], admitted)})
    return {"wait_s": waited_s(record), "tiers": entries}


def waited_s(record: RunRecord) -> float:
    """Seconds that iterations waited for KV, over all replicas. Pure query."""
    return sum(replica.kv_tiers.waited_s for replica in record.replicas if replica.kv_tiers is not None)


def _entry(views: tuple[Tier, ...], replica: ReplicaRecord, admitted: int) -> dict[str, Any]:
    """One tier as all replicas of a pool see it; a store that they share counts once."""
    assert replica.kv_tiers is not None
    stores = {id(view.store): view.store for view in views}.values()
    size = replica.kv_tiers.block_bytes
    hit_tokens = sum(view.hit_blocks for view in views) * replica.block_size
    return {
        "kind": views[0].kind,
        "size_bytes": sum(store.capacity for store in stores) * size,
        "most_used_bytes": sum(store.most_used for store in stores) * size,
        "hit_tokens": hit_tokens,
        "hit_rate": hit_tokens / admitted if admitted else None,
        "read_bytes": sum(view.read_blocks for view in views) * size,
        "written_bytes": sum(view.written_blocks for view in views) * size,
    }
