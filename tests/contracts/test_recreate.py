"""Tasks of the cluster's run again in this process, for a debugger."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import dask.bag as db
import pytest

from tests.contracts.gates import Mishap, fail_with, inc


@pytest.fixture(scope="module")
def remote(api: Any, package: str, keywords: Callable[..., dict[str, Any]]) -> Iterator[Any]:
    """A client that reaches its scheduler over a socket: within one process, the peer cannot do this."""
    with api.LocalCluster(**keywords(protocol="tcp")) as cluster, api.Client(cluster) as client:
        yield client


def thread_name(_: object) -> str:
    return threading.current_thread().name


@pytest.mark.differs("tasks run again here")
def test_a_task_runs_again_in_the_callers_thread(remote: Any) -> None:
    future = remote.submit(thread_name, remote.submit(inc, 1))
    here = threading.current_thread().name
    assert future.result() != here
    assert remote.recreate_task_locally(future) == here


def test_its_arguments_come_from_the_cluster(remote: Any) -> None:
    one, two = remote.map(inc, [1, 2])
    future = remote.submit(lambda pair, by: (sum(pair), by), [one, two], by={"x": one})
    assert remote.recreate_task_locally(future) == (5, {"x": 2})


def test_the_task_that_is_to_blame_is_run_for_one_that_depends_on_it(remote: Any) -> None:
    bad = remote.submit(fail_with, "boom")
    future = remote.submit(inc, remote.submit(inc, bad))
    with pytest.raises(Mishap, match="boom") as raised:
        remote.recreate_error_locally(future)
    assert raised.traceback[-1].name == "fail_with"


def test_so_it_is_for_a_collection_a_part_of_which_has_erred(remote: Any) -> None:
    kept = remote.persist(db.from_sequence([1, 2, 0], npartitions=3).map(lambda n: 6 / n))
    with pytest.raises(ZeroDivisionError):
        remote.recreate_error_locally(kept)


@pytest.mark.differs("tasks run again here")
def test_arguments_that_are_gone_are_computed_again(remote: Any) -> None:
    def fails(x: int) -> None:
        raise Mishap(f"with {x}")

    future = remote.submit(fails, remote.submit(inc, 41, pure=False))
    with pytest.raises(Mishap, match="with 42"):
        future.result()
    with pytest.raises(Mishap, match="with 42"):
        remote.recreate_error_locally(future)


@pytest.mark.differs("bad input")
def test_what_cannot_be_run_again_is_refused(remote: Any) -> None:
    with pytest.raises(ValueError, match="did not err"):
        remote.recreate_error_locally(remote.submit(inc, 1))
    with pytest.raises(ValueError, match="no task computes"):
        remote.recreate_task_locally(remote.scatter([5])[0])
    with pytest.raises(TypeError, match="future=5 is not a Future"):
        remote.recreate_task_locally(5)
