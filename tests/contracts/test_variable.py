from __future__ import annotations

import pickle
import threading
from typing import Any

import pytest

from tests.contracts.gates import inc
from tests.support.eventually import eventually


@pytest.fixture
def name(request: pytest.FixtureRequest) -> Any:
    return request.node.nodeid


def test_a_variable_has_the_latest_value(api: Any, client: Any, name: str) -> None:
    variable = api.Variable(name)
    variable.set(1)
    assert variable.get() == 1
    api.Variable(name).set({"two": 2})
    assert variable.get(timeout="10 s") == {"two": 2}


def test_a_variable_without_a_value_makes_wait(api: Any, client: Any, name: str) -> None:
    variable = api.Variable(name)
    with pytest.raises(api.TimeoutError):
        variable.get(timeout=0.01)
    got: list[Any] = []
    thread = threading.Thread(target=lambda: got.append(api.Variable(name, client).get(timeout=20)))
    thread.start()
    variable.set(5)
    thread.join(20)
    assert got == [5]


def test_a_future_keeps_its_result_while_it_is_in_a_variable(api: Any, client: Any, name: str) -> None:
    variable = api.Variable(name)
    future = client.submit(inc, 1, pure=False)
    variable.set(future)
    key = future.key
    del future
    assert variable.get().key == key
    assert variable.get().result() == 2


def test_a_variable_is_deleted_for_everybody(api: Any, client: Any, name: str) -> None:
    variable = api.Variable(name)
    variable.set(1)
    variable.delete()

    def unset() -> bool:
        try:
            api.Variable(name).get(timeout=0.01)
        except api.TimeoutError:
            return True
        return False

    eventually(unset)


def read(variable: Any) -> Any:
    return variable.get(timeout=20)


def write(variable: Any, value: Any) -> None:
    variable.set(value)


def test_tasks_read_and_write_variables(api: Any, client: Any, name: str) -> None:
    variable = api.Variable(name)
    future = client.submit(read, variable)
    client.submit(write, variable, "written").result()
    assert future.result() == "written"
    assert variable.get() == "written"


def test_a_variable_is_pickled_by_its_name(api: Any, client: Any, name: str) -> None:
    assert pickle.loads(pickle.dumps(api.Variable(name))).name == name
    assert api.Variable().name != api.Variable().name


@pytest.mark.differs("queues take anything")
def test_a_variable_may_hold_anything_with_futures_in_it(api: Any, client: Any, name: str) -> None:
    variable = api.Variable(name)
    variable.set((client.submit(inc, 1, pure=False), {3}))
    future, rest = variable.get()
    assert (future.result(), rest) == (2, {3})


@pytest.mark.differs("queues lose nothing")
def test_a_variable_outlives_who_set_it(api: Any, client: Any, cluster: Any, name: str) -> None:
    with api.Client(cluster, set_as_default=False) as other:
        api.Variable(name, other).set(other.submit(inc, 1, pure=False))
    assert api.Variable(name).get(timeout=10).result() == 2


@pytest.mark.differs("bad input")
def test_bad_arguments_are_named(api: Any, client: Any) -> None:
    with pytest.raises(TypeError, match=r"name=\[\{1\}\]"):
        api.Variable([{1}])
    with pytest.raises(ValueError, match="timeout='now'"):
        api.Variable().get(timeout="now")
    with pytest.raises(ValueError, match="timeout='then'"):
        api.Variable().set(1, timeout="then")
