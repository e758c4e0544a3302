"""Locks, semaphores, locks of several at once, events."""

from __future__ import annotations

import pickle
import threading
from typing import Any

import pytest

from tests.contracts.gates import Gate, Tally


@pytest.fixture
def name(request: pytest.FixtureRequest) -> Any:
    return request.node.nodeid


def alone(lock: Any, tally: Tally) -> int:
    """How many are inside with us."""
    with lock:
        before = tally.count
        tally.add()
        with open(tally.path, "wb"):
            pass
        return before


def held_in_task(lock: Any, gate: Gate) -> bool:
    with lock:
        gate.pass_through()
    return True


def try_lock(lock: Any) -> bool:
    got = lock.acquire(timeout=0.05)
    if got:
        lock.release()
    return bool(got)


def test_a_lock_is_taken_and_given_back(api: Any, client: Any, name: str) -> None:
    lock = api.Lock(name)
    assert lock.name == name
    assert not lock.locked()
    assert lock.acquire() is True
    assert lock.locked()
    assert api.Lock(name).locked()
    assert lock.release() is True
    assert not lock.locked()


@pytest.mark.parametrize("name", [1, ("a", 1), b"123", 2.5])
def test_names_may_be_numbers_bytes_and_tuples(api: Any, client: Any, name: Any) -> None:
    for kind in (api.Lock, api.Semaphore):
        one, same = kind(name=name), pickle.loads(pickle.dumps(kind(name=name)))
        assert one.name == same.name == name
        assert one.acquire()
        assert not same.acquire(timeout=0.01)
        text = kind(name=repr(name))  # is another name
        assert text.acquire(timeout=10)
        text.release()
        one.release()
    several = api.MultiLock([name, "x"])
    assert several.acquire(timeout=10)
    several.release()
    event, variable, queue = api.Event(name), api.Variable(name), api.Queue(name)
    event.set()
    variable.set(1)
    queue.put(2)
    assert api.Event(name).wait(10)
    assert (api.Variable(name).get(10), api.Queue(name).get(10)) == (1, 2)
    assert (event.name, variable.name, queue.name) == (name,) * 3


def test_the_name_of_an_event_may_be_a_list(api: Any, client: Any) -> None:
    api.Event(["a", 1]).set()
    assert api.Event(("a", 1)).is_set()


def test_a_lock_without_a_name_is_its_own(api: Any, client: Any) -> None:
    assert api.Lock().name != api.Lock().name
    assert isinstance(api.Lock().name, str)


def test_who_does_not_get_the_lock_in_time_is_told_so(api: Any, client: Any, name: str) -> None:
    with api.Lock(name):
        other = api.Lock(name)
        assert other.acquire(timeout=0.01) is False
        assert other.acquire(timeout="10 ms") is False
        assert other.acquire(blocking=False) is False
    assert other.acquire(timeout=10) is True
    other.release()


def test_a_call_that_does_not_wait_has_no_timeout(api: Any, client: Any, name: str) -> None:
    with pytest.raises(ValueError, match="can't specify a timeout for a non-blocking call"):
        api.Lock(name).acquire(blocking=False, timeout=1)


def test_a_lock_that_was_not_acquired_cannot_be_released(api: Any, client: Any, name: str) -> None:
    with pytest.raises(RuntimeError, match="Released too often"):
        api.Lock(name).release()


def test_one_task_at_a_time_has_the_lock(api: Any, client: Any, name: str, tmp_path: Any) -> None:
    tally = Tally(tmp_path / "inside")
    futures = client.map(alone, [api.Lock(name)] * 6, tally=tally, pure=False)
    assert client.gather(futures) == [0] * 6


def test_a_lock_that_a_task_holds_is_taken_for_all(api: Any, client: Any, name: str, gate: Gate) -> None:
    lock = api.Lock(name)
    future = client.submit(held_in_task, lock, gate)
    gate.wait_for_visitors()
    assert not try_lock(lock)
    gate.open()
    assert future.result() is True
    assert try_lock(lock)


