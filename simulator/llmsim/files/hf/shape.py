"""The whole model from a config.json's fields: the stack of layers and what lies around it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from llmsim.files.hf.attention import read_attention, read_mixer
from llmsim.files.hf.families import Family
from llmsim.files.hf.ffn import read_ffn
from llmsim.files.hf.fields import Fields
from llmsim.files.hf.quantization import read_quantization
from llmsim.files.hf.recurrent import read_recurrent
from llmsim.files.hf.stack import MixerKind, mixer_kinds
from llmsim.spec.model import LayerGroup, Mixer, ModelShape, MoEFFN, NoMixer, ParallelMixers, Role

_LAYERS = ("num_hidden_layers", "n_layer", "n_layers", "num_layers")
_WIDTH = ("hidden_size", "n_embd", "n_embed", "d_model")
_CONTEXT = (
    "max_position_embeddings", "n_positions", "n_ctx", "seq_length", "max_seq_len", "context_length",
    "max_sequence_length",
)  # fmt: skip

_MOST_LAYERS = 10_000

_DTYPES = {"bfloat16", "float16", "half", "float32", "float", "auto"}

_UNLIMITED_CONTEXT = 2048
"""Context of a model that states none (Mamba, BLOOM's class default): vLLM's choice in that case."""


def read_shape(
    f: Fields, family: Family, name: str, source: str, side_file: Mapping[str, Any] | None
) -> ModelShape:
    """The model that the fields describe; what is wrong with them is in ``f.problems`` afterwards."""
    d, layers = f.count(*_WIDTH), f.count(*_LAYERS, most=_MOST_LAYERS)
    context = f.count(*_CONTEXT, default=_UNLIMITED_CONTEXT)
    vocab = f.count("vocab_size", "padded_vocab_size")
    embedding = f.count("word_embed_proj_dim", default=d)
    positions = family.learned_positions
    groups = _groups(f, family, d, layers)
    return ModelShape(
        name=name,
        source=source,
        hidden_size=d,
        vocab_size=vocab,
        embedding_size=embedding if embedding != d else None,
        tied_embeddings=f.flag("tie_word_embeddings", default=True) and not family.never_tied,
        dtype=_dtype(f),
        max_position_embeddings=context,
        learned_positions=0 if positions is None else context + positions,
        layers=groups,
        parallel_residual=_is_parallel(f, family),
        final_norm_parameters=d * family.norm_width if _has_final_norm(f) else 0,
        other_parameters=_other_parameters(f, family, d, vocab, embedding),
        quantization=read_quantization(f, side_file, layers, _roles(groups)),
    )


def _roles(groups: Sequence[LayerGroup]) -> set[Role]:
    """The roles of weights that the layers have."""
    roles: set[Role] = {
        gemm.role for group in groups for gemm in (*group.mixer.gemms(1, 1), *group.ffn.gemms(1, 1))
    }
    return roles | ({"expert"} if any(isinstance(group.ffn, MoEFFN) for group in groups) else set())


def _dtype(f: Fields) -> str:
    """What it is served in: float32 checkpoints (and silence) mean bfloat16, as under vLLM's ``auto``."""
    dtype = str(f.get("torch_dtype", "dtype") or "bfloat16").removeprefix("torch.")
    if dtype not in _DTYPES:
        f.complain("torch_dtype", f"is '{dtype}'; known: {', '.join(sorted(_DTYPES))}")
    return "bfloat16" if dtype in {"float32", "auto"} else dtype


def _groups(f: Fields, family: Family, d: int, layers: int) -> list[LayerGroup]:
    """The layers, equal ones counted together in the order they first come."""
    groups: list[LayerGroup] = []
    for layer, kind in enumerate(mixer_kinds(f, layers)):
        ffn = read_ffn(f, family, d, layer, kind)
        norms = _norm_parameters(f, family, d, isinstance(ffn, MoEFFN))
        mixer = _mixer(f, family, d, layer, kind)
        one = LayerGroup(count=1, mixer=mixer, ffn=ffn, norm_parameters=norms)
        for index, group in enumerate(groups):
            if one == group.model_copy(update={"count": 1}):
                groups[index] = group.model_copy(update={"count": group.count + 1})
                break
        else:
            groups.append(one)
    return groups


def _mixer(f: Fields, family: Family, d: int, layer: int, kind: MixerKind) -> Mixer:
    if kind in {"ffn", "moe"}:
        return NoMixer()
    if kind == "parallel":
        return ParallelMixers(
            attention=read_attention(f, family, d, "full"),
            recurrent=read_recurrent(f, family, d, "mamba"),
        )
    if kind in {"full", "sliding", "chunked"}:
        return read_mixer(f, family, d, layer, kind)
    return read_recurrent(f, family, d, kind)


def _is_parallel(f: Fields, family: Family) -> bool:
    return f.flag("use_parallel_residual", "parallel_attn", default=family.parallel)


def _norm_parameters(f: Fields, family: Family, d: int, sparse: bool) -> int:
    """Norms of a layer, and the residual mixing of hyper-connections (``hc_mult``, DeepSeek-V4 §2.2)."""
    norms = family.norms
    if f.has("parallel_attn"):  # Falcon: one norm serves both branches unless each has its own
        two = f.flag("new_decoder_architecture") or not f.flag("parallel_attn")
        norms = f.count("num_ln_in_parallel_attn", default=2 if two else 1)
    if sparse and f.flag("enable_moe_block"):  # Gemma 4: three more, and the router's input scale
        norms += 4
    streams = f.count("hc_mult", default=0)
    mixes = (2 + streams) * streams
    return norms * d * family.norm_width + (2 * (mixes * (streams * d + 1) + 3) if streams else 0)


def _has_final_norm(f: Fields) -> bool:
    """OPT's post-norm variant (350M) has none."""
    return f.flag("do_layer_norm_before", default=True) and not f.flag("_remove_final_layer_norm")


def _other_parameters(f: Fields, family: Family, d: int, vocab: int, embedding: int) -> int:
    total = 2 * d * embedding if embedding != d else 0
    total += d * family.norm_width if family.embedding_norm else 0
    return total + (vocab if family.lm_head_bias else 0)
