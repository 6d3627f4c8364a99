"""Single routers: who is chosen, what moves when a replica goes, and what a choice costs."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import pytest

from llmsim.engine.request import Request
from llmsim.engine.scheduler import Limits
from llmsim.engine.schedulers.chunked_prefill import ChunkedPrefill
from llmsim.measure.records import StepLog
from llmsim.sim import routers
from llmsim.sim.clock import Clock
from llmsim.sim.fleet import Fleet
from llmsim.sim.play import RequestList, make_engine, play
from llmsim.sim.replica import Replica
from llmsim.sim.routers.affinity import PrefixOptions
from llmsim.sim.routers.weighted import WeightedOptions


def engines_of(count, log=None, **limits):
    log = log or StepLog()
    return [
        make_engine(i, log, ChunkedPrefill, limits=Limits(**limits), num_kv_tokens=100_000)
        for i in range(count)
    ]


def replicas_of(count):
    return Fleet(Clock(), engines_of(count), RequestList([])).replicas


def router_of(kind, replicas, options=None, seed=0):
    return kind(replicas, options, routers.Setting(Clock(), seed))


def labelled(session="", hash_ids=(), id=0):
    req = Request(id, 0.0, 100, 10)
    req.session_id, req.hash_ids = session, hash_ids
    return req


def test_round_robin_keeps_its_turn_when_one_leaves():
    """Whoever was next is next, whether the one that leaves sat before or after it."""
    replicas = replicas_of(4)
    for leaves, expected in ((0, [2, 3, 1, 2]), (1, [2, 3, 0, 2]), (2, [3, 0, 1, 3]), (3, [2, 0, 1, 2])):
        router = router_of(routers.RoundRobin, replicas)
        for _ in range(2):
            router.choose(labelled())
        router.left(replicas[leaves])

        assert expected == [router.choose(labelled()).engine.index for _ in range(4)]


def test_random_is_even_and_follows_its_seed():
    """All equally likely (5 sigma); same seed, same choices."""
    replicas = replicas_of(5)
    chosen = [router_of(routers.RandomChoice, replicas, seed=seed) for seed in (1, 1, 2)]
    sequences = [[router.choose(labelled()).engine.index for _ in range(5000)] for router in chosen]

    assert sequences[0] == sequences[1] != sequences[2]
    assert all(abs(count - 1000) < 5 * 800**0.5 for count in Counter(sequences[0]).values())


def test_only_the_sessions_of_the_replica_that_left_move():
    """Consistent hashing: the others stay, those that move spread, and all come back with it."""
    replicas = replicas_of(10)
    router = router_of(routers.SessionAffinity, replicas)
    sessions = [labelled(f"user-{i}") for i in range(5000)]
    before = [router.choose(req) for req in sessions]
    router.left(replicas[3])
    without = [router.choose(req) for req in sessions]
    router.joined(replicas[3])

    moved = [new for old, new in zip(before, without, strict=True) if old is not new]
    assert before.count(replicas[3]) == len(moved)
    assert all(old is replicas[3] for old, new in zip(before, without, strict=True) if old is not new)
    assert {replica.engine.index for replica in moved} == set(range(10)) - {3}
    assert before == [router.choose(req) for req in sessions]
    assert all(350 < count < 650 for count in Counter(before).values())  # 500 ± 6% of points, ± 4% of keys


def test_a_request_without_a_session_goes_where_the_fewest_are():
    """As vLLM production-stack's session router, which falls back on the least loaded."""
    replicas = replicas_of(3)
    router = router_of(routers.SessionAffinity, replicas)
    replicas[0].on_the_way = 2
    router.sent(labelled(), replicas[0])

    assert replicas[1] is router.choose(labelled())


