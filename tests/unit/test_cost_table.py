"""The op table and the roofline stage: what is counted, and where it is charged."""

from __future__ import annotations

import pytest

from llmsim.cost.describe import roofline_report
from llmsim.cost.engines import engine_profile
from llmsim.cost.plan import Formats, bytes_per_element, compute_dtype, split_layers, stage_layer_counts
from llmsim.cost.products import wave_rows
from llmsim.cost.roofline import RooflineOptions, RooflineStage, build_stages
from llmsim.files.catalog import accelerator
from llmsim.plugins import COST_MODELS
from llmsim.report.roofline import scaled
from llmsim.spec.model import (
    Attention,
    DenseFFN,
    LatentAttention,
    LayerGroup,
    ModelShape,
    MoEFFN,
    NoFFN,
    Quantization,
    Recurrent,
)
from llmsim.spec.recurrent_layers import Projection

D, HEADS, KV_HEADS, HEAD_DIM, WIDTH, VOCAB, LAYERS = 1024, 16, 4, 64, 4096, 32000, 6


def make_model(mixer: object = None, ffn: object = None, **changes: object) -> ModelShape:
    """A small grouped-query, gated model."""
    mixer = mixer or Attention(num_heads=HEADS, num_kv_heads=KV_HEADS, head_dim=HEAD_DIM)
    ffn = ffn or DenseFFN(intermediate_size=WIDTH)
    group = LayerGroup(count=LAYERS, mixer=mixer, ffn=ffn, norm_parameters=2 * D)  # type: ignore[arg-type]
    shape = {
        "name": "small",
        "source": "made for the test",
        "hidden_size": D,
        "vocab_size": VOCAB,
        "tied_embeddings": False,
        "max_position_embeddings": 8192,
        "layers": [group],
    }
    return ModelShape.model_validate(shape | changes)


def make_stage(model: ModelShape | None = None, gpu: str = "h100-sxm", **settings: object) -> RooflineStage:
    """The only stage of a model on a GPU."""
    return build_stages(model or make_model(), accelerator(gpu), **settings)[0]  # type: ignore[arg-type]


def work_of(stage: RooflineStage, name: str, tokens: int = 1, rows: int = 1, sequences: int = 1) -> object:
    """The work of one operator in an iteration."""
    return next(row.work for row in stage.op_rows(tokens, rows, sequences) if row.name == name)


def test_dense_flops_are_two_per_parameter_and_token() -> None:
    """F2: linear FLOPs are 2·T·(layer parameters) + 2·S·V·d, experts and vectors aside."""
    tokens, rows = 7, 3
    per_layer = D * (HEADS + 2 * KV_HEADS) * HEAD_DIM + HEADS * HEAD_DIM * D + 3 * D * WIDTH

    work = make_stage().iteration_work(tokens, rows, 3)

    assert 2 * tokens * LAYERS * per_layer + 2 * rows * VOCAB * D == work.flops


def test_weights_are_read_once_whatever_the_batch() -> None:
    """F2: weight bytes of a projection do not depend on the number of tokens."""
    stage = make_stage()

    assert work_of(stage, "qkv_proj", 1).weight_bytes == work_of(stage, "qkv_proj", 500).weight_bytes


def test_decode_reads_kappa_bytes_per_attended_token() -> None:
    """F4: 2·L·hk·dh·bk bytes per attended token."""
    rows = make_stage().op_rows(1, 1, 1, decoding=1, kv_tokens=[1000])

    assert 1000 * 2 * LAYERS * KV_HEADS * HEAD_DIM * 2 == sum(row.work.kv_read_bytes for row in rows)


def test_fp8_cache_halves_kv_bytes_and_nothing_else() -> None:
    """Byte classes compose: the KV format scales KV bytes alone."""
    full, half = (
        make_stage(kv_cache_dtype=kv).op_rows(8, 8, 8, decoding=8, kv_tokens=[800]) for kv in ("auto", "fp8")
    )

    for before, after in zip(full, half, strict=True):
        assert before.work.kv_read_bytes == 2 * after.work.kv_read_bytes
        assert before.work.kv_write_bytes == 2 * after.work.kv_write_bytes
        assert before.work.weight_bytes == after.work.weight_bytes


