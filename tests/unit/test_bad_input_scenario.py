"""Scenario files and models that cannot be run as written: one message each, with place and remedy."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from door_scenarios import CONFIG, SCENARIO, write_scenario

from llmsim.errors import ScenarioError
from llmsim.files.scenario_file import load_scenario

LAUGHS = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{key}: &{key} [{', '.join(['*' + before] * 10)}]\n"
    for before, key in zip("abcdefg", "bcdefgh", strict=True)
)
"""Eight lines that stand for 10^8 values."""


def problems_of(path: Path, *sets: str) -> list[str]:
    """Each problem as ``line:column: message``, or under the option it is about."""
    with pytest.raises(ScenarioError) as caught:
        load_scenario(path, sets)
    return [str(problem).replace(f"{path}:", "") for problem in caught.value.problems]


@pytest.mark.parametrize(
    ("expected", "old", "new"),
    [
        ("1:1: true: unknown key", "name: tiny", "true: tiny"),
        ("1:1: ~: unknown key", "name: tiny", "~: tiny"),
        ("1:1: a key is one word", "name: tiny", "[1, 2]: tiny"),
        ("7:17: '999999999999999999999999999999999999999999", "64", "9" * 5000),
        ("7:17: 'many' cannot be read as int", "64", "!!int many"),
        ("13:16: slo.ttft_ms: Input should be a number that a float can hold", "500", "1e999ms"),
        ("13:16: slo.ttft_ms: Input should be a number of ms", "500", "1e999999999ms"),
        ("13:16: slo.ttft_ms: Input should be a number of ms", "500", "1e-999999999ms"),
        ("13:16: slo.ttft_ms: Input should be a number of ms", "500", "１２ms"),
        ("2:8: model: Input should be a model's name, or a mapping", "./config.json", "5"),
        ("9:42: workload.arrival.request_rate: less than one request in 30 years", "rate: 10", "rate: 1e-320"),
        ("9:42: workload.arrival.request_rate: Input should be less than", "rate: 10", "rate: 1e308"),
        ("12:17: workload.num_requests: Input should be less than", "30", "1000000000000"),
        ("12:15: workload.duration_s: about 1e+301 requests; at most", "num_requests: 30", "duration_s: 1e300"),
        ("12:15: workload.duration_s: about 3.6e+13 requests", "num_requests: 30", "duration_s: 1e9h"),
        (
            "10:17: workload.input_tokens: only 0.00% of the draws",
            "input_tokens: 100",
            "input_tokens: {kind: lognormal, mean: 1e-3, std: 1e9, min: 5, max: 5}",
        ),
        (
            "9:44: workload.arrival.max_concurrency: Input should be less than",
            "{kind: poisson, request_rate: 10}",
            "{kind: closed, max_concurrency: 1000000000000}",
        ),
        ("6:15: fleet.0.replicas: Input should be less than", "\nengine:", "\n    replicas: 1000000000000\nengine:"),
        (
            "6:27: fleet.0.tensor_parallel_size: 3 does not divide the 8 attention heads",
            "\nengine:",
            "\n    tensor_parallel_size: 3\nengine:",
        ),
        (
            "6:29: fleet.0.pipeline_parallel_size: 5 stages are more than the 4 layers",
            "\nengine:",
            "\n    pipeline_parallel_size: 5\nengine:",
        ),
        ("6:19: fleet.0.usd_per_hour: Input should be less", "\nengine:", "\n    usd_per_hour: 1e308\nengine:"),
        (
            "8:18: engine.max_model_len: 1024 tokens are more than the KV pool holds (num_kv_tokens is 160)",
            "max_num_seqs: 64",
            "num_kv_tokens: 160\n  max_model_len: 1024",
        ),
        (
            "11:18: workload.output_tokens: 100 of prompt and 20 of output exceed num_kv_tokens (112 tokens)",
            "max_num_seqs: 64",
            "num_kv_tokens: 121",
        ),
        (
            "11:17: workload.input_tokens: 100 leaves no room for output within num_kv_tokens (100 tokens)",
            "max_num_seqs: 64",
            "kv_cache: token\n  num_kv_tokens: 100",
        ),
        (
            "10:18: workload.shared_prefix: 600 tokens leave no room for a prompt within num_kv_tokens (496 tokens)",
            "max_num_seqs: 64\nworkload:\n  arrival: {kind: poisson, request_rate: 10}\n  input_tokens: 100",
            "num_kv_tokens: 500\nworkload:\n  arrival: {kind: poisson, request_rate: 10}\n"
            "  shared_prefix: {tokens: 600}\n  input_tokens: {kind: uniform, min: 1, max: 9}",
        ),
        ("2:8: model: `assume` is for reading a config.json", "./config.json", "{name: opt-13b, assume: llama}"),
        ("7:21: engine.scheduler.kind: unknown scheduler 'vlm'", "max_num_seqs: 64", "scheduler: {kind: vlm}"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_problem_with_its_place(tmp_path: Path, expected: str, old: str, new: str) -> None:
    """No traceback, no hang, and the value that cannot be read is not complained of twice."""
    [problem] = problems_of(write_scenario(tmp_path, old=old, new=new))

    assert problem.startswith(expected)


def test_aliases_of_aliases_are_refused_at_once(tmp_path: Path) -> None:
    """Eight lines may stand for more values than any memory holds."""
    assert "holds more than 1,000,000 values" in problems_of(write_scenario(tmp_path, LAUGHS + SCENARIO))[0]


def test_keys_are_text_as_they_stand(tmp_path: Path) -> None:
    """A request class may be called 1, and '1' is the same class."""
    path = write_scenario(tmp_path, old="{ttft_ms: 500}", new="{classes: {1: {ttft_ms: 5}}}")

    assert 5 == load_scenario(path).scenario.slo.classes["1"].ttft_ms

    path = write_scenario(tmp_path, old="{ttft_ms: 500}", new="{classes: {1: {ttft_ms: 5}, '1': {}}}")

    assert ["13:34: slo.classes.1: given twice, first on line 13; keep one"] == problems_of(path)


@pytest.mark.parametrize(
    ("text", "given"), [(SCENARIO.replace("\n", "\r\n"), "CRLF"), ("\ufeff" + SCENARIO, "byte order mark")]
)
def test_windows_files_are_read(tmp_path: Path, text: str, given: str) -> None:
    """Line ends and byte order marks are no problem."""
    assert "tiny" == load_scenario(write_scenario(tmp_path, text)).scenario.name, given


@pytest.mark.parametrize(
    ("expected", "text"),
    [
        ("fleet has 1 entry, numbered from 0", "fleet.1.replicas=2"),
        ("fleet.0.-1: unknown key; known: accelerator", "fleet.-1.replicas=2"),
        ("fleet.0.²: unknown key; known: accelerator", "fleet.².replicas=2"),
        ("fleet.0." + "9" * 5000 + ": unknown key", "fleet." + "9" * 5000 + ".replicas=2"),
        ("engine.scheduler: unknown scheduler 'x'", "engine.scheduler=x"),
        ("engine.scheduler.kind: unknown scheduler 'x'", "engine.scheduler.kind=x"),
        ("a: unknown key; known: admission", "a.b.c=1"),
        ("'x' cannot be read as int", "engine.max_num_seqs=!!int x"),
    ],
)
def test_what_a_set_breaks_is_its_own_fault(tmp_path: Path, expected: str, text: str) -> None:
    """The mapping a --set makes on its way belongs to it, and one mistake is one problem."""
    [problem] = problems_of(write_scenario(tmp_path), text)

    assert problem.startswith(f"--set {text}: {expected}")


def test_file_and_sets_are_told_together(tmp_path: Path) -> None:
    """The file's problems first, each where it is."""
    path = write_scenario(tmp_path, old="500", new="5GB")
    found = problems_of(path, "fleet.replicas=0", "engine.blok=1", "bad")

    assert ["13:16", "--set bad", "--set engine.blok=1", "--set fleet.replicas=0"] == [
        found[0].split(": ")[0], *sorted(problem.split(": ")[0] for problem in found[1:])
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["~nobody-of-that-name/x", "a" * 5000, '"a\\0b"'])
@pytest.mark.parametrize("suffix", [".json", "/config.json", ".csv"])
def test_an_impossible_path_is_a_missing_file(tmp_path: Path, name: str, suffix: str) -> None:
    """Nobody's home, names longer than the file system takes, names with a zero byte."""
    file = json.dumps(name.strip('"').replace("\\0", "\0") + suffix)
    if suffix == ".csv":
        lengths = "  input_tokens: 100\n  output_tokens: 20\n  num_requests: 30\n"
        path = write_scenario(tmp_path, old=lengths, new=f"  trace: {file}\n")
    else:
        path = write_scenario(tmp_path, old="./config.json", new=file)

    assert "no such" in problems_of(path)[0]