def test_prompts_that_begin_alike_go_together_until_it_is_too_much():
    """A key's home takes ceil(1.25 · mean) at most; then the next on the ring does."""
    replicas = replicas_of(4)
    router = router_of(routers.PrefixAffinity, replicas, PrefixOptions(load_factor=1.25))
    home = router.choose(labelled(hash_ids=(0, 7, 1)))
    assert home is router.choose(labelled(hash_ids=(0, 7, 2, 3)))

    for _ in range(40):
        replica = router.choose(labelled(hash_ids=(0, 7, 5)))
        replica.on_the_way += 1
        router.sent(labelled(), replica)
        total = sum(replica.on_the_way for replica in replicas)
        assert max(replica.on_the_way for replica in replicas) <= -(-1.25 * total // 4)
    assert home.on_the_way == max(replica.on_the_way for replica in replicas)


def test_the_key_is_the_start_of_the_prompt():
    """With one block, prompts that share only the first are alike; with two they are not."""
    replicas = replicas_of(16)
    prompts = [labelled(hash_ids=(0, i, 100 + i)) for i in range(64)]
    chosen = {}
    for blocks in (1, 2):
        router = router_of(routers.PrefixAffinity, replicas, PrefixOptions(prefix_blocks=blocks))
        chosen[blocks] = {router.choose(req) for req in prompts}

    assert 1 == len(chosen[1])
    assert len(chosen[2]) > 8


def test_weights_divide_among_the_pools():
    """1 : 3 (5 sigma); while the larger pool is away, the other has all."""
    replicas = replicas_of(3)
    for replica, pool in zip(replicas, ("canary", "main", "main"), strict=True):
        replica.pool = pool
    options = WeightedOptions(weights={"canary": 1, "main": 3})
    router = router_of(routers.Weighted, replicas, options)
    counts = Counter(router.choose(labelled()).engine.index for _ in range(4000))

    assert abs(counts[0] - 1000) < 5 * (4000 * 0.25 * 0.75) ** 0.5
    assert abs(counts[1] - counts[2]) <= 1
    router.left(replicas[1])
    router.left(replicas[2])
    assert {0} == {router.choose(labelled()).engine.index for _ in range(100)}


def test_least_tokens_sees_prompts_and_what_has_been_generated():
    """A long prompt weighs more than two short ones; and it is counted to the token, at any moment."""
    log = StepLog()
    requests = [
        Request(0, 0.0, 3000, 500),
        Request(1, 0.0, 100, 200),
        Request(2, 0.5, 100, 200),
        Request(3, 1.0, 2000, 1),
    ]
    record = play(requests, engines_of(2, log), log, router=routers.LeastTokens)

    assert [0, 1, 1, 1] == [req.replica for req in record.requests]


@pytest.mark.parametrize("fast_forward", [True, False])
def test_tokens_generated_are_known_at_any_moment(fast_forward):
    """Within a run of iterations too: one token more per iteration that has ended by then."""
    log = StepLog()
    (engine,) = engines_of(1, log)
    engine.fast_forward = fast_forward
    seen = []

    def watch(fleet):
        for i in range(1, 200):
            fleet.clock.call(
                i * 0.0137, 2, lambda: seen.append((fleet.clock.now, fleet.replicas[0].num_generated))
            )

    (req,) = play([Request(0, 0.0, 100, 300)], [engine], log, meanwhile=watch).requests

    assert all(before[1] <= after[1] for before, after in pairwise(seen))
    per_token_s = (req.finish_s - req.first_token_s) / 299
    for now_s, tokens in seen:
        expected = (
            1 + (min(now_s, req.finish_s) - req.first_token_s) / per_token_s
            if now_s > req.first_token_s
            else 0
        )
        assert abs(tokens - expected) <= 2


def test_routing_by_load_does_not_look_at_every_replica(monkeypatch):
    """A request among 100 replicas makes two of them say their load: the one it goes to, the one it leaves."""
    asked = []
    load = Replica.num_requests.fget
    monkeypatch.setattr(Replica, "num_requests", property(lambda self: asked.append(self) or load(self)))
    log = StepLog()
    requests = [Request(i, i / 1000, 64, 8) for i in range(1000)]
    play(requests, engines_of(100, log), log, router=routers.LeastRequests)

    assert len(asked) <= 100 + 2 * 1000
