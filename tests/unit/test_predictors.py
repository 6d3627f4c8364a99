"""Length predictors: how often they are right, that they are paired, and what is said once they were wrong."""

from __future__ import annotations

from collections import Counter
from math import log

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmsim import plugins
from llmsim.engine.predictors.buckets import BucketOptions, Buckets
from llmsim.engine.predictors.certain import Nothing, Oracle
from llmsim.engine.predictors.regression import Regression, RegressionOptions
from llmsim.engine.request import Request

LONGEST = 2000
COUNT = 20_000


def requests(seed=0, count=COUNT):
    outputs = np.random.default_rng(seed).integers(1, LONGEST + 1, count).tolist()
    return [Request(i, 0.0, 10, output) for i, output in enumerate(outputs)]


def bucket(tokens, size=200):
    return (tokens - 1) // size


@pytest.mark.parametrize(("preset", "accuracy"), [("s3-google-nq", 0.7713), ("s3-pile", 0.656)])
def test_s3_finds_the_bucket_as_often_as_it_reports(preset, accuracy):
    """Jin et al. 2023: 77.13% on Google-NQ, 65.6% on the Pile, of ten buckets. Within three standard errors."""
    classifier = Buckets(LONGEST, 1, BucketOptions(preset=preset))

    found = [bucket(classifier.first(req)) == bucket(req.output_tokens) for req in requests()]

    assert abs(np.mean(found) - accuracy) < 3 * (accuracy * (1 - accuracy) / COUNT) ** 0.5
    said = {classifier.first(req) for req in requests()}
    assert said == {200 * (i + 1) for i in range(10)}


def test_misses_lie_where_the_options_say():
    for misses, farthest in (("adjacent", 1), ("uniform", 9)):
        classifier = Buckets(LONGEST, 1, BucketOptions(accuracy=0.5, misses=misses))
        off = [abs(bucket(classifier.first(req)) - bucket(req.output_tokens)) for req in requests()]
        assert max(off) == farthest


def test_a_confusion_matrix_is_kept_row_by_row():
    matrix = [[0.7, 0.2, 0.1], [0.0, 1.0, 0.0], [0.25, 0.25, 0.5]]
    classifier = Buckets(LONGEST, 5, BucketOptions(edges=[100, 500, LONGEST], confusion=matrix))
    told: dict[int, Counter] = {0: Counter(), 1: Counter(), 2: Counter()}
    for req in requests():
        true = 0 if req.output_tokens <= 100 else 1 if req.output_tokens <= 500 else 2
        told[true][classifier.first(req)] += 1

    for true, counts in told.items():
        count = sum(counts.values())
        for edge, share in zip([100, 500, LONGEST], matrix[true], strict=True):
            assert abs(counts[edge] / count - share) <= 4 * (share * (1 - share) / count) ** 0.5


def test_a_regression_errs_as_its_distribution_says():
    """ln(said / true) has the bias's logarithm for its mean, and the spread, where rounding does not count."""
    regression = Regression(10**9, 2, RegressionOptions(spread=0.4, bias=0.8))
    errors = [log(regression.first(req) / req.output_tokens) for req in requests() if req.output_tokens > 500]

    assert np.mean(errors) == pytest.approx(log(0.8), abs=4 * 0.4 / len(errors) ** 0.5)
    assert np.std(errors) == pytest.approx(0.4, rel=0.03)

    normal = Regression(10**9, 2, RegressionOptions(error="normal", spread=30.0))
    errors = [normal.first(req) - req.output_tokens for req in requests() if req.output_tokens > 500]
    assert np.mean(errors) == pytest.approx(0, abs=4 * 30 / len(errors) ** 0.5)
    assert np.std(errors) == pytest.approx(30, rel=0.03)


def test_what_is_said_depends_on_request_and_seed_alone():
    """Asked in another order, of other requests in between, or by another copy: the same. Another seed: not."""
    first, again, other = (Regression(LONGEST, seed) for seed in (7, 7, 8))
    some = requests()

    said = {req.id: first.first(req) for req in some}

    assert {req.id: again.first(req) for req in reversed(some)} == said
    assert sum(other.first(req) != said[req.id] for req in some) > COUNT / 2


def test_predictors_of_one_seed_err_alike():
    """Paired: who is told too much by one spread is told more still by a larger one."""
    small, large = (Regression(10**9, 3, RegressionOptions(spread=spread)) for spread in (0.1, 1.0))
    for req in requests(count=2000):
        near, far = small.first(req) - req.output_tokens, large.first(req) - req.output_tokens
        assert near * far >= 0
        assert abs(far) >= abs(near)


PREDICTORS = (
    Nothing(LONGEST),
    Oracle(LONGEST),
    Buckets(LONGEST, 1, BucketOptions(preset="s3-pile")),
    Buckets(LONGEST, 1, BucketOptions(edges=[5, 50], accuracy=0.3, misses="uniform")),
    Regression(LONGEST, 1, RegressionOptions(spread=2.0)),
    Regression(LONGEST, 1, RegressionOptions(error="normal", spread=500.0)),
)


@given(st.sampled_from(PREDICTORS), st.integers(0, 10**5), st.integers(1, LONGEST), st.data())
def test_there_is_always_something_left_to_come(predictor, number, output, data):
    """Whatever came of a prediction, a request that goes on has at least one token before it."""
    req = Request(number, 0.0, 10, output)
    generated = data.draw(st.integers(0, output - 1))

    assert predictor.remaining(req, generated) >= 1
    assert predictor.tokens(req, generated) == predictor.remaining(req, generated) + generated
    assert 1 <= predictor.first(req) <= LONGEST


def test_what_is_exceeded_is_doubled_and_a_bucket_gives_way_to_the_next():
    req = Request(0, 0.0, 10, 1000)
    low = Regression(LONGEST, 1, RegressionOptions(spread=0.0, bias=0.1))
    assert [low.tokens(req, n) for n in (0, 99, 100, 199, 200, 799)] == [100, 100, 200, 200, 400, 800]

    classifier = Buckets(LONGEST, 1, BucketOptions(edges=[30, 70, 110]))
    req = Request(0, 0.0, 10, 20)
    assert [classifier.tokens(req, n) for n in (0, 29, 30, 69, 70, 110)] == [30, 30, 70, 70, 110, 220]


def test_every_predictor_is_on_the_list():
    assert plugins.PREDICTORS.names() == ["buckets", "none", "oracle", "regression"]
    assert all(plugins.PREDICTORS.get(name).__doc__ for name in plugins.PREDICTORS.names())


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"accuracy": 0.5, "preset": "s3-pile"}, "`accuracy` says that already"),
        ({"edges": [5, 5]}, "should rise"),
        ({"edges": [5], "longest_tokens": 9}, "the last of `edges`"),
        ({"num_buckets": 2, "confusion": [[0.5, 0.4], [0.0, 1.0]]}, "should sum to 1, not 0.9"),
        ({"num_buckets": 2, "confusion": [[1.0], [0.0, 1.0]]}, "has 1 shares; there are 2 buckets"),
        ({"num_buckets": 2, "confusion": [[0.5, 0.5]]}, "has 1 rows"),
    ],
)
def test_options_that_contradict_each_other_are_refused(keys, message):
    with pytest.raises(ValueError, match=message):
        BucketOptions(**keys)
