"""The preemption mode of a replica's pool, with the memory of its hosts."""

from __future__ import annotations

from collections.abc import Sequence

from llmsim import plugins
from llmsim.engine.preemption.host import HOST, HostMemory
from llmsim.engine.preemption.recompute import Recompute
from llmsim.errors import Problem, ScenarioError
from llmsim.spec.hardware import Accelerator
from llmsim.spec.serving import Engine


def preemption_of(
    spec: Engine, devices: Sequence[Accelerator], parts: Sequence[float], kv_bytes_per_token: float
) -> Recompute:
    """The mode that ``spec`` names.

    Args:
        devices: The accelerator of each stage.
        parts: KV bytes of a token on one of them.
        kv_bytes_per_token: The same over all devices of the replica.

    Raises:
        ScenarioError: The catalogue knows no way to a host.
    """
    kind = spec.preemption_mode.kind
    mode: type[Recompute] = plugins.PREEMPTION_MODES.get(kind)
    host = host_memory(kind, devices, parts, kv_bytes_per_token) if mode.uses_host else HOST
    return mode(host, mode.Options.model_validate(spec.preemption_mode.options))


def host_memory(
    kind: str, devices: Sequence[Accelerator], parts: Sequence[float], kv_bytes_per_token: float
) -> HostMemory:
    """The hosts of a replica's accelerators, as :func:`preemption_of` has them."""
    pace_s = 0.0
    for device, size in zip(devices, parts, strict=True):
        if device.host_link_bytes_per_s is None:
            message = (
                f"{kind} moves KV to host memory, and the catalogue has no host_link_bytes_per_s for {device.name}; "
                "take recompute"
            )
            raise ScenarioError(Problem("engine.preemption_mode", message))
        pace_s = max(pace_s, size / device.host_link_bytes_per_s)
    if not pace_s:  # a model without KV
        return HOST
    return HostMemory(kv_bytes_per_token, kv_bytes_per_token / pace_s, max(parts) / kv_bytes_per_token)
