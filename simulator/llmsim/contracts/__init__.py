"""Contract suites for plug-ins: subclass one, name your class, and pytest proves it keeps the rules.

    from llmsim.contracts import SchedulerContract
    from my_package import MyScheduler

    class TestMyScheduler(SchedulerContract):
        scheduler = MyScheduler

The rules are those the built-in policies are held to. A failure names the rule and the numbers.
"""

from llmsim.contracts.kv_caches import KVCacheContract
from llmsim.contracts.routers import RouterContract
from llmsim.contracts.schedulers import SchedulerContract
from llmsim.contracts.trials import (
    PREEMPTION_MODES,
    informed,
    outcome,
    poisson_requests,
    preempting,
    require_same,
    share_prefixes,
)

__all__ = [
    "PREEMPTION_MODES",
    "KVCacheContract",
    "RouterContract",
    "SchedulerContract",
    "informed",
    "outcome",
    "poisson_requests",
    "preempting",
    "require_same",
    "share_prefixes",
]
