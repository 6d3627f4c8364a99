"""InferSim's table in the forms of the others: for accelerators that only it has timings of."""

from __future__ import annotations

from llmsim.calibrate.kernels_tables import Row, Tables

PLACES = {
    "gemm": ("op_gemm", {"dtype": "fp8"}),
    "attn_prefill": ("op_attn_prefill", {"kv_dtype": "bfloat16"}),
    "attn_decode": ("op_attn_decode", {"kv_dtype": "bfloat16"}),
}
"""InferSim's operators, and the table each belongs to; its products are DeepGEMM's, in fp8."""


def with_infersim(tables: Tables, gpu: str) -> Tables:
    """``tables``, and InferSim's timings of ``gpu`` where no other laboratory's are there. Pure query."""
    if any(row["gpu"] == gpu for name, _ in PLACES.values() for row in tables.get(name, ())):
        return tables
    added: dict[str, list[Row]] = {}
    for row in tables.get("op_infersim", ()):
        if row["gpu"] == gpu and row["op"] in PLACES and row["latency_us"]:
            name, formats = PLACES[row["op"]]
            added.setdefault(name, []).append({**row, **formats})
    return {**tables, **{name: [*tables.get(name, ()), *rows] for name, rows in added.items()}}
