"""joblib's backend: how it uses the client. What it computes is in the contract tests."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from joblib import Parallel, delayed, parallel_config

from nbcluster import Client, Future
from nbcluster.errors import FutureCancelledError

ORDERS = {
    "joblib first": "import joblib; import nbcluster.client.client",
    "nbcluster first": "import nbcluster.client.client; import joblib",
}


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    with Client(n_workers=1, threads_per_worker=2, processes=False, dashboard_address=None) as client:
        yield client


@pytest.mark.parametrize("order", ORDERS)
def test_without_a_client_it_says_what_to_do(order: str) -> None:
    code = f"""
{ORDERS[order]}
try:
    joblib.Parallel(backend="nbcluster")
except ValueError as error:
    print(error)
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "make one first: client = Client()" in run.stdout


def test_a_client_does_not_import_joblib() -> None:
    code = "import sys; import nbcluster.client.client; print('joblib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "False"


def test_it_uses_all_threads_of_the_cluster(client: Client) -> None:
    assert Parallel(backend="nbcluster")._effective_n_jobs() == 2
    assert Parallel(backend="nbcluster", n_jobs=1)._effective_n_jobs() == 2
    with pytest.raises(ValueError, match="n_jobs=0 is not allowed"):
        Parallel(backend="nbcluster", n_jobs=0)(delayed(abs)(n) for n in range(3))


def test_a_large_argument_is_scattered_once_for_all_batches(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    scattered = []
    scatter = client.scatter

    def count(data: Any, **options: Any) -> Any:
        scattered.append(data)
        return scatter(data, **options)

    monkeypatch.setattr(client, "scatter", count)
    large, small = np.ones(300_000), np.ones(3)
    with parallel_config("nbcluster"):
        results = Parallel(batch_size=2)(delayed(np.dot)(large, large) for _ in range(20))
        assert results == [300_000.0] * 20
        assert Parallel()(delayed(np.sum)(small) for _ in range(4)) == [3.0] * 4
    assert [data is large for data in scattered] == [True]


def test_arrays_that_differ_between_two_calls_are_not_confused(client: Client) -> None:
    large = np.ones(300_000)
    with parallel_config("nbcluster"):
        assert Parallel()(delayed(np.sum)(large) for _ in range(2)) == [300_000.0] * 2
        large[:] = 2
        assert Parallel()(delayed(np.sum)(large) for _ in range(2)) == [600_000.0] * 2


def test_what_somebody_else_cancels_ends_the_call(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    submit = client.submit

    def submit_and_cancel(*args: Any, **options: Any) -> Future:
        future = submit(*args, **options)
        future.cancel()
        return future

    monkeypatch.setattr(client, "submit", submit_and_cancel)
    with parallel_config("nbcluster", resources={"none has it": 1}), pytest.raises(FutureCancelledError):
        Parallel()(delayed(abs)(n) for n in range(4))


def test_what_is_left_of_a_call_that_raises_is_cancelled(client: Client) -> None:
    with parallel_config("nbcluster"), pytest.raises(ValueError, match="invalid literal"):
        Parallel(batch_size=1)(delayed(int)(text) for text in ["x"] * 50)
    assert client.submit(abs, -1).result(timeout=30) == 1
