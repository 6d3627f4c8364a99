"""How fast bytes move between the instances of a pool, within one, and from storage, when nothing else moves."""

from __future__ import annotations

from math import inf

from llmsim.sim.places import Place
from llmsim.sim.reparallel.migration import Rates
from llmsim.sim.topology import Topology
from llmsim.spec.serving import Pool
from llmsim.spec.topology import PEER


def rates_of(topology: Topology, pool: Pool, per_instance: int) -> Rates:
    """The rates of ``pool``'s instances, of ``per_instance`` devices each; infinite where nothing is known.

    Leaves ``topology`` as it was.
    """
    name = pool.provisioning.weights_from
    whole = _places(topology, pool, per_instance)
    network = storage = local = inf
    if whole:
        store = topology.storage("object_store" if name == PEER else name, whole[0])
        network = topology.path(*whole).bytes_per_s
        storage = topology.path(store, whole[0]).bytes_per_s
    for place in whole:
        topology.release(place)
    single = _places(topology, pool, 1) if per_instance > 1 else []
    if single:
        local = topology.path(*single).bytes_per_s
    for place in single:
        topology.release(place)
    return Rates(network, local, storage)


def _places(topology: Topology, pool: Pool, devices: int) -> list[Place]:
    """Two places of so many devices; none where there is no room."""
    places = [topology.place(pool, number, devices) for number in range(2)]
    found = [place for place in places if place is not None]
    if len(found) == 2:
        return found
    for place in found:
        topology.release(place)
    return []
