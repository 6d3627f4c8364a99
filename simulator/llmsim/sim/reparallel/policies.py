"""The policies under which a pool reconfigures as a whole."""

from __future__ import annotations

from llmsim.sim.reparallel.options import ReparallelizeOptions, RerouteOptions
from llmsim.sim.reparallel.pool import MeshPool


class Reparallelize:
    """Choose the parallel plan anew for the instances there are, and move contexts to it.

    Source: SpotServe (Miao et al. 2024, ASPLOS, arXiv 2311.15566). With ``migrate: false`` its baseline of that name.
    """

    Options = ReparallelizeOptions
    moves_kv = True
    whole_pool = MeshPool


class Reroute:
    """Keep one parallel plan; requests of a pipeline that is lost start over at others.

    Source: the baseline of that name in SpotServe (arXiv 2311.15566, §6.1).
    """

    Options = RerouteOptions
    moves_kv = False
    whole_pool = MeshPool
