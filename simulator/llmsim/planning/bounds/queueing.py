"""How many replicas it should take: M/G/c, an estimate that only orders the search.

Erlang's C formula (A. K. Erlang 1917; Gross et al., *Fundamentals of Queueing Theory*, 4th ed., §2.3) for the
chance to wait, and the Allen–Cunneen correction (A. O. Allen, *Probability, Statistics and Queueing
Theory*, 2nd ed. 1990, §5.3) for gaps and services that are not exponential. A replica counts as one
server that gives each request its share of a batch's time, which a batching engine is not: hence estimate.
"""

from __future__ import annotations

from math import exp

from llmsim.errors import InvariantError


def erlang_c(servers: int, load: float) -> float:
    """The chance that an arrival waits in M/M/c. Pure query.

    Args:
        servers: c, at least 1.
        load: Offered load λ·E[S], below ``servers``.
    """
    if not 0 <= load < servers:
        raise InvariantError(f"M/M/{servers} has no steady state at a load of {load:g}")
    blocked = 1.0  # Erlang's B, by its recurrence over servers: no factorials
    for count in range(1, servers + 1):
        blocked = load * blocked / (count + load * blocked)
    return blocked / (1 - load / servers * (1 - blocked))


def late_share(servers: int, load: float, service_s: float, variation: float, patience_s: float) -> float:
    """About which share of requests waits longer than ``patience_s``. Pure query.

    Args:
        servers, load: As for :func:`erlang_c`.
        service_s: Mean service time.
        variation: Half the sum of the squared coefficients of variation of gaps and services.
        patience_s: The wait that still does no harm.
    """
    if load >= servers:
        return 1.0
    waits = erlang_c(servers, load)
    return waits * exp(-(servers - load) / service_s * max(0.0, patience_s) / max(variation, 1e-9))


def servers_for(
    load: float, service_s: float, variation: float, patience_s: float, may_wait: float, most: int
) -> int:
    """The fewest servers, up to ``most``, that make at most ``may_wait`` of the requests late. Pure query."""
    servers = min(most, max(1, int(load) + 1))
    while servers < most and late_share(servers, load, service_s, variation, patience_s) > may_wait:
        servers += 1
    return servers
