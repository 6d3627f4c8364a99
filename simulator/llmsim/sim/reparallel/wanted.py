"""Which configuration a pool wants for so many devices: chosen anew each time, or once and for all."""

from __future__ import annotations

from llmsim.errors import Problem, ScenarioError
from llmsim.sim.reparallel.choose import Choice, choose
from llmsim.sim.reparallel.mesh import Configuration
from llmsim.sim.reparallel.options import MeshOptions
from llmsim.sim.reparallel.plans import Plans


class Wanted:
    """The choices of one pool.

    Args:
        plans: The oracle.
        options: The rate to keep up with, and whether the plan adapts.
        per_instance: Devices of an instance.
    """

    def __init__(self, plans: Plans, options: MeshOptions, per_instance: int) -> None:
        self._plans, self._options, self._per_instance = plans, options, per_instance
        self._fixed: Choice | None = None

    def config(self, devices: int) -> Configuration | None:
        """The configuration for ``devices``; None where no pipeline fits. A fixed plan is the first."""
        if self._options.tactics.adapts:
            choice = self._choice(devices)
            return choice.config if choice else None
        if self._fixed is None:
            instances = self._options.fixed_for
            self._fixed = self._choice(instances * self._per_instance if instances else devices)
        if self._fixed is None:
            return None
        shape = self._fixed.config
        pipelines = devices // (shape.stages * shape.ranks)
        return shape._replace(pipelines=pipelines, batch=self._plans.batch) if pipelines else None

    def refuse_too_little(self, pool: str, instances: int) -> None:
        """Raise ScenarioError where ``instances``, the most there ever are, hold no pipeline."""
        devices = instances * self._per_instance
        if self._choice(devices) is None:
            smallest = self._plans.space.least_devices
            message = (
                f"never holds more than {instances} instances ({devices} devices), too few for any pipeline: "
                f"tensor_parallel_size x pipeline_parallel_size asks for {smallest} at least"
            )
            raise ScenarioError(Problem(f"fleet pool '{pool}'", message))

    def _choice(self, devices: int) -> Choice | None:
        return choose(devices, self._options.request_rate, self._plans.space, self._plans.latency_s)
