from __future__ import annotations

from typing import Any

import pytest


@pytest.fixture
def name(request: pytest.FixtureRequest) -> Any:
    return request.node.nodeid


def test_metadata_is_had_by_its_name(client: Any, name: str) -> None:
    client.set_metadata(name, 1)
    assert client.get_metadata(name) == 1
    client.set_metadata(name, [2, "two"])
    assert list(client.get_metadata(name)) == [2, "two"]


def test_names_lead_through_nested_dicts(client: Any, name: str) -> None:
    client.set_metadata([name, "x", "y"], 1)
    assert client.get_metadata(name) == {"x": {"y": 1}}
    client.set_metadata([name, "x", "z"], 2)
    assert client.get_metadata([name, "x"]) == {"y": 1, "z": 2}
    assert client.get_metadata((name, "x", "z")) == 2
    client.set_metadata(name, {"x": {"w": 3}, "empty": {}})
    assert client.get_metadata([name, "x", "w"]) == 3
    assert client.get_metadata([name, "empty"]) == {}
    client.set_metadata([name, "x", "w", "deeper"], 4)
    assert client.get_metadata(name) == {"x": {"w": {"deeper": 4}}, "empty": {}}


def test_metadata_that_is_not_there_has_a_default_or_is_an_error(client: Any, name: str) -> None:
    with pytest.raises(KeyError):
        client.get_metadata(name)
    assert client.get_metadata(name, default=5) == 5
    assert client.get_metadata([name, "x"], default=None) is None


def test_other_clients_see_it(api: Any, client: Any, cluster: Any, name: str) -> None:
    client.set_metadata(name, "text")
    with api.Client(cluster, set_as_default=False) as other:
        assert other.get_metadata(name) == "text"


@pytest.mark.differs("bad input")
def test_bad_arguments_are_named(client: Any, name: str) -> None:
    with pytest.raises(ValueError, match=r"key=\[\] is empty"):
        client.set_metadata([], 1)
    with pytest.raises(TypeError, match="is not a string"):
        client.get_metadata([{}])
    with pytest.raises(TypeError, match="holds a future"):
        client.set_metadata(name, {"x": client.submit(int)})


def test_the_scheduler_tells_it_and_keeps_it(client: Any, name: str) -> None:
    def look(dask_scheduler: Any) -> Any:
        dask_scheduler.set_metadata([name, "there"], {"a": 2})
        with pytest.raises(KeyError):
            dask_scheduler.get_metadata([name, "missing"])
        return (
            dask_scheduler.get_metadata([name, "here"]),
            dask_scheduler.get_metadata(keys=[name, "missing"], default=5),
            dask_scheduler.task_metadata[name],
        )

    client.set_metadata([name, "here"], [1])
    here, default, everything = client.run_on_scheduler(look)
    assert (list(here), default) == ([1], 5)
    assert everything.keys() == {"here", "there"}
    assert client.get_metadata([name, "there", "a"]) == 2
