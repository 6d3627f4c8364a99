"""How an operator of a model becomes an operator with rates on one device."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from llmsim.cost import collectives
from llmsim.cost.efficiency import Efficiency
from llmsim.cost.ops import CollectiveOp, Feature, Rate, StreamOp, Work
from llmsim.cost.plan import Formats, ParallelPlan, compute_dtype
from llmsim.cost.products import ExpertsOp, GemmOp
from llmsim.files.machines import Machine
from llmsim.spec.hardware import Accelerator
from llmsim.spec.mixer import share
from llmsim.spec.model import Gemm, ModelShape, MoEFFN

ELEMENT_BYTES = 2
"""Of bf16 and fp16."""

SMS_IF_UNKNOWN = 108
"""Multiprocessors of an A100."""

WIDENED_TILE_ROWS, WIDENED_SPLIT = (16, 64), 16
"""Products whose weights are narrower than their arithmetic run in kernels made for few rows: tiles of 16
to 64 of them, and stripes of the k loop that give every multiprocessor the same part. (MARLIN, arXiv
2408.11743, section 3.4; AWQ's and Machete's kernels likewise.) An assumption, as none was timed here."""


@dataclass(frozen=True)
class Lowering:
    """What every rule of the lowering looks at: those of one pipeline stage.

    Attributes:
        host_s: Host work that the devices wait for, per iteration and per sequence of it, seconds (F7).
    """

    model: ModelShape
    accelerator: Accelerator
    plan: ParallelPlan
    formats: Formats
    efficiency: Efficiency
    enforce_eager: bool
    stage: int = 0
    host_s: tuple[float, float] = (0.0, 0.0)

    @property
    def tp(self) -> int:
        """Tensor-parallel degree."""
        return self.plan.tp_of(self.stage)

    @cached_property
    def machine(self) -> Machine:
        """The node of the stage's devices."""
        return self.plan.machine_of(self.stage, self.accelerator)

    @property
    def bytes_per_s(self) -> float:
        """Memory bandwidth of one device, datasheet."""
        return self.accelerator.memory_bytes_per_s

    @property
    def graph_tokens(self) -> int:
        """Largest batch that is replayed from a CUDA graph, in tokens."""
        return 0 if self.enforce_eager else self.efficiency.launch.graph_tokens

    @property
    def peak_flops_per_s(self) -> float:
        """The dense peak of unquantized products, and of attention."""
        return compute_dtype(self.formats, "embedding", self.accelerator)[1]

    @property
    def num_sms(self) -> int:
        """Multiprocessors of one device."""
        return self.accelerator.num_sms or SMS_IF_UNKNOWN

    @property
    def attention_floors_s(self) -> tuple[float, float]:
        """Start and drain of the kernels that prefill, and of those that decode."""
        return self.efficiency.prefill.floor_s, self.efficiency.decode_for(self.formats.kv).floor_s

    def gemm(self, gemm: Gemm, layers: int, per: Feature = "tokens") -> GemmOp:
        """One dense projection of ``layers`` layers."""
        dtype, peak = compute_dtype(self.formats, gemm.role, self.accelerator)
        fit = self.efficiency.gemm_for(dtype)
        is_widened = dtype in ("bf16", "fp16") and self.formats.weight_bytes(gemm.role) < ELEMENT_BYTES
        return GemmOp(
            gemm.name,
            layers * gemm.count,
            per,
            fit.floor_s,
            self.efficiency.launch.eager_s,
            self.graph_tokens if per == "tokens" else 0,
            k=gemm.k,
            columns=gemm.n,
            weight_bytes=gemm.k * gemm.n * self.formats.weight_bytes(gemm.role),
            activation_bytes_per_row=(gemm.k + gemm.n) * self.formats.activation_bytes,
            flops_per_s=peak * fit.compute,
            bytes_per_s=self.bytes_per_s * fit.memory,
            num_sms=self.num_sms,
            split=WIDENED_SPLIT if is_widened else fit.split,
            tile_rows=WIDENED_TILE_ROWS if is_widened else fit.tile_rows,
            tile_columns=fit.tile_columns,
            fill=fit.fill,
            boost=fit.boost,
            overlap=fit.overlap,
        )

    def experts(self, ffn: MoEFFN, layers: int) -> ExpertsOp:
        """The routed experts of ``layers`` layers: a slice of each, or some of them whole."""
        ranks = self.plan.expert_ranks(self.stage)
        gemms = ffn.expert_gemms(self.model.hidden_size, self.tp if ranks == 1 else 1)
        dtype, peak = compute_dtype(self.formats, "expert", self.accelerator)
        fit = self.efficiency.experts_for(dtype, self.formats.weight_format("expert"))
        weights = sum(gemm.k * gemm.n for gemm in gemms)
        first, last = gemms[0], gemms[-1]
        between = first.n + last.k + last.n  # the activation reads and writes, the sum over experts reads
        return ExpertsOp(
            "routed_experts",
            layers,
            "tokens",
            fit.floor_s,
            self.efficiency.launch.eager_s,
            self.graph_tokens,
            num_experts=ffn.num_experts,
            top_k=ffn.top_k,
            flops_per_row=2.0 * weights,
            expert_bytes=weights * self.formats.weight_bytes("expert"),
            activation_bytes_per_row=(sum(gemm.k + gemm.n for gemm in gemms) + between)
            * self.formats.activation_bytes,
            flops_per_s=peak * fit.compute,
            bytes_per_s=self.bytes_per_s * fit.memory,
            fresh=fit.fresh,
            overlap=fit.overlap,
            share=share(ffn.num_experts, ranks) / ffn.num_experts,
            alike=self.plan.data_parallel_size if ranks > 1 else 1,
        )

    def stream(self, name: str, layers: int, each: Work, per: Feature = "tokens") -> StreamOp:
        """An operator that moves bytes, ``each`` per count."""
        fit = self.efficiency.elementwise
        compute = self.peak_flops_per_s * self.efficiency.prefill.compute
        return StreamOp(
            name, layers, per, fit.floor_s, self.efficiency.launch.eager_s, self.graph_tokens,
            each=each, flops_per_s=compute, bytes_per_s=self.bytes_per_s * fit.memory,
        )  # fmt: skip

    def elementwise(self, name: str, layers: int, numbers: float) -> StreamOp:
        """An elementwise operator that moves ``numbers`` activations per token (F6, fused back-end)."""
        return self.stream(name, layers, Work(activation_bytes=numbers * self.formats.activation_bytes))

    def collective(
        self, name: str, layers: int, numbers: float, rate: Rate, per: Feature = "tokens"
    ) -> CollectiveOp:
        """A collective over ``numbers`` activations per count; its floor is the rate's latency."""
        each = numbers * self.formats.activation_bytes
        graph_tokens = 0 if per == "logit_rows" else self.graph_tokens
        return CollectiveOp(
            name,
            layers,
            per,
            0.0,
            rate.eager_s,
            graph_tokens,
            message_bytes_each=each,
            rate=rate,
        )

    def all_reduce(self, name: str, layers: int, numbers: float) -> CollectiveOp:
        """A sum of ``numbers`` activations per token over the tensor-parallel group."""
        rate = collectives.all_reduce(self.efficiency, self.accelerator, self.tp, self.machine)
        return self.collective(name, layers, numbers, rate)
