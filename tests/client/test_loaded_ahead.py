"""Results that are unpickled while others are still to come."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from nbcluster import Client, LocalCluster, SubprocessCluster, wait
from nbcluster.client.loaded_ahead import LoadedAhead
from nbcluster.client.states import FutureState
from nbcluster.protocol.payload import Frame, Payload
from nbcluster.protocol.serialize import dump
from tests.contracts.gates import Gate
from tests.support.eventually import eventually

loaded = 0


class Noting:
    """Tells in whichever process it is unpickled."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __setstate__(self, state: dict[str, Any]) -> None:
        global loaded
        loaded += 1
        vars(self).update(state)


class Refusing:
    """Cannot be unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return _refuse, ()


def _refuse() -> None:
    raise RuntimeError("not here")


def done(value: object, key: str = "x") -> FutureState:
    state = FutureState(key)
    state.finish("int", 28, dump(value))
    return state


def test_what_is_there_is_loaded_up_to_the_first_that_is_not() -> None:
    states = [done(0), done(1), FutureState("pending"), done(3)]
    ahead = LoadedAhead(states)
    ahead.load()
    assert (ahead.values, list(ahead.rest)) == ([0, 1], states[2:])
    states[2].finish("int", 28, dump(2))
    ahead.load()
    assert (ahead.values, list(ahead.rest)) == ([0, 1, 2, 3], [])


def test_nothing_is_loaded_beyond_what_erred_or_is_large_or_elsewhere() -> None:
    large, elsewhere, cancelled = FutureState("large"), FutureState("elsewhere"), done(1)
    large.finish("bytes", 20_000, Payload(b"", (Frame(b"x" * 20_000),)))
    elsewhere.finish("bytes", 200_000, None)
    cancelled.cancel("cancelled", "")
    for state in (large, elsewhere, cancelled):
        ahead = LoadedAhead([done(0), state, done(2)])
        ahead.load()
        assert ahead.values == [0]


class Ending:
    """Ends what loads it."""

    ahead: LoadedAhead

    def __setstate__(self, state: object) -> None:
        Ending.ahead.end()


def test_nothing_more_is_loaded_after_its_end() -> None:
    ending = Ending()
    vars(ending)["state"] = 1
    Ending.ahead = ahead = LoadedAhead([done(0), done(ending), done(2)])
    ahead.load()
    assert len(ahead.values) == 2
    ahead.load()
    assert len(ahead.rest) == 1


def test_what_cannot_be_loaded_is_left_to_who_collects_the_rest() -> None:
    ahead = LoadedAhead([done(0), done(Refusing()), done(2)])
    ahead.load()
    ahead.load()
    assert ahead.values == [0]
    assert len(ahead.rest) == 2


@pytest.fixture(scope="module")
def client() -> Any:
    with (
        SubprocessCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        yield client


def hold(number: int, gate: Gate | None) -> Noting:
    if gate is not None:
        gate.pass_through()
    return Noting(number)


@pytest.mark.parametrize("shape", [list, tuple])
def test_results_are_loaded_while_others_are_computed(
    client: Client, tmp_path: Path, shape: Callable[[list[Any]], Any]
) -> None:
    gate, count = Gate(tmp_path / "gate"), 8 * LoadedAhead.PORTION
    client.run(hold, 0, None)  # each worker has imported what it needs: none is far behind the other
    before = loaded
    futures = client.map(hold, range(count), gate=None, pure=False)
    futures.append(client.submit(hold, count, gate, pure=False))

    def open_when_many_are_loaded() -> None:
        try:
            eventually(lambda: loaded - before >= LoadedAhead.PORTION, "many are loaded")
        finally:
            gate.open()

    thread = threading.Thread(target=open_when_many_are_loaded)
    thread.start()
    results = client.gather(shape(futures))
    thread.join()
    assert loaded - before >= count + 1
    assert type(results) is shape
    assert [result.number for result in results] == list(range(count + 1))


def test_none_is_where_the_scheduler_wants_the_same_lock(tmp_path: Path) -> None:
    gate = Gate(tmp_path / "gate")
    with (
        LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        done, pending = client.submit(abs, -1), client.submit(gate.pass_through, 2)
        wait([done])  # elsewhere it would be loaded at once, for the other is not there
        there: list[list[bool]] = []
        load = LoadedAhead.load

        def noting(ahead: LoadedAhead) -> None:
            there.append([done.done(), pending.done()])
            load(ahead)

        threading.Timer(0.05, gate.open).start()
        with patch.object(LoadedAhead, "load", noting):
            assert client.gather([done, pending]) == [1, 2]
        assert there == [[True, True]]


def fail_or_not(number: int, gate: Gate) -> int:
    if number == 2 * LoadedAhead.PORTION:
        gate.pass_through()
        raise ZeroDivisionError
    return number


def test_an_error_among_the_last_is_raised_and_what_erred_is_left_out_all_the_same(
    client: Client, tmp_path: Path
) -> None:
    gate, count = Gate(tmp_path / "gate"), 2 * LoadedAhead.PORTION + 1
    futures = client.map(fail_or_not, range(count), gate=gate)
    threading.Timer(0.05, gate.open).start()
    with pytest.raises(ZeroDivisionError):
        client.gather(futures)
    assert client.gather(futures, errors="skip") == list(range(count - 1))


def test_an_error_that_is_known_is_raised_before_anything_is_loaded(client: Client) -> None:
    futures = [*client.map(hold, range(3), gate=None), client.submit(divmod, 1, 0)]
    wait(futures)
    before = loaded
    with pytest.raises(ZeroDivisionError):
        client.gather(futures)
    assert loaded == before
    assert [result.number for result in client.gather(futures, errors="skip")] == [0, 1, 2]
