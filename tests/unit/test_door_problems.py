"""What is said about a scenario that cannot be run as written."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from door_scenarios import SCENARIO, write_scenario
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llmsim.errors import ScenarioError
from llmsim.files.scenario_file import load_scenario


def problems_of(path: Path, *sets: str, **changes: object) -> list[str]:
    """Each problem as ``line:column: message``, or under the option it is about."""
    with pytest.raises(ScenarioError) as caught:
        load_scenario(path, sets, **changes)
    return [str(problem).replace(f"{path}:", "") for problem in caught.value.problems]


@pytest.mark.parametrize(
    ("expected", "old", "new"),
    [
        (
            "6:5: fleet.0.tensor_paralel_size: unknown key; did you mean 'tensor_parallel_size' "
            "or 'data_parallel_size' or 'pipeline_parallel_size'?",
            "engine:",
            "    tensor_paralel_size: 2\nengine:",
        ),
        (
            "4:5: fleet.0.accelerator: required, but missing (or `instance`)",
            "    accelerator: h100-sxm\n",
            "",
        ),
        ("7:17: engine.max_num_seqs: Input should be a valid integer (got true)", "64", "true"),
        ("7:17: engine.max_num_seqs: Input should be a whole number: write 64 (got 64.0)", "64", "6.4e1"),
        ("7:17: engine.max_num_seqs: Input should be greater than 0 (got 0)", "64", "0"),
        ("7:17: engine.max_num_seqs: Input should be a valid integer (got 'many')", "64", "many"),
        ("7:3: engine.max_num_seq: unknown key; did you mean 'max_num_seqs'?", "max_num_seqs", "max_num_seq"),
        (
            "7:14: engine.scheduler: unknown scheduler 'chunked'; did you mean 'chunked_prefill'? "
            "(got 'chunked')",
            "max_num_seqs: 64",
            "scheduler: chunked",
        ),
        (
            "7:30: engine.kv_cache.reserv: unknown key; did you mean 'reserve'?",
            "max_num_seqs: 64",
            "kv_cache: {kind: buddy,    reserv: pow2}",
        ),
        (
            "7:26: engine.enable_prefix_caching: kv_cache 'buddy' has no blocks to share; take paged or radix or "
            "token, or write false",
            "max_num_seqs: 64",
            "enable_prefix_caching: true\n  kv_cache: buddy",
        ),
        (
            "11:18: workload.output_tokens: Input should be a valid integer or a mapping (got 'long')",
            "output_tokens: 20",
            "output_tokens: long",
        ),
        (
            "11:47: workload.output_tokens.max: Input should be a valid integer (got 'x')",
            "output_tokens: 20",
            "output_tokens: {kind: uniform, min: 1, max: x}",
        ),
        (
            "11:18: workload.output_tokens: needs a `kind`, one of: "
            "uniform, normal, lognormal, quantiles, choice",
            "output_tokens: 20",
            "output_tokens: {min: 1, max: 2}",
        ),
        (
            "7:10: engine.dtype: Input should be 'auto', 'bfloat16', 'float16' or 'float32'; did you mean "
            "'bfloat16' or 'float16' or 'float32'? (got 'bfloat1')",
            "max_num_seqs: 64",
            "dtype: bfloat1",
        ),
        (
            "9:19: workload.arrival.kind: unknown kind 'poison'; did you mean 'poisson'?",
            "poisson",
            "poison",
        ),
        (
            "9:42: workload.arrival.request_rate: Input should be greater than 0 (got 0)",
            "rate: 10",
            "rate: 0",
        ),
        (
            "9:42: workload.arrival.request_rate: Input should be greater than 0 (got -1)",
            "rate: 10",
            "rate: -1",
        ),
        (
            "9:42: workload.arrival.request_rate: Input should be a finite number (got nan)",
            "rate: 10",
            "rate: .nan",
        ),
        (
            "11:18: workload.output_tokens: Input should be greater than or equal to 1 (got 0)",
            "output_tokens: 20",
            "output_tokens: 0",
        ),
        (
            "13:16: slo.ttft_ms: Input should be a number of ms, or one with a unit of time: "
            "s, ms, us, µs, ns, min, h, d (got '5GB')",
            "500",
            "5GB",
        ),
        (
            "13:6: slo: Input should be a mapping of keys (got 'fast')",
            "{ttft_ms: 500}",
            "fast",
        ),
        (
            "4:5: fleet.0: Input should be a mapping of keys (got 'h100-sxm')",
            "name: main\n    accelerator: h100-sxm",
            "h100-sxm",
        ),
        ("1:7: name: Input should be letters, digits and . _ + - without spaces (got 'a/b')", "tiny", "a/b"),
    ],
)
def test_a_mistake_is_told_with_place_and_remedy(tmp_path: Path, expected: str, old: str, new: str) -> None:
    """Where, what, what was given, what to do."""
    assert [expected] == problems_of(write_scenario(tmp_path, old=old, new=new))


def test_unknown_catalogue_names_suggest_the_nearest(tmp_path: Path) -> None:
    """Accelerators, models and profiles."""
    path = write_scenario(tmp_path, old="h100-sxm", new="h100-sx")
    path.write_text(path.read_text().replace("./config.json", "llama-3.1-8c"))

    model, accelerator = problems_of(path)

    assert model.startswith("2:8: model: unknown model 'llama-3.1-8c'; ")
    assert accelerator.startswith(
        "5:18: fleet.0.accelerator: unknown accelerator 'h100-sx'; did you mean 'h100-sxm'"
    )


def test_all_problems_come_at_once_in_the_order_of_the_file(tmp_path: Path) -> None:
    """A duplicate key, an unknown name, a wrong unit and a bad --set, in one go."""
    text = SCENARIO.replace("h100-sxm", "h100-sxx").replace(
        "num_seqs: 64", "num_seqs: 64\n  max_num_seqs: 65"
    )
    path = write_scenario(tmp_path, text, old="500", new="5GB")

    found = problems_of(path, "engine.blok_size=8")

    assert ["5:18", "8:3", "14:16", "--set engine.blok_size=8"] == [line.split(": ")[0] for line in found]


def test_a_problem_of_a_conflict_stands_at_the_key_to_change(tmp_path: Path) -> None:
    """vLLM refuses max_num_batched_tokens < max_num_seqs; so do we, for chunked prefill."""
    path = write_scenario(tmp_path, old="engine:\n", new="engine:\n  max_num_batched_tokens: 32\n")

    assert ["7:27: engine.max_num_batched_tokens: 32 is less than max_num_seqs (64)"] == [
        line.partition(", and")[0] for line in problems_of(path)
    ]
    assert load_scenario(path, ["engine.scheduler=orca"])


def test_a_key_required_by_another_is_told_where_it_belongs(tmp_path: Path) -> None:
    """The key is not in the file, so its mapping's place is given."""
    path = write_scenario(tmp_path, old="  num_requests: 30\n", new="")

    assert [
        "9:3: workload.num_requests: required, but missing (or `duration_s`): how many requests there are"
    ] == (problems_of(path))


