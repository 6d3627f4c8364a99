"""The roofline cost model: an op table per stage, and fitted efficiencies."""

from __future__ import annotations

from typing import Any

from llmsim.cost.engines import EngineProfile
from llmsim.cost.lowering import Lowering
from llmsim.cost.optable import lower_stage
from llmsim.cost.parallel import ParallelPlan, layers_of
from llmsim.cost.plan import Formats
from llmsim.cost.ring import RingStage
from llmsim.cost.roofline_options import RooflineOptions
from llmsim.cost.roofline_stage import RooflineStage
from llmsim.spec.hardware import Accelerator
from llmsim.spec.model import ModelShape

__all__ = ["RooflineCost", "RooflineOptions", "RooflineStage", "build_stages"]


def build_stages(
    model: ModelShape,
    accelerator: Accelerator,
    *,
    tensor_parallel_size: int = 1,
    pipeline_parallel_size: int = 1,
    plan: ParallelPlan | None = None,
    dtype: str = "auto",
    kv_cache_dtype: str = "auto",
    quantization: str | None = None,
    enforce_eager: bool = False,
    options: RooflineOptions | None = None,
    profile: EngineProfile | None = None,
) -> list[RooflineStage]:
    """The stages of a model on an accelerator, from an engine's own settings. Pure query.

    Args:
        plan: In place of the two sizes.
    """
    formats = Formats.resolve(model, dtype=dtype, kv_cache_dtype=kv_cache_dtype, quantization=quantization)
    plan = plan or ParallelPlan(tensor_parallel_size, pipeline_parallel_size)
    return RooflineCost.stages(
        options, model, accelerator, plan, formats, enforce_eager=enforce_eager, profile=profile
    )


class RooflineCost:
    """``cost_model: roofline``, version ``roofline-v4``."""

    version = "roofline-v4"
    Options = RooflineOptions
    prices_host = True
    """Whether iterations, and requests on their way in, cost what the engine's generation costs."""

    @classmethod
    def stages(
        cls,
        options: RooflineOptions | None,
        model: ModelShape,
        accelerator: Accelerator,
        plan: ParallelPlan,
        formats: Formats,
        *,
        enforce_eager: bool = False,
        profile: EngineProfile | None = None,
        **_: Any,
    ) -> list[RooflineStage]:
        """One priced stage per pipeline stage. Pure query.

        Without a ``profile`` kernels are as timed one by one, and the host takes no time.
        """
        options = options or RooflineOptions()
        devices = [plan.accelerator_of(stage, accelerator) for stage in range(plan.num_stages)]
        known = {
            device.name: options.efficiency_of(device, profile, eager=enforce_eager) for device in devices
        }
        stage_class = RingStage if plan.prefill_context_parallel_size > 1 else RooflineStage
        stages = []
        for index, (device, groups) in enumerate(zip(devices, layers_of(model.layers, plan), strict=True)):
            low = Lowering(
                model,
                device,
                plan,
                formats,
                known[device.name],
                enforce_eager,
                index,
                options.host_s(profile),
            )
            stages.append(stage_class(lower_stage(low, groups), low, low.peak_flops_per_s))
        if profile and (hidden_s := profile.hidden_host_s()):
            iteration_s = options.calibrated().get("hidden_iteration_s", hidden_s[0])
            stages[0].hidden_host_s = iteration_s, hidden_s[1]
        return stages

    @staticmethod
    def front_end_s(options: RooflineOptions | None, profile: EngineProfile) -> tuple[float, float]:
        """Seconds per request, and per prompt token, before the scheduler sees a request. Pure query."""
        given = options.calibrated() if options else {}
        own = profile.front_end
        return given.get("request_s", own.request_s.value), own.prompt_token_s.value
