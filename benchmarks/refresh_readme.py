"""Put the report that README.md shows in step with what the program prints now.

python benchmarks/refresh_readme.py
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]


def main() -> None:
    """Replace the text block of README.md by the report of its first command."""
    with tempfile.TemporaryDirectory() as out:
        command = [sys.executable, "-m", "llmsim", "run", "scenarios/chatbot.yaml", "--out", f"{out}/results"]
        wide = os.environ | {"COLUMNS": "100"}
        report = subprocess.run(
            command, cwd=ROOT, env=wide, check=True, capture_output=True, text=True
        ).stdout
    readme = ROOT / "README.md"
    before, _, rest = readme.read_text().partition("\n```text\n")
    _, _, after = rest.partition("\n```\n")
    lines = "\n".join(line.rstrip() for line in report.strip().splitlines())
    readme.write_text(f"{before}\n```text\n{lines}\n```\n{after}")


if __name__ == "__main__":
    main()
