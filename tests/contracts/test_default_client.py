from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import dask
import pytest

from tests.contracts.gates import inc
from tests.support.eventually import eventually


@pytest.fixture
def second(api: Any, cluster: Any, client: Any) -> Iterator[Any]:
    """Another client of the same cluster, made after ``client``: the newest default."""
    with_default = api.Client(cluster)
    yield with_default
    with_default.close()


def outside(function: Any) -> Any:
    """Call it where no ``with`` block applies: in a thread of its own."""
    results: list[Any] = []

    def run() -> None:
        try:
            results.append(function())
        except BaseException as error:
            results.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return results[0]


def test_the_newest_client_is_the_default(api: Any, second: Any) -> None:
    assert outside(api.default_client) is second


def test_one_whose_cluster_is_gone_is_closed_and_the_default_no_more(api: Any, client: Any, own: Any) -> None:
    cluster = own()
    newest = api.Client(cluster)
    assert outside(api.default_client) is newest
    cluster.close()
    eventually(lambda: newest.status == "closed", "the client knows")
    assert outside(api.default_client) is client
    assert outside(lambda: dask.delayed(inc)(1).compute()) == 2
    newest.close()
    assert newest.status == "closed"


def test_when_it_is_closed_the_one_before_is_the_default_again(api: Any, client: Any, cluster: Any) -> None:
    newest = api.Client(cluster)
    newest.close()
    assert outside(api.default_client) is client


def test_a_client_need_not_become_the_default(api: Any, client: Any, cluster: Any) -> None:
    with_nothing_to_say = api.Client(cluster, set_as_default=False)
    try:
        assert outside(api.default_client) is client
    finally:
        with_nothing_to_say.close()


def test_a_with_block_has_its_own_client(api: Any, client: Any, second: Any) -> None:
    with client.as_current():
        assert api.default_client() is client
        assert api.Client.current() is client
        with second.as_current():
            assert api.default_client() is second
        assert api.default_client() is client


def test_other_threads_do_not_see_the_with_block(api: Any, client: Any, second: Any) -> None:
    with client.as_current():
        assert outside(api.default_client) is second


def test_the_one_that_is_named_is_the_one(api: Any, client: Any, second: Any) -> None:
    assert api.default_client(client) is client


def test_without_the_global_default_only_the_context_counts(api: Any, client: Any, second: Any) -> None:
    with pytest.raises(ValueError, match=r"[Nn]o clients found|as_current"):
        raise outside(lambda: api.Client.current(allow_global=False))
    with second.as_current():
        assert api.Client.current(allow_global=False) is second


def test_closed_clients_are_nobodys_default(api: Any, keywords: Any) -> None:
    client = api.Client(**keywords(n_workers=1))
    with client.as_current():
        client.close()
        assert outside(lambda: api.default_client) is not client


def test_a_function_that_needs_a_client_finds_it(api: Any, client: Any, second: Any) -> None:
    with second.as_current():
        [future] = api.futures_of([api.default_client().submit(abs, -1)])
    assert future.client is second
    assert future.result() == 1


def test_a_client_that_is_named_is_the_one(api: Any, client: Any, second: Any) -> None:
    assert api.default_client(client) is client
    assert api.default_client(c=second) is second


def test_a_with_block_can_be_looked_past(api: Any, client: Any) -> None:
    with client.as_current():
        assert api.Client.current(allow_global=False) is client
    assert isinstance(outside(lambda: api.Client.current(allow_global=False)), ValueError)
