"""Pools with memories below them, and runs over them, for the laws of tiers."""

from __future__ import annotations

from llmsim.contracts import poisson_requests, share_prefixes
from llmsim.engine.kv.store import Store
from llmsim.engine.kv.tiered import Tiered
from llmsim.engine.kv.tiers import Tier, Tiers
from llmsim.engine.pipe import Pipe
from llmsim.engine.profile import Profile
from llmsim.engine.scheduler import Limits
from llmsim.engine.schedulers.chunked_prefill import ChunkedPrefill
from llmsim.measure.laws import check
from llmsim.measure.records import StepLog
from llmsim.sim.play import A_LINE, make_engine, play

UNLIMITED = 10**12
AT_ONCE = 1e40
"""Bytes per second."""
TOKEN_BYTES = 1000.0


def tier(kind, blocks=UNLIMITED, rate=AT_ONCE, *, write_rate=None, store=None, **options):
    """A memory for so many KV blocks, behind links that carry so many bytes a second."""
    links = Pipe(rate), Pipe(write_rate or rate)
    return Tier(kind, store or Store(blocks), *links, is_host=kind == "host", **options)


def made_of(*makers):
    """What :func:`pool` asks for: a new tier from each of ``makers`` at every call."""
    return lambda: [make() for make in makers]


def pool(make_tiers, layers=1):
    """Makes pools above the tiers that ``make_tiers()`` returns, new ones for each."""

    def make(num_tokens, block_size, max_model_len):
        kv = Tiered(num_tokens, block_size, max_model_len)
        tiers = Tiers(make_tiers(), block_size, TOKEN_BYTES * block_size)
        kv.attach(tiers, layers, Profile([A_LINE], 512))
        return kv

    return make


def alike(seed, count=120, **options):
    """Requests of families that begin alike, as the contracts try."""
    requests = poisson_requests(seed, count, **options)
    share_prefixes(requests)
    return requests


def serve(requests, kv_caches, tokens, *, scheduler=ChunkedPrefill, stages=1, fast_forward=True):
    """``requests`` on an engine for each of ``kv_caches``, in turns; returns record and engines."""
    log = StepLog()
    engines = [
        make_engine(
            index,
            log,
            scheduler,
            kv_cache=kv_cache,
            num_kv_tokens=tokens,
            limits=Limits(64, 512, 900),
            stages=[A_LINE] * stages,
            fast_forward=fast_forward,
        )
        for index, kv_cache in enumerate(kv_caches)
    ]
    record = play(requests, engines, log)
    check(record)
    for engine in engines:
        assert engine.kv.free_blocks == engine.kv.num_blocks
    return record, engines


def cached(record):
    """Prompt tokens that nobody had to compute."""
    return sum(req.cached_tokens for req in record.requests)