def test_pools_need_names_of_their_own(tmp_path: Path) -> None:
    """Results are told apart by pool."""
    path = write_scenario(tmp_path, old="engine:", new="  - {name: main, accelerator: l40s}\nengine:")

    assert ["4:11", "6:12"] == [line.split(": ")[0] for line in problems_of(path)]


@pytest.mark.parametrize(
    ("expected", "sets"),
    [
        (
            "10:17: workload.input_tokens: 100 leaves no room for output within max_model_len (100",
            ["100"],
        ),
        (
            "11:18: workload.output_tokens: 100 of prompt and 20 of output exceed max_model_len (119",
            ["119"],
        ),
    ],
)
def test_a_fixed_length_that_can_never_fit_is_an_input_error(
    tmp_path: Path, expected: str, sets: list[str]
) -> None:
    """Prompt and output together must stay within max_model_len."""
    path = write_scenario(tmp_path)
    limits = [f"engine.max_model_len={limit}" for limit in sets]

    assert [expected] == [line.partition(" tokens)")[0] for line in problems_of(path, *limits)]
    assert load_scenario(path, ["engine.max_model_len=120"])


def test_the_models_own_limit_counts_where_none_is_given(tmp_path: Path) -> None:
    """The tiny model has 2048 positions."""
    path = write_scenario(tmp_path, old="input_tokens: 100", new="input_tokens: 2029")

    assert ["11:18"] == [line.split(": ")[0] for line in problems_of(path)]
    assert load_scenario(path, ["workload.input_tokens=2028"])


