"""The catalogue covers the table of accelerators it was started from."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from llmsim.files import catalog

TABLE = Path(__file__).parents[2].parent / "shared/data/accelerators.csv"

pytestmark = pytest.mark.skipif(
    not TABLE.is_file(), reason="shared/data/accelerators.csv is not beside the checkout"
)


def rows() -> list[dict[str, str]]:
    """The table's rows; none where it is absent."""
    if not TABLE.is_file():
        return []
    with TABLE.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("row", rows(), ids=lambda row: row["name"])
def test_every_row_is_found_by_its_name(row: dict[str, str]) -> None:
    """Each accelerator of the table is in the catalogue, from the same vendor and year."""
    item = catalog.accelerator(row["name"])

    assert (row["vendor"].lower(), row["year"]) == (item.vendor, str(item.year))


@pytest.mark.parametrize("row", rows(), ids=lambda row: row["name"])
def test_capacity_agrees_with_the_table(row: dict[str, str]) -> None:
    """Memory differs from the nominal gigabytes by no more than GB against GiB and what the driver keeps."""
    nominal = float(row["mem_gb"])

    assert 0.90 * nominal * 1e9 <= catalog.accelerator(row["name"]).memory_bytes <= 1.01 * nominal * 2**30
