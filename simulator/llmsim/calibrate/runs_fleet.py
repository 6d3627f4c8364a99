"""The devices of a measured run, as a pool: tensor, pipeline, data and expert parallelism of its row."""

from __future__ import annotations

from typing import Any

from llmsim.calibrate.runs import MeasuredRun
from llmsim.calibrate.runs_workload import NotExpressible
from llmsim.spec.hardware import Accelerator
from llmsim.spec.model import ModelShape


def fleet_of(
    run: MeasuredRun, accelerator: Accelerator, model: ModelShape, assumed: list[str]
) -> dict[str, Any]:
    """The ``fleet`` section. What the row does not say is added to ``assumed``.

    Copies of a model that share nothing are ``replicas``. Data-parallel ranks of a model with experts
    share them (vLLM: over tensor x data parallel ranks), each with its own batch and KV.

    Raises:
        NotExpressible: The numbers of devices contradict each other.
    """
    tensor, pipeline, data = _degrees(run, assumed)
    devices = run.count("num_gpus") or tensor * pipeline * (data or 1)
    if data is not None and devices != tensor * pipeline * data:
        raise NotExpressible(
            f"{devices} GPUs, but tensor x pipeline x data parallel is {tensor * pipeline * data}"
        )
    ranks, has_whole_experts = _sharing(run, model, tensor, data, assumed)
    group = tensor * pipeline * ranks
    if devices % group:
        named = f"tensor x pipeline{' x the ranks that share experts' if ranks > 1 else ''} parallel"
        raise NotExpressible(f"{devices} GPUs are no whole number of copies: {named} is {group}")
    return {
        "accelerator": accelerator.name,
        "replicas": devices // group,
        "tensor_parallel_size": tensor,
        "pipeline_parallel_size": pipeline,
        "data_parallel_size": ranks,
        "enable_expert_parallel": has_whole_experts,
    }


def router_of(fleet: dict[str, Any], engine: str) -> str:
    """Who deals requests to its copies or ranks.

    Copies that share nothing stand behind a plain balancer, which takes turns. Ranks that share experts
    have the engine's own: vLLM's and TensorRT-LLM's look at what each has to do, SGLang's takes turns.
    """
    ranks = fleet["data_parallel_size"]
    takes_turns = ranks == 1 or engine == "sglang"
    return "round_robin" if fleet["replicas"] * ranks > 1 and takes_turns else "least_requests"


def _degrees(run: MeasuredRun, assumed: list[str]) -> tuple[int, int, int | None]:
    """Tensor, pipeline and data parallelism of attention; no data parallelism where the row is silent.

    SGLang and TensorRT-LLM count attention's data-parallel ranks inside the tensor-parallel group
    (``--dp-size`` with ``--enable-dp-attention``): 8 GPUs with TP 8 and DP 8 are eight ranks of one.
    """
    tensor, pipeline = run.count("tensor_parallel") or 1, run.count("pipeline_parallel") or 1
    data, devices = run.count("data_parallel"), run.count("num_gpus")
    if data is not None and data > 1 and devices == tensor * pipeline and tensor % data == 0:
        assumed.append(f"data parallelism of {data} within the {tensor} tensor-parallel ranks")
        return tensor // data, pipeline, data
    return tensor, pipeline, data


def _sharing(
    run: MeasuredRun, model: ModelShape, tensor: int, data: int | None, assumed: list[str]
) -> tuple[int, bool]:
    """Data-parallel ranks that share experts, and whether experts are dealt out whole."""
    expert = run.count("expert_parallel") or 1
    if not any(group.ffn.kind == "moe" for group in model.layers):
        if expert > 1:
            raise NotExpressible(f"expert parallelism of {expert}, but {model.name} is dense")
        return 1, False
    if expert == 1 and (data or 1) > 1:
        assumed.append(f"{data} data-parallel ranks share the experts, whole ones each: not said")
        return data or 1, True
    if expert == 1:
        return 1, False
    if expert < tensor and tensor % expert == 0 and (data or 1) == 1:
        assumed.append(
            f"expert parallelism of {expert} in {tensor} ranks priced as a slice of every expert on each"
        )
        return 1, False
    if expert % tensor:
        raise NotExpressible(f"expert parallelism of {expert} over {tensor} tensor-parallel ranks")
    if data is None and expert > tensor:
        assumed.append(f"data parallelism of {expert // tensor}: expert over tensor parallelism")
    return expert // tensor, True
