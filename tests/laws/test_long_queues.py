"""What a step costs does not depend on how many wait: no scheduler looks through its queue."""

from __future__ import annotations

from functools import partial
from statistics import median
from time import process_time

import pytest

from llmsim.contracts import informed
from llmsim.engine.knowledge import Knowledge
from llmsim.engine.ordered_queue import OrderedQueue
from llmsim.engine.plan import StepPlan
from llmsim.engine.predictors.regression import Regression
from llmsim.engine.request import Request
from llmsim.engine.scheduler import Limits
from llmsim.engine.schedulers.chunked_prefill import ChunkedPrefill
from llmsim.engine.schedulers.edf import EarliestDeadline
from llmsim.engine.schedulers.lpm import LongestPrefix
from llmsim.engine.schedulers.mlfq import SkipJoinQueues
from llmsim.engine.schedulers.s3 import PredictedReservation
from llmsim.engine.schedulers.simple_chunking import SimpleChunking
from llmsim.engine.schedulers.sjf import ShortestJobFirst
from llmsim.engine.schedulers.slo_drop import SloDrop
from llmsim.engine.schedulers.srpt import ShortestRemaining
from llmsim.engine.schedulers.vtc import FairnessOptions, TokenCounters
from llmsim.measure.records import StepLog
from llmsim.sim.play import make_engine
from llmsim.spec.targets import Targets

KNOWS = Knowledge(Regression(2000), lambda name: Targets(ttft_ms=1e9))
EVERYONE = {
    "chunked_prefill": ChunkedPrefill,
    "simple_chunking": SimpleChunking,
    "sjf": informed(ShortestJobFirst, KNOWS),
    "srpt": informed(ShortestRemaining, KNOWS),
    "edf": informed(EarliestDeadline, KNOWS),
    "slo_drop": informed(SloDrop, KNOWS),
    "mlfq": SkipJoinQueues,
    "s3": informed(PredictedReservation, KNOWS),
    "lpm": LongestPrefix,
    "vtc": partial(TokenCounters, options=FairnessOptions(client="session")),
}


def seconds_of_a_step(scheduler, waiting: int, steps: int = 300) -> float:
    """CPU seconds of the median of so many iterations of a full batch, behind which so many wait."""
    engine = make_engine(
        0, StepLog(), scheduler, limits=Limits(16, 512, 4000), num_kv_tokens=100_000, fast_forward=False
    )
    for i in range(waiting):
        req = Request(i, i * 1e-6, 20 + i % 50, 400 + i % 7)
        req.session_id = str(i % 1000)
        engine.submit(req)
    (batch,) = engine.batches
    now_s = 1.0

    def step() -> float:
        nonlocal now_s
        start = process_time()
        run = engine.begin(batch, now_s)
        assert run is not None and isinstance(run.plan, StepPlan)
        engine.complete(run)
        now_s = run.end_s
        return process_time() - start

    return median([step() for _ in range(30 + steps)][30:])


@pytest.mark.parametrize("name", EVERYONE)
def test_a_hundred_thousand_that_wait_do_not_slow_a_step(name):
    """A scan of 100,000 takes milliseconds, a step some tens of microseconds: a scan per step would be 50-fold."""
    few = seconds_of_a_step(EVERYONE[name], 2000)  # so many that seats change hands as often
    many = seconds_of_a_step(EVERYONE[name], 100_000)

    assert many < 8 * few + 100e-6


def test_an_ordered_queue_is_what_sorting_gives():
    """Put, put anew, leave and pop, at random, against a sorted list; few stale entries stay behind."""
    import random

    chance = random.Random(3)
    queue, there = OrderedQueue(lambda req: req.input_tokens), {}
    for i in range(5000):
        act = chance.random()
        if act < 0.5 or not there:
            req = Request(i, 0.0, chance.randrange(50), 1)
            queue.append(req)
            there[req] = req.input_tokens
        elif act < 0.7:
            req = chance.choice(list(there))
            there[req] = chance.randrange(50)
            queue.put(req, there[req])
        elif act < 0.85:
            req = chance.choice(list(there))
            queue.remove(req)
            del there[req]
        else:
            first = min(there, key=lambda req: (there[req], req.id))
            assert queue[0] is first and queue.least == there[first]
            assert queue.popleft() is first
            del there[first]
        assert len(queue) == len(there)
    assert list(queue) == sorted(there, key=lambda req: (there[req], req.id))
    with pytest.raises(ValueError, match="is not in the queue"):
        queue.remove(Request(-1, 0.0, 1, 1))
