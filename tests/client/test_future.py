"""How long futures live: on a cluster without workers, so that they stay pending."""

from __future__ import annotations

import contextvars
import gc
import weakref
from collections.abc import Iterator

import pytest

from nbcluster import Client, Future, LocalCluster, as_completed
from tests.support.eventually import eventually


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    with LocalCluster(n_workers=0, processes=False, dashboard_address=None) as cluster, Client(cluster) as client:
        yield client


class _Request:
    future: Future


_request: contextvars.ContextVar[_Request] = contextvars.ContextVar("request")


def test_a_future_that_nothing_but_its_own_context_holds_is_garbage(client: Client) -> None:
    def serve() -> weakref.ref[_Request]:
        request = _Request()
        _request.set(request)
        request.future = client.submit(abs, -1)
        return weakref.ref(request)

    request = contextvars.copy_context().run(serve)
    gc.collect()
    assert request() is None


def test_an_iteration_that_nobody_goes_on_with_keeps_no_future(client: Client) -> None:
    futures = client.map(abs, range(3))
    alive = weakref.WeakSet(futures)
    coming = as_completed(futures)
    gc.disable()
    try:
        del futures, coming
        eventually(lambda: not alive)
    finally:
        gc.enable()


def test_a_future_for_the_same_key_knows_where_it_was_first_submitted_after_the_first_is_gone(client: Client) -> None:
    first = client.submit(abs, -1)
    context = first._context
    assert context is not None
    second = Future(first.key, client)
    del first, context
    assert second._state.context is second._context is not None
