"""Writes docs/reproductions.md: what papers reported, and what comes out here in the same setting.

    python benchmarks/reproductions.py ../shared/data > docs/reproductions.md
    python benchmarks/reproductions.py ../shared/data --only distserve     # one of them

The folder holds calibration/ and traces/. The same folder and program give the same page. A reproduction is a
module of benchmarks/reproduce/ with a function ``reproduce(data)``; ``NAMES`` lists them.
"""

from __future__ import annotations

import argparse
import sys
from importlib import import_module
from pathlib import Path

from reproduce.page import page

NAMES = (
    "distserve",
    "alpaserve",
    "splitwise",
    "fastgen",
    "fastgen_splitfuse",
    "sarathi_ablation",
    "sarathi_capacity",
    "vllm_paper",
    "orca_paper",
    "s3",
    "fastserve",
    "hybrid_kv",
    "prompt_cache",
    "vllm_sharing",
)
"""Modules of ``reproduce``, in the order of the page."""

HEAD = """\
# Reproductions

What papers reported of fleets and schedulers, and what comes out here in the same setting;
`benchmarks/reproductions.py` writes this page, and the misses stay in it. No number is fitted to a figure on this page,
except where a section says so. Where a setting is not published in full, the section says what was taken instead. The
limits are this page's: 25% where rates and times are compared, less where nothing but queues, routing and memory
decides, more where a setting is known in part only.
"""


def main() -> None:
    """Prints the page."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, help="folder of calibration/ and traces/")
    parser.add_argument("--only", choices=NAMES, help="one section")
    given = parser.parse_args()
    names = [given.only] if given.only else NAMES
    sections = [import_module(f"reproduce.{name}").reproduce(given.data) for name in names]
    sys.stdout.write(page(HEAD, sections))


if __name__ == "__main__":
    main()
