"""Clients in one stream: shares, rates, dispersion and lengths, and ServeGen's published population.

Tolerances are four standard errors, estimated from the spread over independent runs where no formula gives them.
"""

from __future__ import annotations

import json
from collections import Counter
from math import gamma, sqrt
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from workload_population import SERVEGEN, population

from llmsim.engine.request import Request
from llmsim.files.servegen import read_clients
from llmsim.spec.workload import Workload
from llmsim.workload.stream import open_stream

TWO = [
    {"name": "chat", "share": 3, "input_tokens": 100, "slo_class": "fast", "priority": -1},
    {"name": "batch", "share": 1, "input_tokens": 900, "tenant": "acme", "model": "m"},
]


def offered(seed: int = 0, **keys: Any) -> list[Request]:
    """The requests of a workload whose outputs are 20 tokens."""
    return list(open_stream(Workload.model_validate({"output_tokens": 20} | keys), seed).requests())


def test_shares_divide_the_arrivals() -> None:
    """Three quarters within four standard errors; times are those of the arrivals alone, to the bit."""
    count, arrival = 20_000, {"kind": "gamma", "request_rate": 10, "burstiness": 0.4}
    found = offered(arrival=arrival, clients=TWO, num_requests=count)
    alone = offered(arrival=arrival, input_tokens=1, num_requests=count)
    share = Counter(req.class_name for req in found)["fast"] / count

    assert abs(share - 0.75) < 4 * sqrt(0.75 * 0.25 / count)
    assert [req.arrival_s for req in alone] == [req.arrival_s for req in found]
    assert list(range(count)) == [req.id for req in found]
    assert {
        (100, "fast", "chat", -1, ""),
        (900, "default", "acme", 0, "m"),
    } == {(req.input_tokens, req.class_name, req.tenant, req.priority, req.model) for req in found}


def test_clients_with_times_of_their_own_are_merged_in_order() -> None:
    """Each has the requests it would have alone: another client moves nothing of it."""
    lengths = {"input_tokens": {"kind": "lognormal", "mean": 300, "std": 200}}
    mmpp = {"name": "a", "arrival": {"kind": "mmpp", "rates": [1, 20], "mean_stay_s": [5, 5]}, **lengths}
    even = {"name": "b", "arrival": {"kind": "constant", "request_rate": 3}, **lengths}
    both = offered(clients=[mmpp, even], duration_s=300)
    alone = {name: offered(clients=[one], duration_s=300) for name, one in (("a", mmpp), ("b", even))}

    times = [req.arrival_s for req in both]
    assert sorted(times) == times
    for name, own in alone.items():
        mine = [(req.arrival_s, req.input_tokens) for req in both if req.tenant == name]
        assert [(req.arrival_s, req.input_tokens) for req in own] == mine


def test_dispersion_of_independent_clients_adds_up() -> None:
    """Variance of counts = Σ of each one's: Poisson's 1·λ and a client of evenly spaced requests with none."""
    clients = [
        {"name": "a", "arrival": {"kind": "poisson", "request_rate": 6}, "input_tokens": 1},
        {"name": "b", "arrival": {"kind": "constant", "request_rate": 6}, "input_tokens": 1},
    ]
    ratios = []
    for seed in range(10):
        at = [req.arrival_s for req in offered(seed, clients=clients, duration_s=1500)]
        counts = np.histogram(at, np.arange(1501))[0]
        ratios.append(counts.var() / counts.mean())

    assert abs(np.mean(ratios) - 0.5) < 4 * np.std(ratios, ddof=1) / sqrt(10)


def test_a_mean_rate_scales_every_client() -> None:
    """Proportions stay; bursts come faster; sessions count by their requests."""
    clients = [
        {"name": "a", "arrival": {"kind": "poisson", "request_rate": 6}, "input_tokens": 1},
        {"name": "b", "arrival": {"kind": "burst", "size": 4, "every_s": 2}, "input_tokens": 1},
        {"name": "c", "arrival": {"kind": "constant", "request_rate": 1}, "input_tokens": 1,
         "sessions": {"turns": 2, "think_time_s": 1}},
    ]  # fmt: skip
    arrival = {"kind": "clients", "request_rate": 30}
    stream = open_stream(
        Workload.model_validate(
            {"clients": clients, "arrival": arrival, "duration_s": 400, "output_tokens": 1}
        ),
        0,
    )
    by_client = Counter(req.tenant for req in stream.requests())

    assert 30 == pytest.approx(stream.mean_rate)
    assert 3 * 6 * 400 == pytest.approx(by_client["a"], rel=0.05)
    assert (3 * 2 * 400, 3 * 1 * 400) == pytest.approx((by_client["b"], by_client["c"]), abs=4)


