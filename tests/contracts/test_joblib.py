"""joblib, and scikit-learn by it, on a cluster."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from joblib import Parallel, delayed, parallel_config
from sklearn.datasets import load_iris
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.tree import DecisionTreeClassifier

from tests.contracts.gates import Mishap, fail_with, inc

BACKENDS = {"nbcluster": "nbcluster", "distributed": "dask"}


@pytest.fixture
def backend(api: Any, client: Any) -> Iterator[str]:
    """Our backend, or the one that joblib has for the peer."""
    name = BACKENDS[api.__name__]
    with parallel_config(name):
        yield name


@pytest.fixture(scope="module")
def data() -> Any:
    return load_iris(return_X_y=True)


def test_parallel_calls_give_results_in_order(backend: str) -> None:
    assert Parallel()(delayed(inc)(n) for n in range(50)) == list(range(1, 51))
    assert Parallel()([]) == []


def test_results_can_be_taken_one_by_one(backend: str) -> None:
    assert list(Parallel(return_as="generator")(delayed(inc)(n) for n in range(9))) == list(range(1, 10))


def test_what_a_call_raises_is_raised_and_the_cluster_goes_on(backend: str) -> None:
    with pytest.raises(Mishap, match="boom") as raised:
        Parallel()(delayed(fail_with if n == 3 else inc)("boom" if n == 3 else n) for n in range(5))
    assert "fail_with" in str(raised.value.__cause__)
    assert Parallel()(delayed(inc)(n) for n in range(3)) == [1, 2, 3]


def test_large_arguments_arrive_whole(backend: str) -> None:
    array = np.arange(400_000.0)
    sums = Parallel()(delayed(np.sum)(array, keepdims=n % 2 == 0) for n in range(6))
    assert [float(np.squeeze(total)) for total in sums] == [array.sum()] * 6


def test_a_grid_search_finds_what_it_finds_in_one_process(backend: str, data: Any) -> None:
    def search() -> Any:
        grid = {"max_depth": [1, 2, 3], "criterion": ["gini", "entropy"]}
        return GridSearchCV(DecisionTreeClassifier(random_state=0), grid, cv=3)

    here = search().fit(*data)
    there = search().set_params(n_jobs=-1).fit(*data)
    assert there.best_params_ == here.best_params_
    np.testing.assert_allclose(there.cv_results_["mean_test_score"], here.cv_results_["mean_test_score"])


def test_a_forest_grows_on_the_workers(backend: str, data: Any) -> None:
    here = RandomForestClassifier(10, random_state=0).fit(*data)
    there = RandomForestClassifier(10, random_state=0, n_jobs=-1).fit(*data)
    np.testing.assert_allclose(there.predict_proba(data[0]), here.predict_proba(data[0]))


def test_cross_validation_scores_are_the_same(backend: str, data: Any) -> None:
    model = LogisticRegression(max_iter=500)
    np.testing.assert_allclose(cross_val_score(model, *data, n_jobs=-1), cross_val_score(model, *data))


def test_calls_within_calls_come_to_an_end(backend: str) -> None:
    def outer(n: int) -> int:
        return sum(Parallel(n_jobs=2)(delayed(inc)(m) for m in range(n)))

    assert Parallel()(delayed(outer)(n) for n in range(4)) == [0, 1, 3, 6]
