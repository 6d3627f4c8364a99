"""The built-in routers keep the contract that third-party ones are held to."""

from __future__ import annotations

from llmsim.contracts import RouterContract
from llmsim.sim import routers
from llmsim.sim.routers.affinity import PrefixOptions
from llmsim.sim.routers.least_requests import PowerOfTwoOptions
from llmsim.sim.routers.loads import LoadOptions
from llmsim.sim.routers.weighted import WeightedOptions

OLD = LoadOptions(snapshot_interval_ms=300)
OLD_AND_BLIND = LoadOptions(snapshot_interval_ms=300, counts_own=False)


class TestRoundRobin(RouterContract):
    router = routers.RoundRobin


class TestRandom(RouterContract):
    router = routers.RandomChoice


class TestLeastRequests(RouterContract):
    router = routers.LeastRequests


class TestLeastRequestsOfOldSnapshots(RouterContract):
    router = routers.LeastRequests
    options = OLD


class TestLeastRequestsOfSnapshotsAlone(RouterContract):
    router = routers.LeastRequests
    options = OLD_AND_BLIND


class TestLeastTokens(RouterContract):
    router = routers.LeastTokens


class TestLeastTokensOfOldSnapshots(RouterContract):
    router = routers.LeastTokens
    options = OLD


class TestPowerOfTwo(RouterContract):
    router = routers.PowerOfTwo


class TestPowerOfThreeOfOldSnapshots(RouterContract):
    router = routers.PowerOfTwo
    options = PowerOfTwoOptions(d=3, snapshot_interval_ms=50)


class TestSessionAffinity(RouterContract):
    router = routers.SessionAffinity


class TestPrefixAffinity(RouterContract):
    router = routers.PrefixAffinity


class TestPrefixAffinityOfWholePrompts(RouterContract):
    router = routers.PrefixAffinity
    options = PrefixOptions(prefix_blocks=9, load_factor=1.01)


class TestWeighted(RouterContract):
    router = routers.Weighted
    options = WeightedOptions(weights={"main": 1}, within="least_tokens")


class TestCentralQueue(RouterContract):
    router = routers.CentralQueue
