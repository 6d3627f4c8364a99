"""AlpaServe's placements and what came of them, in its authors' cluster and in their simulator."""

from __future__ import annotations

from dataclasses import dataclass

ONE_GPU_S = 0.23710373
"""BERT-2.6B on a V100, one sequence; the unit of their SLO scale. Source: ``default_slos`` in a version of
mms's equal_model_case.py; the paper's Table 1 has 238 ms."""
ALL_REDUCE_S = 0.0279
"""Of the 64 all-reduces of one sequence over four V100s: what this project's cost model charges for 2048 × 2560
fp16 activations (69.9 ms with TP4 against 168.0 / 4 on one)."""
TP4_S = ONE_GPU_S / 4 + ALL_REDUCE_S
STAGES = 8

Groups = tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class Case:
    """One line of their tables: alpa-projects/mms experiments/ablation/align_simulator_2022_12_12/res_*.tsv.

    Attributes:
        policy: Their placement algorithm.
        slo_scale: Deadline in units of :data:`ONE_GPU_S`.
        stage_s: Seconds of each pipeline stage of a group.
        groups: The models of each group.
        real, simulated: Share of the requests that met the deadline, in their cluster and in their simulator.
    """

    policy: str
    slo_scale: float
    stage_s: tuple[float, ...]
    groups: Groups
    real: float
    simulated: float


def _pairs(text: str) -> Groups:
    return tuple(tuple(int(model) for model in group.split(",")) for group in text.split())


_ONE, _TP4, _PP8 = (ONE_GPU_S,), (TP4_S,), (ONE_GPU_S / STAGES,) * STAGES

REPLICATED = (
    Case("sr-greedy", 0.5, _ONE, _pairs("0,1 " * 16), 0.0, 0.0),
    Case("sr-greedy", 1, _ONE, _pairs("0,1 " * 16), 0.0, 0.0),
    Case(
        "sr-greedy", 1.5, _ONE,
        _pairs("0,1 0,1 0,3 0,4 0,4 0,6 0,8 1,2 1,5 1,7 1,10 2,3 2,9 3,6 4,7 5,11"), 0.297, 0.302,
    ),
    Case(
        "sr-greedy", 2, _ONE,
        _pairs("0,1 0,5 0,5 0,8 0,9 0,16 1,3 1,4 1,7 1,10 2,6 2,11 2,15 3,4 3,7 4,6"), 0.369, 0.368,
    ),
    Case(
        "sr-greedy", 3, _ONE,
        _pairs("0,4 0,5 0,6 0,15 1,2 1,8 1,13 1,21 2,11 3,4 3,9 3,10 4,22 5,7 6,14 7,16"), 0.495, 0.485,
    ),
    Case(
        "sr-greedy", 5, _ONE,
        _pairs("0,1 0,2 0,6 1,5 1,20 2,14 3,11 3,13 4,15 4,16 5,7 6,17 7,19 8,21 9,12 10,22"), 0.649, 0.64,
    ),
    Case(
        "sr-greedy", 10, _ONE,
        _pairs("0,6 0,7 1,17 1,23 2,3 2,5 3,4 4,5 6,19 7,18 8,14 9,20 10,12 11,22 13,16 15,21"), 0.831, 0.826,
    ),
)  # fmt: skip
"""One GPU to a group, two models on each: nothing here is unknown."""

PIPELINED = (
    Case(
        "mp-search", 2, _PP8,
        _pairs("0,1,2,3,4,5,6,7,8,9,10,11,12,15,16,18,19,22 0,1,2,3,4,5,6,7,8,9,10,11,13,14,17,20,21,23"),
        0.79, 0.806,
    ),
    Case(
        "mp-search", 5, _PP8,
        _pairs("0,1,2,3,4,5,6,7,8,9,10,12,13,14,15,18,19,22 0,1,2,3,4,5,6,7,10,11,14,16,17,19,20,21,22,23"),
        0.976, 0.979,
    ),
)  # fmt: skip
"""Eight stages to a group, here even ones."""

TENSOR_PARALLEL = (
    Case(
        "mp-search", 0.5, _TP4,
        _pairs("0,1,2,3,4,5,6,7,9,11 0,1,2,3,4,5,6,10,14,21 0,1,2,3,4,5,7,8,16,22 0,1,2,3,4,6,7,9,13,15"),
        0.333, 0.333,
    ),
    Case(
        "mp-search", 1, _TP4,
        _pairs("0,1,2,3,4,5,6,9,12,20 0,1,2,3,4,6,8,11,13,21 0,1,2,5,7,8,9,10,19,22 0,1,3,4,5,7,10,14,15,16"),
        0.535, 0.532,
    ),
    Case(
        "mp-search", 1.5, _TP4,
        _pairs("0,1,2,3,4,6,10,13,16,22 0,1,2,3,4,9,10,11,15,18 0,1,2,4,5,7,12,14,17,23 0,1,5,6,7,8,9,19,20,21"),
        0.641, 0.647,
    ),
)  # fmt: skip
"""Four GPUs to a group, whose latency is :data:`TP4_S`."""
