"""Layer times as a cost model: SpotServe's own table, values by hand, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from llmsim.cost.layer_table import TableCost, TableOptions, interpolated
from llmsim.cost.plan import Formats, ParallelPlan
from llmsim.errors import CatalogError, ScenarioError
from llmsim.files import catalog
from llmsim.files.layer_times import read_layer_times
from llmsim.spec.model import ModelShape

SPOTSERVE = Path(__file__).parents[3] / "shared" / "data" / "spot" / "spotserve"
needs_data = pytest.mark.skipif(not SPOTSERVE.is_dir(), reason="the shared profiles are not here")

TABLE: dict[str, Any] = {
    "layer_num": 5,
    "padded_layer_num": 6,
    "final_fix_factor": 2.0,
    "pp_init_comm": 7.0,
    "pp_incr_comm": 0.5,
    "embed": [1.0, 3.0],
    "tp-1": {"bsz-1": {"init": 100.0, "incr": 10.0}, "bsz-2": {"init": 200.0, "incr": 14.0}},
    "tp-2": {"bsz-1": {"init": 60.0, "incr": 6.0}, "bsz-2": {"init": 110.0, "incr": 8.0}},
}


def shape(layers: int) -> ModelShape:
    """A model of ``layers`` layers."""
    gpt = catalog.model("gpt-20b")
    return gpt.model_copy(update={"layers": [gpt.layers[0].model_copy(update={"count": layers})]})


def staged(path: Path, tp: int, pp: int, layers: int = 5) -> list[TableCost]:
    """The stages of the table at ``path``."""
    accelerator = catalog.accelerator("t4")
    options = TableOptions(path=str(path))
    return TableCost.stages(options, shape(layers), accelerator, ParallelPlan(tp, pp), Formats())


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """``TABLE`` as a file."""
    path = tmp_path / "times.json"
    path.write_text(json.dumps(TABLE))
    return path


@needs_data
@pytest.mark.parametrize(
    ("profile", "layers", "pp", "tp", "seconds"),
    [("6.7B", 32, 1, 4, 5.447), ("h6144", 44, 3, 4, 14.373), ("h7168", 48, 2, 8, 17.540)],
)
def test_one_request_takes_what_table_1_says(
    profile: str, layers: int, pp: int, tp: int, seconds: float
) -> None:
    """SpotServe (arXiv 2311.15566), Table 1: l_exe at batch 1 of OPT-6.7B, GPT-20B and LLaMA-30B, to the ms."""
    stages = staged(SPOTSERVE / f"t4x4_profile_{profile}.json", tp, pp, layers)
    prompt_s = sum(stage.tokens_s(512, 1, 1) for stage in stages)
    token_s = sum(stage.tokens_s(1, 1, 1) for stage in stages)

    assert prompt_s + 128 * token_s == pytest.approx(seconds, abs=6e-4)


def test_stages_add_up_by_hand(table: Path) -> None:
    """⌈5/2⌉ = 3 layers a stage; one hop; the embedding on the first, the output layer on the last; all doubled."""
    first, last = staged(table, tp=2, pp=2)

    assert first.tokens_s(512, 1, 1) == pytest.approx(2e-3 * (3 * 60 + 7 + 1))
    assert last.tokens_s(512, 1, 1) == pytest.approx(2e-3 * (3 * 60 + 1))
    assert first.tokens_s(2, 2, 2) == pytest.approx(2e-3 * (3 * 8 + 0.5))
    assert last.tokens_s(2, 2, 2) == pytest.approx(2e-3 * 3 * 8)


def test_times_between_batches_are_interpolated_and_prompts_count_by_their_length(table: Path) -> None:
    (stage,) = staged(table, tp=1, pp=1)

    assert interpolated({1: 1.0, 2: 3.0, 4: 4.0}, 3) == 3.5
    assert interpolated({1: 1.0, 2: 3.0}, 0.25) == 0.25
    assert stage.tokens_s(512 + 1, 2, 2) == pytest.approx(stage.tokens_s(512, 1, 1) + stage.tokens_s(1, 1, 1))
    longer = 1 + 511 * 1.5  # one prompt and a half
    assert stage.tokens_s(int(longer), 1, 1) == pytest.approx(2e-3 * (5 * 150 + 2 * 2), rel=2e-3)


def test_a_batch_beyond_the_table_is_refused(table: Path) -> None:
    (stage,) = staged(table, tp=1, pp=1)
    with pytest.raises(ScenarioError, match="a batch of 3 is beyond the table, which ends at 2"):
        stage.tokens_s(3, 3, 3)


@pytest.mark.parametrize(
    ("tp", "layers", "message"),
    [(4, 5, "no times for tensor_parallel_size 4; it has 1, 2"), (1, 7, "a model with 5 layers")],
)
def test_a_table_of_something_else_is_refused(table: Path, tp: int, layers: int, message: str) -> None:
    with pytest.raises(ScenarioError, match=message):
        staged(table, tp, 1, layers)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"layer_num": 0}, "layer_num"),
        ({"tp-1": {"bsz-1": {"init": -1.0, "incr": 1.0}}}, "tp-1.1.init"),
        ({"tp-x": {}}, "tp-x"),
        ({"layers": 5}, "layers"),
    ],
)
def test_a_wrong_table_names_the_key(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    path = tmp_path / "times.json"
    path.write_text(json.dumps(TABLE | change))
    with pytest.raises(CatalogError, match=message):
        read_layer_times(path)
    path.write_text("[1, 2]")
    with pytest.raises(CatalogError, match="holds a list"):
        read_layer_times(path)
    path.write_text("{")
    with pytest.raises(CatalogError, match="is not JSON"):
        read_layer_times(path)
