"""A small population of clients in ServeGen's form."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

SERVEGEN = Path(__file__).parents[3] / "shared/data/traces/servegen_thinned.json"


def population(folder: Path, **changes: Any) -> Path:
    """Two clients, one of them with Weibull gaps, over 3000 s: busy, silent, busy with longer prompts."""
    lengths = {
        "0": {"input_tokens": [10, 20, 30], "output_tokens": [0, 0, 0]},
        "1500": {"input_tokens": [1000, 2000, 3000], "output_tokens": [0, 0.4, 1]},
    }
    clients = [
        {
            "client": name,
            "trace": [
                [0, rate, 1, kind, shape, 1],
                [1000, 0, 0, "", None, None],
                [2000, rate, 1, kind, shape, 1],
            ],
            "lengths": lengths,
        }
        for name, rate, kind, shape in (("w", 5, "Weibull", 0.6), ("g", 10, "Gamma", 0.5))
    ]
    document = {"q": [0, 0.5, 1], "categories": {"some": {"clients": clients}}} | changes
    path = folder / "clients.json"
    path.write_text(json.dumps(document))
    return path