@pytest.mark.differs("locks go with their client")
def test_a_lock_in_a_coroutine_is_awaited(api: Any, client: Any, name: str) -> None:
    async def inside(lock: Any, semaphore: Any, queue: Any) -> Any:
        async with lock, semaphore:
            await queue.put(1)
            return await queue.get(timeout=10), await lock.locked()

    future = client.submit(inside, api.Lock(name), api.Semaphore(1, f"{name} s"), api.Queue(name))
    assert future.result() == (1, True)
    assert not api.Lock(name).locked()


def test_a_lock_is_pickled_by_its_name(api: Any, client: Any, name: str) -> None:
    copy = pickle.loads(pickle.dumps(api.Lock(name)))
    assert type(copy) is api.Lock
    assert copy.name == name


def test_a_semaphore_has_so_many_leases(api: Any, client: Any, name: str) -> None:
    semaphore = api.Semaphore(max_leases=2, name=name)
    assert semaphore.acquire() is True
    assert semaphore.get_value() == 1
    with semaphore:
        assert semaphore.get_value() == 2
        assert api.Semaphore(2, name).acquire(timeout="10 ms") is False
    assert semaphore.release() is True
    assert semaphore.get_value() == 0
    with pytest.raises(RuntimeError, match="Released too often"):
        semaphore.release()


def test_a_semaphore_has_one_number_of_leases(api: Any, client: Any, name: str) -> None:
    first = api.Semaphore(max_leases=2, name=name)
    assert first.acquire()
    with pytest.raises(ValueError, match="Inconsistent max leases: 3, expected: 2"):
        api.Semaphore(max_leases=3, name=name).acquire()
    first.release()


def test_a_semaphore_travels_into_tasks(api: Any, client: Any, name: str, tmp_path: Any) -> None:
    semaphore = pickle.loads(pickle.dumps(api.Semaphore(max_leases=1, name=name)))
    assert (semaphore.name, semaphore.max_leases) == (name, 1)
    futures = client.map(alone, [semaphore] * 4, tally=Tally(tmp_path / "inside"), pure=False)
    assert client.gather(futures) == [0] * 4


def test_a_closed_semaphore_can_be_made_anew(api: Any, client: Any, name: str) -> None:
    semaphore = api.Semaphore(max_leases=2, name=name)
    semaphore.acquire()
    semaphore.release()
    semaphore.close()
    with pytest.raises(RuntimeError):
        semaphore.acquire()
    again = api.Semaphore(max_leases=5, name=name)
    assert again.acquire()
    again.release()


def test_several_locks_are_taken_at_once(api: Any, client: Any, name: str) -> None:
    both = api.MultiLock([f"{name} a", f"{name} b"])
    assert both.acquire() is True
    assert both.locked()
    other = api.MultiLock([f"{name} b", f"{name} c"])
    assert other.acquire(timeout=0.01) is False
    assert api.MultiLock([f"{name} c"]).acquire(timeout=1) is True, "nobody holds it: the other one has given up"
    assert both.release() is None
    assert not both.locked()


def test_several_locks_are_taken_at_once_or_not_waited_for(api: Any, client: Any, name: str) -> None:
    locks, other = api.MultiLock([name, f"{name} b"]), api.MultiLock([name, f"{name} c"])
    assert locks.acquire(blocking=False) is True
    assert other.acquire(blocking=False) is False
    with pytest.raises(ValueError, match="can't specify a timeout for a non-blocking call"):
        other.acquire(blocking=False, timeout=1)
    locks.release()
    assert other.acquire(blocking=True) is True
    other.release()


def test_some_of_several_locks_may_be_enough(api: Any, client: Any, name: str) -> None:
    first = api.MultiLock([f"{name} a", f"{name} b"])
    assert first.acquire()
    other = api.MultiLock([f"{name} b", f"{name} c"])
    assert other.acquire(num_locks=1, timeout=10) is True
    other.release()
    first.release()


def test_several_locks_that_were_not_acquired_cannot_be_released(api: Any, client: Any, name: str) -> None:
    with pytest.raises(ValueError, match="not yet acquired"):
        api.MultiLock([name]).release()


