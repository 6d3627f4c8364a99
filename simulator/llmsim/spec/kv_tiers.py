"""Memories below the KV pool, where prefixes are kept that it has no room for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, Literal

from pydantic import Field

from llmsim.spec.base import Place, Strict
from llmsim.units import Quantity

Bandwidth = Annotated[float, Quantity("B/s"), Field(gt=0)]

MOST_GIB = 1e9
"""2^60 bytes: more than there is."""


class KVTier(Strict):
    """One memory; LMCache calls them local_cpu, local_disk and remote."""

    kind: Literal["host", "nvme", "remote"] = Field(
        description="host: memory of the machine; nvme: its drive; remote: a store that all replicas of a pool share, "
        "as Mooncake Store"
    )
    size: Annotated[float, Quantity("GiB"), Field(gt=0, le=MOST_GIB)] = Field(
        description="what it holds: of one replica's KV, over all its accelerators, as vLLM's --kv-offloading-size; "
        "of a remote one, of all replicas of the pool"
    )
    read_bandwidth: Bandwidth | None = Field(
        None,
        description="towards the accelerators, for each replica; null is, for host, the accelerators' host links, "
        "for nvme one drive (6.5 GB/s), for remote the accelerators' share of their node's network",
    )
    write_bandwidth: Bandwidth | None = Field(
        None, description="away from them; null is as for reading, but 3.5 GB/s for nvme"
    )
    latency_ms: Annotated[float, Quantity("ms"), Field(ge=0)] | None = Field(
        None, description="of one transfer; null is 0.01 for host, 0.1 for nvme, the network's for remote"
    )
    write: Literal["through", "back"] = Field(
        "through",
        description="what comes in. through: what a request has made, when it ends, as in vLLM, LMCache and SGLang; "
        "back: what the memory above forgets, whose room is free once that has gone down",
    )
    load: Literal["always", "if_faster"] = Field(
        "always",
        description="whether to load what is found here also where one request alone would compute it sooner",
    )
    prefetch: bool = Field(
        False,
        description="bring what waiting requests will need up to the host tier; not a key of the host tier itself",
    )


def tier_problems(tiers: Sequence[KVTier], *, cached: bool) -> Iterator[tuple[Place, str]]:
    """(place below the engine, message) of what does not go together; ``cached``: whether prefixes are cached."""
    if tiers and not cached:
        yield ("kv_tiers",), "keeps prefixes, which are only known with enable_prefix_caching: true"
    kinds = [tier.kind for tier in tiers]
    for index, tier in enumerate(tiers):
        if tier.kind in kinds[:index]:
            yield ("kv_tiers", index, "kind"), f"'{tier.kind}' is there twice; make one of them"
        elif tier.kind == "host" and index:
            yield ("kv_tiers", index, "kind"), "host memory is the fastest; write it first"
        elif tier.prefetch and (not index or kinds[0] != "host"):
            message = "brings KV up to a host tier above this one; write one, or leave prefetch out"
            yield ("kv_tiers", index, "prefetch"), message
