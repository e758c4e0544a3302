"""joblib, and scikit-learn by it, on a cluster."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from joblib import Memory, Parallel, delayed, parallel_backend, parallel_config
from sklearn.datasets import load_iris
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
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


def test_calls_within_calls_run_on_the_cluster_too(backend: str) -> None:
    def inside() -> tuple[str, int]:
        with Parallel() as parallel:
            return type(parallel._backend).__name__, parallel.n_jobs

    with Parallel() as outside:
        assert outside(delayed(inside)() for _ in range(2)) == [(type(outside._backend).__name__, -1)] * 2


def test_who_asks_for_shared_memory_within_a_call_gets_threads(backend: str) -> None:
    def collect() -> list[int]:
        found: list[int] = []
        Parallel(n_jobs=2, require="sharedmem")(delayed(found.append)(n) for n in range(3))
        return sorted(found)

    assert Parallel()(delayed(collect)() for _ in range(2)) == [[0, 1, 2]] * 2


def in_parallel(backend: str, numbers: int) -> int:
    with parallel_config(backend):
        return sum(Parallel()(delayed(inc)(n) for n in range(numbers)))


def test_tasks_that_wait_for_calls_in_parallel_give_up_their_threads(api: Any, client: Any) -> None:
    futures = client.map(in_parallel, [BACKENDS[api.__name__]] * 5, range(5))
    assert client.gather(futures) == [0, 1, 3, 6, 10]


class Counted:
    """Counts how often it is pickled, in this process."""

    times = 0

    def __reduce__(self) -> Any:
        type(self).times += 1
        return Counted, ()

    def plus(self, n: int) -> int:
        return n + 1


def test_what_is_scattered_is_not_pickled_for_each_call(api: Any, client: Any) -> None:
    one, name = Counted(), BACKENDS[api.__name__]
    Counted.times = 0
    with parallel_config(name, scatter=[one]):
        assert Parallel()(delayed(Counted.plus)(one, n) for n in range(20)) == list(range(1, 21))
    assert Counted.times <= 2
    with parallel_backend(name, scatter=(one,)):
        assert Parallel()(delayed(Counted.plus)(one, n=n) for n in range(2)) == [1, 2]
    with pytest.raises(TypeError, match="scatter"):
        parallel_config(name, scatter=1)


def test_options_and_a_client_may_be_given(api: Any, client: Any) -> None:
    worker = next(iter(client.scheduler_info()["workers"]))
    with parallel_config(BACKENDS[api.__name__], client=client, workers=[worker], priority=1, retries=1):
        assert set(Parallel()(delayed(where)(api.__name__) for _ in range(6))) == {worker}


def where(package: str) -> str:
    return str(importlib.import_module(package).get_worker().address)


def test_a_cluster_without_workers_grows_for_it(api: Any, own: Any) -> None:
    cluster = own(n_workers=0, threads_per_worker=1)
    cluster.adapt(minimum=0, maximum=1, interval="10 ms")
    with api.Client(cluster), parallel_config(BACKENDS[api.__name__], wait_for_workers_timeout=30):
        assert Parallel()(delayed(inc)(n) for n in range(3)) == [1, 2, 3]


def test_without_workers_it_does_not_wait_for_ever(api: Any, own: Any) -> None:
    name = BACKENDS[api.__name__]
    with api.Client(own(n_workers=0)):
        with parallel_config(name, wait_for_workers_timeout=0.05), pytest.raises(TimeoutError, match="no worker after"):
            Parallel()(delayed(inc)(n) for n in range(3))
        with parallel_config(name, wait_for_workers_timeout=0), pytest.raises(RuntimeError, match="no active worker"):
            Parallel()(delayed(inc)(n) for n in range(3))


def test_forests_may_be_searched_for(backend: str, data: Any) -> None:
    def scores(n_jobs: int | None) -> Any:
        forest = RandomForestClassifier(5, random_state=0, n_jobs=n_jobs)
        return GridSearchCV(forest, {"max_depth": [1, 3]}, cv=2, n_jobs=n_jobs).fit(*data).cv_results_

    np.testing.assert_allclose(scores(-1)["mean_test_score"], scores(1)["mean_test_score"])


def test_steps_of_a_pipeline_may_be_remembered(backend: str, data: Any, tmp_path: Any) -> None:
    def scores(n_jobs: int | None) -> Any:
        memory = Memory(tmp_path / str(n_jobs), verbose=0)
        model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=500), memory=memory)
        return GridSearchCV(model, {"logisticregression__C": [0.1, 1]}, n_jobs=n_jobs).fit(*data).cv_results_

    np.testing.assert_allclose(scores(-1)["mean_test_score"], scores(1)["mean_test_score"])


@pytest.mark.differs("bad input")
def test_an_option_that_there_is_not_is_named(api: Any, client: Any) -> None:
    with pytest.raises(TypeError, match="colour='red' is no option of joblib's backend"):
        parallel_config("nbcluster", colour="red")
    with pytest.raises(TypeError, match="scatter='x' is not a list"):
        parallel_config("nbcluster", scatter="x")


@pytest.mark.differs("joblib's dask")
def test_the_backend_has_the_peers_name_as_well(api: Any, client: Any) -> None:
    with parallel_backend("dask"), Parallel() as parallel:
        assert type(parallel._backend).__name__ == "NbclusterBackend"
        assert parallel(delayed(inc)(n) for n in range(3)) == [1, 2, 3]