def test_several_locks_in_a_with_block(api: Any, client: Any, name: str) -> None:
    with api.MultiLock([name, f"{name} b"]) as locks:
        assert locks.locked()
    assert not locks.locked()
    assert pickle.loads(pickle.dumps(locks)).names == [name, f"{name} b"]


def test_an_event_is_set_and_cleared(api: Any, client: Any, name: str) -> None:
    event, same = api.Event(name), api.Event(name)
    assert event.is_set() is False
    assert event.wait(timeout=0.01) is False
    event.set()
    assert same.is_set() is True
    assert same.wait(timeout="10 s") is True
    same.clear()
    assert event.is_set() is False
    assert pickle.loads(pickle.dumps(event)).name == name


def wait_for(event: Any) -> bool:
    return bool(event.wait(timeout=20))


def test_all_who_wait_for_an_event_go_on(api: Any, client: Any, name: str) -> None:
    event = api.Event(name)
    future = client.submit(wait_for, event)
    passed: list[bool] = []
    thread = threading.Thread(target=lambda: passed.append(api.Event(name, client).wait(20)))
    thread.start()
    event.set()
    thread.join(20)
    assert passed == [True]
    assert future.result() is True
    event.clear()


@pytest.mark.differs("bad input")
@pytest.mark.parametrize(
    ("make", "error", "says"),
    [
        (lambda api: api.Lock({5}), TypeError, r"name=\{5\}"),
        (lambda api: api.Lock("x", client="me"), TypeError, "client='me'"),
        (lambda api: api.Lock("x", loop=1), TypeError, "loop=1"),
        (lambda api: api.Semaphore(0), ValueError, "max_leases=0"),
        (lambda api: api.Semaphore("two"), TypeError, "max_leases='two'"),
        (lambda api: api.MultiLock("x"), TypeError, "names='x'"),
        (lambda api: api.MultiLock([{1}]), TypeError, r"names=\{1\}"),
        (lambda api: api.MultiLock([]).acquire(), ValueError, "at least one name"),
        (lambda api: api.MultiLock(["x"]).acquire(num_locks=2), ValueError, "num_locks=2"),
        (lambda api: api.Event(object), TypeError, "name="),
        (lambda api: api.Lock("x").acquire(timeout=-1), ValueError, "timeout=-1"),
        (lambda api: api.Event("x").wait("soon"), ValueError, "timeout='soon'"),
    ],
)
def test_bad_arguments_are_named(api: Any, client: Any, make: Any, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        make(api)


@pytest.mark.differs("locks go with their client")
def test_what_a_client_held_is_free_once_it_is_gone(api: Any, client: Any, cluster: Any, name: str) -> None:
    other = api.Client(cluster, set_as_default=False)
    held = [api.Lock(name, client=other), api.Semaphore(1, f"{name} s", client=other)]
    several = api.MultiLock([name], other)
    assert all(one.acquire() for one in (*held, several))
    assert not api.Lock(name).acquire(blocking=False)
    waiting = api.Lock(name)
    other.close()
    assert waiting.acquire(timeout=20)
    assert api.Semaphore(1, f"{name} s").acquire(timeout=20)
    assert api.MultiLock([name]).acquire(timeout=20)
    waiting.release()


@pytest.mark.differs("locks go with their object")
def test_what_an_object_held_is_free_once_it_is_gone(api: Any, client: Any, name: str) -> None:
    api.Lock(name).acquire()
    api.MultiLock([name]).acquire()
    assert api.Lock(name).acquire(timeout=20)
    assert api.MultiLock([name]).acquire(timeout=20)


@pytest.mark.differs("names in reprs")
def test_reprs_tell_the_name(api: Any, client: Any) -> None:
    assert repr(api.Lock("x")) == "<Lock: x>"
    assert repr(api.Semaphore(2, "x")) == "<Semaphore: x>"
    assert repr(api.MultiLock(["x", "y"])) == "<MultiLock: x, y>"
    assert repr(api.Event("x")) == "<Event: x>"
    assert repr(api.Queue("x")) == "<Queue: x>"
    assert repr(api.Variable("x")) == "<Variable: x>"
