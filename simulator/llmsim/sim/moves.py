"""Bytes that a fleet moves: weights to replicas that start, KV from one replica to another."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import inf

from llmsim.sim.build import PoolPlan
from llmsim.sim.clock import Clock
from llmsim.sim.instances import Deployment
from llmsim.sim.network import Network
from llmsim.sim.places import Place
from llmsim.sim.topology import Topology
from llmsim.sim.transfers import Transfer
from llmsim.spec.serving import Pool
from llmsim.spec.topology import PEER

Done = Callable[[], None]


class Moves:
    """Transfers between the places of a fleet, over one network that all of them share.

    Attributes:
        topology: Where the places are.
    """

    def __init__(self, clock: Clock, topology: Topology) -> None:
        self.topology = topology
        self._network = Network(clock)
        self._numbers: dict[str, int] = {}

    def place(self, pool: Pool, devices: int, zone: str | None = None) -> Place | None:
        """Devices for one more replica of ``pool``; None where the machines listed have no room.

        A ``zone`` of the market that the topology does not list is on the network of all.
        """
        zone = zone if zone in self.topology.spec.zones else None
        number = self._numbers[pool.name] = self._numbers.get(pool.name, -1) + 1
        return self.topology.place(pool, number, devices, zone=zone)

    def leave(self, deployment: Deployment) -> None:
        """``deployment`` is gone: what is on its way to it or from it is lost, its devices are free."""
        if deployment.place is not None:
            self._network.fail(deployment.place.links())
            self.topology.release(deployment.place)

    def load_weights(
        self, plan: PoolPlan, deployment: Deployment, peers: Sequence[Place], done: Done
    ) -> None:
        """Bring the weights to ``deployment``: each device gets its own part, from the pool's source.

        A source ``peer`` is the first of ``peers``, or the object store while there is none.
        """
        target = deployment.place
        if target is None:
            done()
            return
        name = plan.pool.provisioning.weights_from
        from_store = name != PEER or not peers
        source = (
            self.topology.storage("object_store" if name == PEER else name, target)
            if from_store
            else peers[0]
        )

        def again(_: Transfer) -> None:
            """The source is gone, or the deployment; in that case nobody cares."""
            if deployment.state == "starting":
                self.load_weights(plan, deployment, [], done)

        path = self.topology.path(source, target)
        self._network.send(path, plan.weight_bytes, lambda _: done(), lost=again)

    def send(
        self,
        source: Place,
        target: Place,
        num_bytes: float,
        done: Callable[[Transfer], None],
        lost: Callable[[Transfer], None],
    ) -> Transfer:
        """Move ``num_bytes``; ``done`` is told when they are there, ``lost`` when one end is gone."""
        return self._network.send(self.topology.path(source, target), num_bytes, done, lost=lost)

    def cancel(self, transfer: Transfer) -> None:
        """Stop ``transfer``; nobody is told."""
        self._network.cancel(transfer)

    def seconds(self, source: Place | None, target: Place | None, num_bytes: float) -> float:
        """How long ``num_bytes`` take when nothing else moves; for ever without a way. Pure query."""
        if source is None or target is None:
            return inf
        return self.topology.path(source, target).seconds(num_bytes)
