"""Laws of the cost model, over random shapes, plans and iterations."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmsim.cost.roofline import RooflineStage, build_stages
from llmsim.cost.stage import FOREVER
from llmsim.files.catalog import accelerator
from llmsim.spec.hardware import Accelerator
from llmsim.spec.model import FFN, Attention, DenseFFN, LatentAttention, LayerGroup, Mixer, ModelShape, MoEFFN

MIXERS: list[Mixer] = [
    Attention(num_heads=16, num_kv_heads=4, head_dim=64),
    Attention(num_heads=16, num_kv_heads=16, head_dim=64, span="window", span_size=512),
    Attention(num_heads=16, num_kv_heads=4, head_dim=64, span="chunk", span_size=256),
    LatentAttention(
        num_heads=128, kv_lora_rank=512, qk_nope_head_dim=128, qk_rope_head_dim=64, v_head_dim=128
    ),
]
FFNS: list[FFN] = [
    DenseFFN(intermediate_size=2048),
    MoEFFN(num_experts=16, top_k=2, intermediate_size=512, shared_intermediate_size=512),
]
GPUS = ["h100-sxm", "a100-sxm-80gb", "l40s", "t4", "mi300x", "h20"]


def make_model(mixers: list[Mixer], ffn: FFN) -> ModelShape:
    """Three layers of each mixer."""
    layers = [LayerGroup(count=3, mixer=mixer, ffn=ffn, norm_parameters=1024) for mixer in mixers]
    return ModelShape(
        name="random",
        source="made for the test",
        hidden_size=1024,
        vocab_size=32000,
        tied_embeddings=True,
        max_position_embeddings=65536,
        layers=layers,
    )


def first_stage(model: ModelShape, gpu: Accelerator, tp: int = 1) -> RooflineStage:
    """The only stage of a model on a GPU."""
    return build_stages(model, gpu, tensor_parallel_size=tp)[0]


models = st.builds(
    make_model, st.lists(st.sampled_from(MIXERS), min_size=1, max_size=2), st.sampled_from(FFNS)
)
gpus = st.sampled_from(GPUS).map(accelerator)
degrees = st.sampled_from([1, 2, 4])
counts = st.integers(1, 5000)
contexts = st.integers(0, 20000)
stages = st.builds(first_stage, models, gpus, degrees)
few = settings(max_examples=60, deadline=None)


def iteration_s(stage: RooflineStage, tokens: int, context: int) -> float:
    """A batch of ``tokens`` decoding sequences, and the same number of tokens prefilled after as many."""
    kv = [tokens * span.read(context) for span in stage.spans]
    line = stage.decode_line(tokens, kv, [0] * len(kv))
    return stage.tokens_s(2 * tokens, tokens, tokens) + stage.chunk_s(tokens, context) + line.first_s


@few
@given(models, gpus, degrees, counts, contexts)
def test_more_bandwidth_never_slows_a_step(
    model: ModelShape, gpu: Accelerator, tp: int, tokens: int, context: int
) -> None:
    """L9."""
    faster = gpu.model_copy(update={"memory_bytes_per_s": gpu.memory_bytes_per_s * 1.5})

    assert iteration_s(first_stage(model, faster, tp), tokens, context) <= iteration_s(
        first_stage(model, gpu, tp), tokens, context
    )


@few
@given(models, gpus, counts, contexts)
def test_more_peak_never_slows_a_step(model: ModelShape, gpu: Accelerator, tokens: int, context: int) -> None:
    """L9, for arithmetic."""
    faster = gpu.model_copy(update={"peaks": {name: peak * 1.5 for name, peak in gpu.peaks.items()}})

    assert iteration_s(first_stage(model, faster), tokens, context) <= iteration_s(
        first_stage(model, gpu), tokens, context
    )


@few
@given(stages, counts, st.integers(1, 300))
def test_more_work_is_never_faster(stage: RooflineStage, tokens: int, more: int) -> None:
    """Time rises with tokens, logit rows, sequences and chunks; tiles only step upwards."""

    assert stage.tokens_s(tokens, 1, 1) <= stage.tokens_s(tokens + more, 1, 1)
    assert stage.tokens_s(1, tokens, 1) <= stage.tokens_s(1, tokens + more, 1)
    assert stage.tokens_s(1, 1, tokens) <= stage.tokens_s(1, 1, tokens + more)
    assert stage.chunk_s(tokens, 0) <= stage.chunk_s(tokens + more, 0)


@few
@given(stages, counts, contexts, st.integers(1, 64))
def test_rows_add_up_to_the_iteration(stage: RooflineStage, tokens: int, context: int, decoding: int) -> None:
    """The report's rows are the simulator's time, not a second model of it."""
    kv = [decoding * span.read(context) for span in stage.spans]
    chunks = [(tokens, context), (tokens, 0)]
    expected = stage.tokens_s(tokens, decoding, decoding) + sum(stage.chunk_s(*chunk) for chunk in chunks)
    expected += stage.decode_line(decoding, kv, [decoding] * len(kv)).first_s

    rows = stage.op_rows(tokens, decoding, decoding, chunks=chunks, decoding=decoding, kv_tokens=kv)

    assert expected == pytest.approx(sum(row.time_s for row in rows), rel=1e-12)
    assert all(number >= 0 for row in rows for number in row.work)


@few
@given(stages, counts, contexts, st.integers(1, 64))
def test_bounds_add_up_to_the_time(stage: RooflineStage, tokens: int, context: int, decoding: int) -> None:
    """Each second has exactly one cause."""
    kv = [decoding * span.read(context) for span in stage.spans]
    line = stage.decode_line(decoding, kv, [0] * len(kv))

    assert stage.tokens_s(tokens, decoding, decoding) == pytest.approx(
        sum(stage.bound_seconds(tokens, decoding, decoding).values()), rel=1e-12
    )
    assert stage.chunk_s(tokens, context) == pytest.approx(
        sum(stage.chunk_bound_seconds(tokens, context).values()), rel=1e-12
    )
    assert line.first_s == pytest.approx(sum(stage.decode_bound_seconds(decoding, kv).values()), rel=1e-12)


@few
@given(models, gpus, st.integers(1, 300), st.data())
def test_a_decode_line_is_its_iterations_one_by_one(
    model: ModelShape, gpu: Accelerator, sequences: int, data: st.DataObject
) -> None:
    """``first + i·step`` is the time of iteration i for every i below ``valid_for``, its last included."""
    stage = first_stage(model, gpu)
    spans = range(len(stage.spans))
    kv = [data.draw(st.integers(sequences, 400 * sequences)) for _ in spans]
    growth = [data.draw(st.sampled_from([0, sequences, sequences // 2])) for _ in spans]

    line = stage.decode_line(sequences, kv, growth)

    assert line.valid_for >= 1
    last = min(line.valid_for, 1000) - 1
    for i in {0, 1, last // 2, last} & set(range(last + 1)):
        alone = stage.decode_line(sequences, [k + i * g for k, g in zip(kv, growth, strict=True)], growth)
        assert alone.first_s == pytest.approx(line.first_s + i * line.step_s, rel=1e-12)


@few
@given(st.integers(1, 300), st.integers(1, 50))
def test_a_decode_line_ends_where_latent_attention_turns_compute_bound(sequences: int, start: int) -> None:
    """128 heads share one latent: short contexts are bound by queries' bytes, longer ones by arithmetic."""
    weak = accelerator("h20")
    stage = first_stage(make_model([MIXERS[3]], FFNS[0]), weak)

    line = stage.decode_line(sequences, [start * sequences], [sequences])
    after = [(start + line.valid_for) * sequences]

    if line.valid_for < FOREVER:
        beyond = stage.decode_line(sequences, after, [sequences])
        assert beyond.step_s > line.step_s
        assert beyond.valid_for == FOREVER


@few
@given(models, gpus, counts)
def test_one_device_sends_nothing(model: ModelShape, gpu: Accelerator, tokens: int) -> None:
    """TP 1 has no wire bytes and no network time."""
    stage = first_stage(model, gpu)

    assert 0 == stage.iteration_work(tokens, 1, 1).wire_bytes
    assert 0 == stage.bound_seconds(tokens, 1, 1)["network"]


@few
@given(models, gpus, st.integers(1, 3))
def test_answers_are_pure(model: ModelShape, gpu: Accelerator, tokens: int) -> None:
    """The same question has the same answer, remembered or not."""
    stage = first_stage(model, gpu)
    stage.tokens_s(tokens + 1, 1, 1)

    assert stage.tokens_s(tokens, 1, 1) == first_stage(model, gpu).tokens_s(tokens, 1, 1)
    assert stage.chunk_s(tokens, 7) == stage.chunk_s(tokens, 7)
