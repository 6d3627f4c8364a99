"""How the catalogue finds a file by name, alias, Hugging Face id or path."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent

import pytest

from llmsim.errors import CatalogError
from llmsim.files import catalog, listing

MODEL = """
    name: tiny-1b
    aliases: [tiny-org/Tiny-1B-v2]
    source: "made up for a test"
    hidden_size: 64
    vocab_size: 1000
    tied_embeddings: true
    max_position_embeddings: 2048
    layers:
      - count: 2
        mixer: {kind: attention, num_heads: 4, num_kv_heads: 2, head_dim: 16}
        ffn: {kind: dense, intermediate_size: 128}
        norm_parameters: 128
    published_parameters: 1e6
"""


def write(path: Path, text: str) -> Path:
    """A file at ``path`` holding ``text``, folders made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(dedent(text), "utf-8")
    return path


def forget() -> None:
    """Empties what the catalogue remembers."""
    for remembered in (
        catalog.accelerator,
        catalog.node,
        catalog.link,
        catalog.instance,
        catalog._catalogued_model,
        catalog._index,
    ):
        remembered.cache_clear()


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A catalogue of one's own."""
    forget()
    monkeypatch.setattr(catalog, "root", lambda: tmp_path)
    write(tmp_path / "workloads/models/tiny-1b.yaml", MODEL)
    write(tmp_path / "workloads/chat.yaml", "description: a chat\nsource: made up\nrate: 1e3\n")
    write(tmp_path / "scenarios/first.yaml", "name: first\n")
    yield tmp_path
    forget()


@pytest.mark.parametrize(
    "name", ["h100-sxm", "H100-SXM", "h100 sxm", "H100_SXM5_80GB", "NVIDIA H100 80GB HBM3"]
)
def test_spellings_of_an_accelerator(name: str) -> None:
    """Case, punctuation and aliases do not matter."""
    assert "h100-sxm" == catalog.accelerator(name).name


def test_an_exact_name_reads_one_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file's stem costs that file and no index."""
    forget()
    opened: list[str] = []
    read = catalog.read
    monkeypatch.setattr(catalog, "read", lambda path: opened.append(path.stem) or read(path))

    catalog.accelerator("l40s")

    assert ["l40s"] == opened


def test_an_entry_is_read_once() -> None:
    """A second question for the same name gives the same object."""
    assert catalog.accelerator("l40s") is catalog.accelerator("l40s")


def test_an_unknown_name_suggests_the_nearest() -> None:
    """The message quotes what was asked and names the nearest entry."""
    with pytest.raises(CatalogError, match="unknown accelerator 'h100-smx'; did you mean 'h100-sxm'"):
        catalog.accelerator("h100-smx")


@pytest.mark.parametrize("name", ["", ".", "..", "../nodes/dgx-h100", "/etc/passwd", "-"])
def test_a_name_never_leaves_its_folder(name: str) -> None:
    """Names that would be paths are unknown names."""
    with pytest.raises(CatalogError, match="unknown accelerator"):
        catalog.accelerator(name)


@pytest.mark.parametrize(
    "ref", ["tiny-1b", "Tiny 1B", "tiny-org/Tiny-1B-v2", "Tiny-1B-v2", "other/tiny-1b-Instruct", "tiny_1b_hf"]
)
@pytest.mark.usefixtures("shelf")
def test_spellings_of_a_model(ref: str) -> None:
    """A model is found by name, alias, Hugging Face id, and with suffixes that do not change its shape."""
    assert "tiny-1b" == catalog.model(ref).name


@pytest.mark.usefixtures("shelf")
def test_another_size_is_another_model() -> None:
    """A name that differs by more than a variant's suffix is unknown."""
    with pytest.raises(CatalogError, match="unknown model 'tiny-org/Tiny-10B'; did you mean 'tiny-1b'"):
        catalog.model("tiny-org/Tiny-10B")


def test_a_model_file_is_relative_to_the_scenario(shelf: Path) -> None:
    """A relative path starts at ``base_dir``."""
    write(shelf / "mine/own.yaml", MODEL)

    assert "tiny-1b" == catalog.model("own.yaml", base_dir=shelf / "mine").name


@pytest.mark.usefixtures("shelf")
def test_a_missing_model_file_is_named() -> None:
    """A path that is not there is an error about the path, not about a name."""
    with pytest.raises(CatalogError, match="no such model file"):
        catalog.model("models/absent.json")


@pytest.mark.usefixtures("shelf")
def test_numbers_are_read_as_yaml_1_2_does() -> None:
    """``1e6`` is a number."""
    assert 1e6 == catalog.model("tiny-1b").published_parameters


@pytest.mark.usefixtures("shelf")
def test_workload_profiles() -> None:
    """A profile is its file's mapping; models are no profiles."""
    assert ["chat"] == catalog.workload_profiles()
    assert 1e3 == catalog.workload_profile("chat")["rate"]


def test_scenario_path(shelf: Path) -> None:
    """A shipped scenario is found by its name."""
    assert shelf / "scenarios/first.yaml" == catalog.scenario_path("first")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("layers: [", "flow node|expected the node content|while parsing"),
        ("- a\n- b\n", "should be a mapping, but is list"),
        ("", "should be a mapping, but is NoneType"),
        (MODEL.replace("hidden_size: 64", "hidden_size: -64"), "hidden_size.*greater than 0"),
        (MODEL.replace("hidden_size: 64", "hidden_sise: 64"), "hidden_sise"),
    ],
)
def test_a_broken_file_is_a_user_error(shelf: Path, text: str, message: str) -> None:
    """What is wrong with a file is said with its path and field."""
    path = write(shelf / "broken.yaml", text)

    with pytest.raises(CatalogError, match=message) as caught:
        catalog.model(str(path))
    assert "broken.yaml" in str(caught.value)


@pytest.mark.parametrize("kind", ["accelerators", "nodes", "links", "instances"])
def test_rows_share_their_columns(kind: str) -> None:
    """A listing is a table: every row has the columns of the first, and all cells are text."""
    rows = listing.rows(kind)

    assert all(row.keys() == rows[0].keys() for row in rows)
    assert all(isinstance(cell, str) and cell for row in rows for cell in row.values())


@pytest.mark.usefixtures("shelf")
def test_rows_of_models_and_workloads() -> None:
    """Models and workload profiles list with their source."""
    assert [("tiny-1b", "made up for a test")] == [
        (row["name"], row["source"]) for row in listing.rows("models")
    ]
    assert [("chat", "made up")] == [(row["name"], row["source"]) for row in listing.rows("workloads")]


def test_an_unknown_listing_names_the_kinds() -> None:
    """Asking for a kind there is none of suggests the nearest."""
    with pytest.raises(CatalogError, match="did you mean 'accelerators'"):
        listing.rows("acelerators")