def test_a_profile_named_as_a_trace_is_put_right(tmp_path: Path) -> None:
    """The catalogue has profiles, and no traces."""
    lengths = "  input_tokens: 100\n  output_tokens: 20\n  num_requests: 30\n"
    path = write_scenario(tmp_path, old=lengths, new="  trace: azure-2023-conversation\n")
    [problem] = problems_of(path)

    assert problem.endswith(
        "'azure-2023-conversation' is a profile: write `profile: azure-2023-conversation`"
    )


@pytest.mark.parametrize(
    ("expected", "change"),
    [
        ("'num_hidden_layers' should be a whole number of at most 10,000", {"num_hidden_layers": 10**18}),
        ("'hidden_size' should be a whole number of at most 1,000,000,000", {"hidden_size": 10**18}),
        ("'num_key_value_heads' should divide the 8 query heads, but is 3", {"num_key_value_heads": 3}),
        ("'torch_dtype' is 'float7'; known: ", {"torch_dtype": "float7"}),
        ("'quantization_config' should be a mapping, but is [1]", {"quantization_config": [1]}),
        (
            "'quantization_config' has bits that are no whole number: 'four'",
            {"quantization_config": {"quant_method": "gptq", "bits": "four"}},
        ),
        (
            "'num_experts_per_tok' asks for 8 experts per token of only 4",
            {"model_type": "mixtral", "num_local_experts": 4, "num_experts_per_tok": 8},
        ),
    ],
)
def test_a_config_that_contradicts_itself_is_refused(
    tmp_path: Path, expected: str, change: dict[str, Any]
) -> None:
    """The field is named, with what it says."""
    path = write_scenario(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps(CONFIG | change))
    [problem] = problems_of(path)

    assert problem.startswith(f"2:8: model: {tmp_path / 'config.json'}: {expected}")


