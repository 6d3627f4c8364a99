"""What a config.json reader refuses, and how it says so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from model_configs import LLAMA

from llmsim.errors import ModelConfigError
from llmsim.files.hf_config import load_config, read_config
from llmsim.spec.model import ModelShape


def read(assume: str | None = None, **changes: Any) -> ModelShape:
    """The model of LLAMA with some fields changed."""
    return read_config({**LLAMA, **changes}, name="tiny", source="config.json", assume=assume)


def problems(**changes: Any) -> str:
    """What the reader says is wrong with LLAMA, changed."""
    with pytest.raises(ModelConfigError) as caught:
        read(**changes)
    return str(caught.value)


def test_an_unknown_architecture_is_named_and_assume_is_offered() -> None:
    """The error quotes the model type and every field that nothing is known about, and says what helps."""
    with pytest.raises(ModelConfigError) as caught:
        read(model_type="warp", num_warp_layers=3)

    assert "'model_type' is 'warp'" in str(caught.value)
    assert "'num_warp_layers'" in str(caught.value)
    assert "assume: llama" in str(caught.value.hint)


def test_assume_reads_an_unknown_architecture_as_a_known_one() -> None:
    """``assume: llama`` lets unknown fields pass."""
    assert read() == read(model_type="warp", num_warp_layers=3, assume="llama")


def test_assume_must_be_known() -> None:
    """A misspelt architecture gets the nearest names."""
    with pytest.raises(ModelConfigError, match="did you mean 'llama'"):
        read(assume="lama")


def test_an_unknown_field_that_may_change_the_shape_is_refused() -> None:
    """A known architecture with a field nobody knows is not taken for the plain one."""
    assert "'num_memory_layers' is not known" in problems(num_memory_layers=2)


def test_every_problem_at_once() -> None:
    """Missing and malformed fields are all reported, with what was given."""
    text = problems(hidden_size="wide", vocab_size=None, num_hidden_layers=-1)

    assert "'hidden_size' should be a whole number of at least 1, but is 'wide'" in text
    assert "'vocab_size' is missing" in text
    assert "'num_hidden_layers' should be a whole number of at least 1, but is -1" in text


def test_a_short_list_of_layers_is_refused() -> None:
    """``layer_types`` must cover the stack."""
    assert "each of the 4 layers" in problems(layer_types=["full_attention"])


def test_an_unknown_kind_of_layer_is_refused() -> None:
    """A word in ``layer_types`` that nobody knows is quoted."""
    assert "retention" in problems(layer_types=["retention"] * 4)


def test_shared_kv_layers_are_refused() -> None:
    """What a ModelShape cannot say is an error, not an approximation."""
    assert "num_kv_shared_layers" in problems(model_type="gemma4", num_kv_shared_layers=2)


def test_a_file_that_is_no_json(tmp_path: Path) -> None:
    """The error names the file."""
    path = tmp_path / "config.json"
    path.write_text("{")

    with pytest.raises(ModelConfigError, match="cannot be read as JSON"):
        load_config(path)


def test_an_expert_model_that_does_not_say_how_many_work() -> None:
    """transformers' defaults for DeepSeek-V2 leave ``num_experts_per_tok`` null."""
    assert "'num_experts_per_tok' is missing" in problems(model_type="deepseek_v2", n_routed_experts=64)


def test_without_an_architecture_the_fields_must_tell() -> None:
    """``rms_norm_eps`` shows Llama's fields; without it, nothing tells the kind of norm or block."""
    assert read() == read(model_type=None)
    assert "'model_type' is missing" in problems(model_type=None, rms_norm_eps=None)