def test_weight_only_quantization_keeps_the_16_bit_peak() -> None:
    """int4 weights are widened on the fly; fp8 inputs use fp8 units where there are any."""
    weight_only = Formats(weights={"ffn": "int4"})
    both = Formats(weights={"ffn": "fp8"}, activations="fp8")

    assert compute_dtype(weight_only, "ffn", accelerator("h100-sxm"))[0] == "bf16"
    assert compute_dtype(both, "ffn", accelerator("h100-sxm"))[0] == "fp8"
    assert compute_dtype(both, "lm_head", accelerator("h100-sxm"))[0] == "bf16"
    assert compute_dtype(both, "ffn", accelerator("a100-sxm-80gb"))[0] == "bf16"


@pytest.mark.parametrize(
    ("name", "bits"), [("bf16", 16), ("fp8", 8), ("mxfp4", 4.25), ("nvfp4", 4.5), ("int4", 4 + 20 / 128)]
)
def test_formats_count_their_scales(name: str, bits: float) -> None:
    """OCP MX: one scale byte per 32 elements; NVFP4: one per 16; groups of 128: 20 bits."""
    assert bits / 8 == bytes_per_element(name, 128)


def test_checkpoint_quantization_is_the_default() -> None:
    """``auto`` takes the checkpoint's own formats; a float32 checkpoint is served in float16."""
    stored = Quantization(method="fp8", formats={"ffn": "fp8"}, activations="fp8", kv_cache="fp8")

    assert Formats.resolve(make_model(quantization=stored)).kv == "fp8"
    assert Formats.resolve(make_model(quantization=stored)).weight_bytes("ffn") == 1
    assert Formats.resolve(make_model(quantization=stored), kv_cache_dtype="bfloat16").kv == "bf16"
    assert Formats.resolve(make_model(dtype="float32")).compute == "fp16"


def test_experts_read_are_the_distinct_ones() -> None:
    """One token touches k experts, many tokens touch nearly all E; FLOPs follow k alone."""
    ffn = MoEFFN(num_experts=32, top_k=4, intermediate_size=512)
    stage = make_stage(make_model(ffn=ffn))
    expert_bytes = LAYERS * 3 * D * 512 * 2

    assert 4 * expert_bytes == pytest.approx(work_of(stage, "routed_experts", 1).weight_bytes)
    assert 32 * expert_bytes == pytest.approx(work_of(stage, "routed_experts", 512).weight_bytes)
    assert 512 * 4 * 2 * LAYERS * 3 * D * 512 == work_of(stage, "routed_experts", 512).flops


def test_recurrent_state_is_read_and_written_per_sequence() -> None:
    """A recurrence moves its state once each way per sequence and layer."""
    mixer = Recurrent(
        family="mamba2", projections=[Projection(name="in_proj", k=D, n=2 * D)], state_size=1000
    )
    stage = make_stage(make_model(mixer=mixer, ffn=NoFFN()))

    assert 5 * LAYERS * 2 * 1000 * 4 == work_of(stage, "state", sequences=5).state_bytes
    assert not stage.spans


def test_tensor_parallelism_adds_two_all_reduces_per_layer() -> None:
    """F9: two all-reduces per layer of T·d·ba bytes; one with parallel residual; none at TP 1."""
    both = make_stage(tensor_parallel_size=2)
    one = make_stage(make_model(parallel_residual=True), tensor_parallel_size=2)

    assert 2 * LAYERS * 5 * D * 2 == work_of(both, "all_reduce", 5).wire_bytes
    assert LAYERS * 5 * D * 2 == work_of(one, "all_reduce", 5).wire_bytes
    assert make_stage().iteration_work(5, 5, 5).wire_bytes == 0


def test_latents_are_replicated_over_tensor_parallel_ranks() -> None:
    """MLA: each rank reads the whole latent, whatever the degree."""
    mixer = LatentAttention(
        num_heads=16, kv_lora_rank=512, qk_nope_head_dim=128, qk_rope_head_dim=64, v_head_dim=128
    )
    for tp in (1, 4):
        rows = make_stage(make_model(mixer=mixer), tensor_parallel_size=tp).op_rows(
            1, 1, 1, decoding=1, kv_tokens=[10]
        )
        assert 10 * LAYERS * 576 * 2 == sum(row.work.kv_read_bytes for row in rows)


def test_host_time_is_charged_to_the_first_stage_only() -> None:
    """F7 with a pipeline: one host, one charge."""
    settings = {"pipeline_parallel_size": 3, "profile": engine_profile("vllm")}
    stages = build_stages(make_model(), accelerator("h100-sxm"), **settings)  # type: ignore[arg-type]

    assert [stage.bound_seconds(1, 1, 1)["host"] > 0 for stage in stages] == [True, False, False]


