from __future__ import annotations

import threading
from typing import Any

import pytest

from nbcluster.commands import Restart
from tests.contracts.gates import inc


@pytest.fixture
def name(request: pytest.FixtureRequest) -> Any:
    return request.node.nodeid


def test_a_published_future_is_had_by_its_name(client: Any, name: str) -> None:
    client.publish_dataset(client.submit(inc, 1, pure=False), name=name)
    assert name in client.list_datasets()
    assert client.get_dataset(name).result() == 2
    client.unpublish_dataset(name)
    assert name not in client.list_datasets()


def test_datasets_are_published_by_keyword_by_dict_and_several_at_a_time(client: Any, name: str) -> None:
    client.publish_dataset(first=1)
    client.publish_dataset({"second": [2], ("third", 3): "x"})
    client.publish_dataset(4, 5, name="fourth")
    assert [client.get_dataset(one) for one in ("first", "second", ("third", 3))] == [1, [2], "x"]
    assert client.get_dataset(["first", "second"]) == [1, [2]]
    assert tuple(client.get_dataset("fourth")) == (4, 5)
    client.unpublish_dataset(["first", "second", ("third", 3)])
    client.unpublish_dataset("fourth")
    assert not {"first", "second", ("third", 3), "fourth"} & set(client.list_datasets())


def test_a_name_that_is_taken_is_not_overridden_unless_asked_for(client: Any, name: str) -> None:
    client.publish_dataset(1, name=name)
    with pytest.raises(KeyError, match="already exists"):
        client.publish_dataset(2, name=name)
    assert client.get_dataset(name) == 1
    client.publish_dataset(3, name=name, override=True)
    assert client.get_dataset(name) == 3
    client.unpublish_dataset(name)


def test_a_dataset_that_is_not_there_has_a_default_or_is_an_error(client: Any) -> None:
    with pytest.raises(KeyError, match="nothing"):
        client.get_dataset("nothing")
    assert client.get_dataset("nothing", default=5) == 5
    assert client.get_dataset("nothing", default=None) is None
    client.unpublish_dataset("nothing")


def test_datasets_need_names(client: Any) -> None:
    with pytest.raises(ValueError, match="name"):
        client.publish_dataset(1)
    with pytest.raises(ValueError, match="name"):
        client.publish_dataset(name="nothing to publish")


@pytest.mark.differs("queues lose nothing")
def test_published_results_outlive_who_published_them(api: Any, client: Any, cluster: Any, name: str) -> None:
    other = api.Client(cluster, set_as_default=False)
    futures = other.map(inc, range(3), pure=False)
    other.publish_dataset(futures, name=name)
    del futures
    other.close()
    futures = client.get_dataset(name)
    assert client.gather(futures) == [1, 2, 3]
    client.unpublish_dataset(name)
    assert client.gather(futures) == [1, 2, 3]


def test_a_persisted_collection_is_published_whole(api: Any, client: Any, cluster: Any, name: str) -> None:
    bag = pytest.importorskip("dask.bag")
    with api.Client(cluster, set_as_default=False) as other:
        other.publish_dataset(other.persist(bag.range(10, npartitions=3)), name=name)
    back = client.get_dataset(name)
    assert client.compute(back.sum()).result() == 45
    client.unpublish_dataset(name)


def test_datasets_are_a_mapping(client: Any, name: str) -> None:
    client.datasets[name] = client.submit(inc, 5)
    assert client.datasets[name].result() == 6
    assert name in client.datasets
    assert name in list(client.datasets)
    assert len(client.datasets) == len(client.list_datasets())
    assert client.datasets.get("nothing", 5) == 5
    with pytest.raises(KeyError):
        client.datasets["nothing"]
    del client.datasets[name]
    assert name not in client.datasets


@pytest.mark.differs("all or none")
def test_if_one_name_is_taken_nothing_is_published(client: Any, name: str) -> None:
    client.publish_dataset(1, name=name)
    with pytest.raises(KeyError, match="already exists"):
        client.publish_dataset({"another": 1, name: 2})
    assert "another" not in client.list_datasets()
    client.unpublish_dataset(name)


@pytest.mark.differs("bad input")
def test_bad_arguments_are_named(api: Any, client: Any, cluster: Any) -> None:
    with pytest.raises(TypeError, match=r"name=\{1\} is not a string"):
        client.publish_dataset(1, name={1})
    with pytest.raises(TypeError, match="cannot pickle"):
        client.publish_dataset(x=threading.Lock())
    with api.Client(cluster, set_as_default=False) as other, pytest.raises(ValueError, match="another client"):
        client.publish_dataset(x=[other.submit(inc, 1)])
    assert "x" not in client.list_datasets()


@pytest.mark.differs("a restart drops futures")
def test_a_restart_keeps_what_is_plain_and_drops_what_has_futures(api: Any, keywords: Any) -> None:
    with api.Client(**keywords(n_workers=1)) as client:
        client.publish_dataset(plain=1, future=client.submit(inc, 1))
        queue, variable = api.Queue("q"), api.Variable("v")
        queue.put(client.submit(inc, 2))
        queue.put("plain")
        variable.set([client.submit(inc, 3)])
        client.set_metadata("plain", 1)
        lock = api.Lock("held")
        lock.acquire()
        client._sync(client._session.call, Restart())
        assert client.list_datasets() == ("plain",)
        assert queue.get(batch=True) == ["plain"]
        with pytest.raises(api.TimeoutError):
            variable.get(timeout=0)
        assert client.get_metadata("plain") == 1
        assert lock.locked()
        assert client.submit(inc, 1).result() == 2
