"""What a user gets wrong about autoscaling: one clear message for each, and nothing is run."""

from __future__ import annotations

import pytest
from door_scenarios import SCENARIO, write_scenario

from llmsim.errors import UserError
from llmsim.files.scenario_file import load_scenario

POOL = "    accelerator: h100-sxm\n"
TRACKING = "policy: {kind: target_tracking, target_ongoing_requests: 4}"


def message(tmp_path, section, text=SCENARIO):
    """What is said of a pool whose ``autoscale`` is ``section``."""
    path = write_scenario(tmp_path, text, old=POOL, new=f"{POOL}    autoscale: {{{section}}}\n")
    with pytest.raises(UserError) as caught:
        load_scenario(path)
    return str(caught.value)


@pytest.mark.parametrize(
    ("section", "words"),
    [
        ("max_replicas: 4", "autoscale.policy: required, but missing"),
        (TRACKING, "autoscale.max_replicas: required, but missing"),
        (f"{TRACKING}, max_replicas: 4, min_replicas: 5", "is more than max_replicas (4)"),
        (f"{TRACKING}, max_replicas: 0", "max_replicas"),
        (f"{TRACKING}, max_replicas: 40000", "more than 10,000"),
        (f"{TRACKING}, min_replicas: 2, max_replicas: 4", "starts with 1, but autoscale allows 2 to 4"),
        (f"{TRACKING}, max_replicas: 4, interval_s: 0", "interval_s"),
        (f"{TRACKING}, max_replicas: 4, scale_down_delay_s: 5", "downscale_delay_s"),
        ("policy: target_traking, max_replicas: 4", "did you mean 'target_tracking'"),
        ("policy: target_tracking, max_replicas: 4", "target_ongoing_requests"),
        ("policy: forecast, max_replicas: 4", "give one of the two"),
        (
            "policy: {kind: forecast, target_ongoing_requests: 2, target_qps_per_replica: 1}, max_replicas: 4",
            "give one of the two",
        ),
        (
            "policy: {kind: forecast, target_qps_per_replica: 1, method: seasonal_naive, period_s: 5min}, "
            "max_replicas: 4",
            "shorter than look_back_period_s",
        ),
        (
            "policy: {kind: queue, upscale_threshold: 2, downscale_threshold: 3}, max_replicas: 4",
            "must be less than upscale_threshold (2)",
        ),
        (
            "policy: {kind: slo, target_attainment: 0.9, downscale_attainment: 0.5}, max_replicas: 4",
            "is less than target_attainment (0.9)",
        ),
        ("policy: {kind: scheduled, schedule: []}, max_replicas: 4", "schedule"),
        (
            "policy: {kind: scheduled, schedule: [{at: '09:00', replicas: 2}, {at: '08:00', replicas: 1}]}, "
            "max_replicas: 4",
            "goes from 09:00 to 08:00",
        ),
        (
            "policy: {kind: scheduled, schedule: [{at: '25:00', replicas: 2}]}, max_replicas: 4",
            "25:00 in the schedule is past its period_s",
        ),
        ("policy: {kind: scheduled, schedule: [{at: noon, replicas: 2}]}, max_replicas: 4", "unit of time"),
        (
            "policy: {kind: scheduled, schedule: [{at: 8h, replicas: 9}]}, max_replicas: 4",
            "9 is outside min_replicas (1) and max_replicas (4)",
        ),
    ],
)
def test_mistakes_are_told(tmp_path, section, words):
    """Each mistake of the section has its message."""
    assert words in message(tmp_path, section)


def test_an_attainment_needs_a_target(tmp_path):
    """Scaling by late first tokens needs to know what late is."""
    text = SCENARIO.replace("slo: {ttft_ms: 500}", "slo: {tpot_ms: 50}")

    assert "there is no target; write `slo: {ttft_ms" in message(
        tmp_path, "policy: slo, max_replicas: 4", text
    )


@pytest.mark.parametrize(
    ("section", "router", "words"),
    [
        (
            "policy: {kind: forecast, target_qps_per_replica: 1}",
            "round_robin",
            "pool 'other' serves the same one",
        ),
        (TRACKING, "central_queue", "one queue for all pools of a model"),
    ],
)
def test_pools_that_share_a_model_are_told_apart_or_refused(tmp_path, section, router, words):
    """What cannot tell two pools of one model apart cannot scale one of them."""
    second = "  - name: other\n    accelerator: h100-sxm\nengine:\n"
    text = SCENARIO.replace("engine:\n", second, 1) + f"router: {router}\n"

    assert words in message(tmp_path, f"{section}, max_replicas: 4", text)


@pytest.mark.parametrize("section", [TRACKING, "policy: queue, min_replicas: 0", "policy: kv_usage"])
def test_a_resolved_section_reads_back_the_same(tmp_path, section):
    """Written in full, the section means what it did."""
    path = write_scenario(tmp_path, old=POOL, new=f"{POOL}    autoscale: {{{section}, max_replicas: 4}}\n")
    scenario = load_scenario(path).scenario

    assert scenario == type(scenario).model_validate(scenario.model_dump(mode="json"))