def test_pipeline_ends_hold_embedding_and_logits() -> None:
    """The embedding is on the first stage, the output layer on the last, a send on all but the last."""
    stages = build_stages(make_model(), accelerator("h100-sxm"), pipeline_parallel_size=3)
    names = [{op.name for op in stage.table.ops} for stage in stages]

    assert ["embedding" in ops for ops in names] == [True, False, False]
    assert ["lm_head" in ops for ops in names] == [False, False, True]
    assert ["pipeline_send" in ops for ops in names] == [True, True, False]


def test_remaining_layers_go_to_stages_before_the_last() -> None:
    """vLLM's ``get_pp_indices``: 10 layers on 4 stages are 2, 3, 3, 2."""
    assert [2, 3, 3, 2] == stage_layer_counts(10, 4)


def test_unlike_layers_alternate_over_stages() -> None:
    """Six window layers and six full ones on three stages: two of each on every stage."""
    window = Attention(num_heads=8, num_kv_heads=8, head_dim=64, span="window", span_size=128)
    full = window.model_copy(update={"span": "full", "span_size": 0})
    layers = [LayerGroup(count=6, mixer=mixer, ffn=NoFFN(), norm_parameters=0) for mixer in (window, full)]

    assert [[2, 2]] * 3 == [[group.count for group in stage] for stage in split_layers(layers, 3)]


def test_eager_mode_pays_every_launch() -> None:
    """Without graphs a small decode iteration is bound by the host's launches."""
    graphs, eager = make_stage(), make_stage(enforce_eager=True)

    assert eager.bound_seconds(1, 1, 1)["launch"] > graphs.bound_seconds(1, 1, 1)["launch"]
    assert eager.tokens_s(1, 1, 1) > graphs.tokens_s(1, 1, 1)


@pytest.mark.parametrize(("rows", "padded"), [(1, 16), (17, 32), (64, 64), (129, 192), (300, 320)])
def test_rows_are_padded_to_whole_tiles(rows: int, padded: int) -> None:
    """Tiles have 16 to 64 rows."""
    assert padded == wave_rows(rows, (16, 64), column_tiles=1, split=1, num_sms=1)


def test_no_logits_cost_nothing() -> None:
    """A chunk that ends before its prompt does needs neither the output layer nor a sample."""
    assert not {"lm_head", "sampler"} & {row.name for row in make_stage().op_rows(512, 0, 1)}


def test_user_numbers_override_the_file_and_are_named() -> None:
    """Options replace the fitted curve, and the assumptions say so."""
    options = RooflineOptions(gemm_memory=0.5, host_iteration_s=0.0, host_sequence_s=0.0)
    stage = make_stage(options=options, profile=engine_profile("vllm"))

    assert 0 == stage.bound_seconds(4, 4, 4)["host"]
    assert "set by the user: gemm_memory, host_iteration_s, host_sequence_s" in stage.provenance
    assert make_stage().tokens_s(1, 1, 1) < make_stage(options=RooflineOptions(gemm_memory=0.5)).tokens_s(
        1, 1, 1
    )


def test_provenance_tells_a_fit_from_a_class_default() -> None:
    """An accelerator without a file of its own says so."""
    assert "fitted to kernel timings of h100-sxm" == make_stage().provenance
    assert make_stage(gpu="v100-sxm-32gb").provenance.startswith("assumed: the volta class")


def test_registry_knows_the_cost_model() -> None:
    """``cost_model: roofline`` finds the class, with its options and its stages."""
    found = COST_MODELS.get("roofline")

    assert found.Options is RooflineOptions
    assert callable(found.stages)


def test_report_shares_add_up() -> None:
    """The table's shares sum to one and its stages to the iteration."""
    stages = build_stages(make_model(), accelerator("h100-sxm"), pipeline_parallel_size=2)
    report = roofline_report(stages, 8, 1000, 256).to_dict()

    assert 1 == pytest.approx(sum(row["share"] for row in report["ops"]))
    assert report["time_s"] == pytest.approx(sum(report["stage_s"]))


def test_report_of_nothing_is_refused() -> None:
    """A batch of none without a prefill has no table."""
    with pytest.raises(ValueError, match="nothing to compute"):
        roofline_report([make_stage()], 0, 1000, 0)


@pytest.mark.parametrize(("value", "text"), [(0, "·"), (1536, "1.54 kB"), (3.35e12, "3.35 TB"), (12, "12 B")])
def test_quantities_read_well(value: float, text: str) -> None:
    """Three digits and an SI prefix; a dot for nothing."""
    assert text == scaled(value, "B")