def test_a_pool_that_takes_the_length_is_enough(tmp_path: Path) -> None:
    """One pool's own limit may be lower than the workload's lengths."""
    new = "    engine: {max_model_len: 50}\n  - {name: long, accelerator: h100-sxm}\nengine:"
    path = write_scenario(tmp_path, old="engine:", new=new)

    assert [50, None] == [
        scenario.engine_of(pool).max_model_len
        for scenario in [load_scenario(path).scenario]
        for pool in scenario.fleet
    ]
    assert 1 == len(problems_of(path, "fleet.1.engine.max_model_len=60"))


@pytest.mark.parametrize(
    ("expected", "text"),
    [("is empty", ""), ("is empty", "# nothing\n"), ("is a list", "- a\n"), ("is text", "hello\n")],
)
def test_a_file_that_is_no_mapping_is_one_problem(tmp_path: Path, expected: str, text: str) -> None:
    """The message says what a scenario is."""
    path = write_scenario(tmp_path, text)

    assert [f" {expected}; a scenario is a mapping with at least `model:`, `fleet:` and `workload:`"] == (
        problems_of(path)
    )


def test_a_trace_that_is_not_there_is_told_at_load(tmp_path: Path) -> None:
    """Before anything is simulated or written."""
    path = write_scenario(
        tmp_path, old="  input_tokens: 100\n  output_tokens: 20\n", new="  trace: absent.csv\n"
    )

    assert [f"10:10: workload.trace: no such file: {tmp_path / 'absent.csv'}"] == problems_of(path)


@pytest.mark.parametrize(
    ("expected", "text"),
    [
        ("write path.to.key=value, such as fleet.replicas=2", "fleet"),
        ("write path.to.key=value, such as fleet.replicas=2", ".a=1"),
        ("fleet has 1 entry, numbered from 0", "fleet.1.replicas=2"),
        ("model.path is './config.json', which has no keys; set model.path as a whole", "model.path.x=1"),
        ("not YAML: while parsing a flow sequence, expected ',' or ']', but got '<stream end>'", "slo=[1"),
        ("engine.max_num_seqs: Input should be a valid integer (got 'x')", "engine.max_num_seqs=x"),
        ("engine.max_seqs: unknown key; did you mean 'max_num_seqs'?", "engine.max_seqs=1"),
    ],
)
def test_a_wrong_set_is_named_as_the_place(tmp_path: Path, expected: str, text: str) -> None:
    """The file is not to blame for what the command line says."""
    path = write_scenario(tmp_path, old="model: ./config.json", new="model: {path: ./config.json}")

    assert [f"--set {text}: {expected}"] == problems_of(path, text)


@pytest.mark.parametrize("text", ["ttfb:200", "ttft", "ttft:"])
def test_a_wrong_goodput_names_the_metrics(tmp_path: Path, text: str) -> None:
    """The metrics are those of `vllm bench serve`, and itl."""
    path = write_scenario(tmp_path)

    assert [f"--goodput {text}: write metric:milliseconds; the metrics are ttft, tpot, e2el, itl"] == (
        problems_of(path, goodput=[text])
    )


PLACES = [
    "model", "fleet", "fleet.0", "fleet.0.replicas", "fleet.0.cost_model", "engine", "engine.scheduler",
    "workload", "workload.arrival", "workload.input_tokens", "workload.trace", "router", "slo", "slo.classes",
    "simulation.seed",
]  # fmt: skip
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.just("kind"),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(st.sampled_from(["kind", "name", "min", "trace", 5]), inner, max_size=2)
    ),
    max_leaves=4,
)


@given(place=st.sampled_from(PLACES), value=VALUES)
@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_any_value_at_any_key_is_accepted_or_explained(tmp_path: Path, place: str, value: object) -> None:
    """No value makes the reader fail in another way, and every problem has a place in the file."""
    path = write_scenario(tmp_path)
    target = data = yaml.safe_load(path.read_text())
    *outer, last = place.split(".")
    for key in outer:
        target = target[int(key)] if isinstance(target, list) else target.setdefault(key, {})
    target[int(last) if isinstance(target, list) else last] = value
    path.write_text(yaml.safe_dump(data))
    try:
        load_scenario(path)
    except ScenarioError as error:
        assert all(problem.where.startswith(f"{path}:") for problem in error.problems)
