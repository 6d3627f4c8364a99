"""Block-level preemption counts lazily; here it is held against a pool that takes each block when it is taken."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from llmsim.engine.kv.paged import Paged
from llmsim.engine.preemption.blocks import Blocks
from llmsim.engine.request import Request

BLOCK, POOL, NAMES = 4, 12, 4


class EagerPool:
    """Blocks of nobody go first, then those of the request preempted longest ago, its last one first."""

    def __init__(self) -> None:
        self.clean = POOL
        self.kept: dict[int, int] = {}  # request -> blocks with its content, in order of preemption
        self.held: dict[int, int] = {}

    def take(self, name: int, count: int) -> bool:
        if count > self.clean + sum(self.kept.values()):
            return False
        for _ in range(count):
            if self.clean:
                self.clean -= 1
                continue
            oldest = next(iter(self.kept))
            self.kept[oldest] -= 1
            if not self.kept[oldest]:
                del self.kept[oldest]
        self.held[name] = self.held.get(name, 0) + count
        return True

    def come_back(self, name: int, blocks: int) -> bool:
        mine = self.kept.get(name, 0)
        if blocks > self.clean + sum(self.kept.values()):
            return False
        self.kept.pop(name, None)
        self.held[name] = mine
        return self.take(name, blocks - mine)


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["start", "start", "decode", "preempt", "preempt", "finish"]),
        st.integers(0, NAMES - 1),
        st.integers(1, 30),
    ),
    max_size=40,
)


@settings(max_examples=300, deadline=None)
@given(STEPS)
def test_what_is_found_is_what_nobody_took(steps):
    """After any history, a request finds the tokens whose blocks are still untouched, and all blocks add up."""
    kv, eager = Paged(BLOCK * POOL, BLOCK, 10**6), EagerPool()
    kv.preemption = Blocks()
    requests = [Request(name, 0.0, 1000, 1000) for name in range(NAMES)]
    written = dict.fromkeys(range(NAMES), 0)

    for step, name, tokens in steps:
        req = requests[name]
        runs = req.blocks > 0
        if step == "start" and not runs:
            found = kv.find(req)
            assert found == min(written[name], eager.kept.get(name, 0) * BLOCK)
            came = kv.admit(req, max(tokens, found + 1), found)
            assert came == eager.come_back(name, -(-max(tokens, found + 1) // BLOCK))
            written[name] = max(tokens, found + 1) if came else written[name]
        elif step == "decode" and runs:  # as decoding does: blocks are counted down, nobody is told
            if kv.free_blocks:
                kv.free_blocks -= 1
                req.blocks += 1
                eager.take(name, 1)
                written[name] = req.blocks * BLOCK
        elif step == "preempt" and runs:
            assert kv.put_away(req, written[name]) == 0
            req.computed = 0
            blocks = eager.held.pop(name)
            kept = -(-written[name] // BLOCK)
            eager.clean += blocks - kept
            eager.kept[name] = kept
        elif step == "finish" and runs:
            kv.release(req)
            req.computed = 0
            eager.clean += eager.held.pop(name)
            written[name] = 0
        assert kv.free_blocks == eager.clean + sum(eager.kept.values())