def test_a_populations_clients_have_their_rate_gaps_and_lengths(tmp_path: Path) -> None:
    """Gamma and Weibull gaps by the shape given, at the window's rate; lengths of the window; nobody where it is 0."""
    path = population(tmp_path)
    found = offered(output_tokens=None, clients=str(path), arrival={"kind": "clients", "rate_scale": 4})
    for name, rate, squared_cv in (
        ("g", 40.0, 1 / 0.5),
        ("w", 20.0, gamma(1 + 2 / 0.6) / gamma(1 + 1 / 0.6) ** 2 - 1),
    ):
        mine = [req for req in found if req.tenant == name]
        first = np.array([req.arrival_s for req in mine if req.arrival_s < 1000])
        gaps = np.diff(first)
        assert rate == pytest.approx(1 / gaps.mean(), rel=4 * sqrt(squared_cv / len(gaps)))
        assert squared_cv == pytest.approx(gaps.var() / gaps.mean() ** 2, rel=0.15)
        assert not [req for req in mine if 1002 < req.arrival_s < 2000]
        early, late = (
            [req.input_tokens for req in mine if (req.arrival_s < 1000) == half] for half in (True, False)
        )
        assert (10, 30) == (min(early), max(early))
        assert (1000, 3000) == (min(late), max(late))
        assert 20 == pytest.approx(np.mean(early), rel=0.02)
        assert {1} == {req.output_tokens for req in mine}, "less than a token is one"


def test_a_run_may_begin_anywhere_in_the_day(tmp_path: Path) -> None:
    """From 2000 s on the third window is the first, and the day comes round."""
    path = population(tmp_path)
    clients = {"file": str(path), "start_s": 2000.0, "num_clients": 1}
    found = offered(output_tokens=None, clients=clients, num_requests=40_000)

    assert {"g"} == {req.tenant for req in found}
    assert 1000 == min(req.input_tokens for req in found if req.arrival_s < 1000)
    assert 30 >= max(req.input_tokens for req in found if 1000 < req.arrival_s < 1990)


def test_servegens_clients_offer_their_published_rates() -> None:
    """Mean rates are the file's own; a day's requests are within 3% of them, each client's within 10%."""
    if not SERVEGEN.exists():
        pytest.skip(f"{SERVEGEN} is not here")
    category = json.loads(SERVEGEN.read_text())["categories"]["language/m-large"]
    published = {client["client"]: client["mean_rate_day1"] for client in category["clients"]}
    read = {client.name: client.mean_rate for client in read_clients(SERVEGEN, "f", "language/m-large")}
    assert published == pytest.approx(read, rel=1e-3)

    clients = {"file": str(SERVEGEN), "category": "language/m-large", "num_clients": 5}
    top = sorted(published.values(), reverse=True)[:5]
    scale = 2.0 / sum(top)
    found = offered(output_tokens=None, clients=clients, arrival={"kind": "clients", "rate_scale": scale})
    counts = Counter(req.tenant for req in found)
    for name, count in counts.items():
        assert published[name] * scale * 86400 == pytest.approx(count, rel=0.1)
    assert 2.0 * 86400 == pytest.approx(len(found), rel=0.03)


def test_sessions_of_clients_keep_apart() -> None:
    """Names, hashes and prefixes of one client are not another's, and what follows has the same owner."""
    talk = {"turns": 3, "think_time_s": 1}
    same = {"share": 1, "input_tokens": 600, "sessions": talk, "shared_prefix": {"tokens": 512}}
    clients = [same | {"name": name, "slo_class": name} for name in ("a", "b")]
    keys = {
        "arrival": {"kind": "poisson", "request_rate": 1},
        "clients": clients,
        "num_requests": 60,
        "output_tokens": 9,
    }
    found = open_stream(Workload.model_validate(keys), 0).sample(60)
    chains = {
        name: {one for req in found if req.tenant == name for one in req.hash_ids} for name in ("a", "b")
    }

    assert chains["a"]
    assert not chains["a"] & chains["b"]
    assert 60 == len(found)
    assert all(req.session_id.startswith(f"{req.tenant}-") and req.class_name == req.tenant for req in found)