@pytest.mark.parametrize("content", ["[" * 100_000, "", "{", "null", "\x80"])
def test_a_config_that_is_no_json_object_is_refused(tmp_path: Path, content: str) -> None:
    """However it is broken."""
    path = write_scenario(tmp_path)
    (tmp_path / "config.json").write_text(content, "latin-1")
    [problem] = problems_of(path)

    assert problem.startswith(f"2:8: model: {tmp_path / 'config.json'}: ")


PROFILE = """\
name: own
description: x
source: x
licence: x
derived_by: x
rate: {window_s: 10, duration_s: 10, requests_per_s: [1], burstiness: 1}
lengths: {percentiles: [0, 100], input_tokens: [[1, 5]], output_tokens: [[1, 5]]}
"""


@pytest.mark.parametrize(
    ("expected", "old", "new"),
    [
        ("p.yaml:6:18: rate.window_s: Input should be greater than 0 (got 0)", "window_s: 10", "window_s: 0"),
        ("p.yaml:6:7: rate: 10.0 s are 1e+301 windows", "window_s: 10", "window_s: 1e-300"),
        ("p.yaml:6:71: rate.burstiness: Input should be", "burstiness: 1", "burstiness: 1e-300"),
        ("p.yaml:6:55: rate.requests_per_s.0: Input should be", "[1]", "[1e300]"),
        ("p.yaml:2:1: nam: unknown key; did you mean 'name'?", "name: own", "name: own\nnam: own"),
    ],
)  # fmt: skip
def test_a_profile_of_ones_own_is_checked_like_a_scenario(
    tmp_path: Path, expected: str, old: str, new: str
) -> None:
    """With line and column."""
    from llmsim.workload.stream import open_stream

    (tmp_path / "p.yaml").write_text(PROFILE.replace(old, new, 1))
    lengths = "  arrival: {kind: poisson, request_rate: 10}\n  input_tokens: 100\n  output_tokens: 20\n"
    text = SCENARIO.replace(lengths + "  num_requests: 30\n", "  profile: p.yaml\n")
    loaded = load_scenario(write_scenario(tmp_path, text))
    with pytest.raises(ScenarioError) as caught:
        open_stream(loaded.scenario.workload, 0, loaded.base_dir)

    assert str(caught.value.problems[-1]).startswith(f"{tmp_path}/{expected}")


@pytest.mark.parametrize("change", [{"rate_scale": 1e9}, {"request_rate": 1e9}])
def test_a_profile_scaled_beyond_reason_is_refused(tmp_path: Path, change: dict[str, float]) -> None:
    """More requests than can be simulated."""
    from llmsim.workload.stream import open_stream

    text = SCENARIO.replace("{kind: poisson, request_rate: 10}", json.dumps({"kind": "profile"} | change))
    text = text.replace("  num_requests: 30\n", "  profile: azure-2023-code\n")
    for key in ("input_tokens: 100", "output_tokens: 20"):
        text = text.replace(f"  {key}\n", "")
    loaded = load_scenario(write_scenario(tmp_path, text))
    with pytest.raises(ScenarioError, match="requests; at most 100,000,000 can be simulated"):
        open_stream(loaded.scenario.workload, 0, loaded.base_dir)


def test_a_name_from_a_long_file_name_is_cut(tmp_path: Path) -> None:
    """The default name is legal whatever the file is called."""
    source = write_scenario(tmp_path, old="name: tiny\n", new="")
    names = []
    for stem in ("a" * 100, "((", "my file"):
        path = source.with_name(f"{stem}.yaml")
        path.write_text(source.read_text())
        names.append(load_scenario(path).scenario.name)

    assert ["a" * 80, "-", "my-file"] == names
