"""The model catalogue: every entry loads, says where it is from, and agrees with its config."""

from __future__ import annotations

from pathlib import Path

import pytest

from llmsim.files import catalog
from llmsim.files.hf_config import load_config
from llmsim.spec.attention import Span
from llmsim.spec.model import ModelShape

DATA = Path(__file__).parents[2].parent / "shared/data/models"
NAMES = catalog.models()
OWN_FACTS = {"name", "source", "aliases", "published_parameters"}
"""Fields of an entry that no config has."""

DIFFERS = {
    "mistral-7b-v0.2": "the copied config lost `sliding_window: null` and says 4096 by default",
}

REQUIRED = """
    llama-2-7b llama-2-13b llama-2-70b llama-3.1-8b llama-3.1-70b llama-3.1-405b llama-3.2-1b
    llama-3.2-3b llama-3.3-70b llama-4-scout llama-4-maverick mistral-7b mistral-nemo mistral-small-24b
    mistral-large-123b mixtral-8x7b mixtral-8x22b qwen2-7b qwen2.5-7b qwen2.5-14b qwen2.5-32b
    qwen2.5-72b qwen3-0.6b qwen3-1.7b qwen3-4b qwen3-8b qwen3-14b qwen3-32b qwen3-30b-a3b
    qwen3-235b-a22b qwen3.5-27b gemma-2-2b gemma-2-9b gemma-2-27b gemma-3-1b gemma-3-4b gemma-3-12b
    gemma-3-27b phi-2 phi-3.5-mini phi-4 opt-6.7b opt-13b opt-30b opt-66b opt-175b gpt-2 gpt-neox-20b
    gpt-20b gpt-3-175b llama-30b falcon-7b falcon-40b falcon-180b bloom-176b starcoder2-15b
    codellama-34b yi-34b gpt-oss-20b gpt-oss-120b deepseek-v2-lite deepseek-v3 deepseek-r1 kimi-k2 glm-5
    minimax-m2 minimax-m2.5 glm-4.5 glm-4.5-air glm-4.6 qwen3-coder-480b-a35b qwen3-next-80b-a3b qwen1.5-14b
    mistral-small-3.1-24b deepseek-v2-236b dbrx-132b grok-1-314b qwen2-57b-a14b command-r-plus-104b
    nemotron-h-56b nemotron-3-nano-30b-a3b jamba-v0.1 mamba-2.8b rwkv-5-world-3b
"""


def with_config() -> list[tuple[str, Path]]:
    """Entries whose publisher's config is at hand: (name, file)."""
    stems = {path.stem: path for path in DATA.glob("*.json")}
    return [
        (name, stems[alias.replace("/", "--")])
        for name in NAMES
        for alias in catalog.model(name).aliases
        if alias.replace("/", "--") in stems
    ]


@pytest.mark.parametrize("name", REQUIRED.split())
def test_model_is_in_the_catalogue(name: str) -> None:
    """The models that papers and traces speak of have entries."""
    assert name in NAMES


@pytest.mark.parametrize("name", NAMES)
def test_entry_is_called_like_its_file_and_names_its_source(name: str) -> None:
    """One file a model, named as the model is, with the place its facts were read."""
    entry = catalog.model(name)

    assert name == entry.name
    assert len(entry.source) > 10


@pytest.mark.parametrize("name", NAMES)
def test_entry_writes_no_default(name: str) -> None:
    """A file holds facts only: each field it writes changes the model."""
    content = catalog.read(catalog.root() / "workloads/models" / f"{name}.yaml")
    whole = ModelShape.model_validate(content)

    for field in set(content) - {key for key, info in ModelShape.model_fields.items() if info.is_required()}:
        without = {key: value for key, value in content.items() if key != field}
        assert ModelShape.model_validate(without) != whole, field


@pytest.mark.parametrize("name", NAMES)
def test_entry_has_its_published_size(name: str) -> None:
    """F1 gives the published number of parameters within 1%."""
    entry = catalog.model(name)
    if entry.published_parameters is None:
        pytest.skip("no exact size is published")

    assert entry.parameters() == pytest.approx(entry.published_parameters, rel=0.01)


def test_no_alias_means_two_models() -> None:
    """An alias is a name of one model, and not another's own name."""
    aliases = [alias.lower() for name in NAMES for alias in catalog.model(name).aliases]

    assert sorted(set(aliases)) == sorted(aliases)
    assert not set(aliases) & set(NAMES)


@pytest.mark.skipif(not DATA.is_dir(), reason="the folder of published configs is not here")
@pytest.mark.parametrize(("name", "path"), with_config() if DATA.is_dir() else [])
def test_entry_equals_its_publishers_config(name: str, path: Path) -> None:
    """Reading the publisher's config.json gives the entry, but for what no config says."""
    if name in DIFFERS:
        pytest.skip(DIFFERS[name])
    entry, read = catalog.model(name), load_config(path)

    assert entry.model_dump(exclude=OWN_FACTS) == read.model_dump(exclude=OWN_FACTS)


def test_opt_13b_keeps_819200_bytes_of_kv_per_token() -> None:
    """vLLM's paper (arXiv 2309.06180, §3): 2 · 5120 · 40 · 2 B = 800 KB per token in FP16."""
    assert catalog.model("opt-13b").kv_elements_per_token() * 2 == 819_200


def test_llama_4_attends_in_chunks_but_every_fourth_layer() -> None:
    """Llama 4: 3 of 4 layers attend within chunks of 8192 tokens, the fourth to everything."""
    assert [Span("chunk", 8192), Span("full", 0)] == catalog.model("llama-4-scout").spans()


def test_hugging_face_ids_find_entries() -> None:
    """A Hugging Face id, or a variant of one, finds the entry."""
    assert catalog.model("meta-llama/Llama-3.1-8B-Instruct").name == "llama-3.1-8b"
    assert catalog.model("facebook/opt-13b").name == "opt-13b"
