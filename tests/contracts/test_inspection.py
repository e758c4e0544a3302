from __future__ import annotations

from typing import Any

import pytest

from tests.contracts.gates import Gate, add, at_gate, inc
from tests.support.eventually import eventually


def test_who_has_names_the_workers_that_hold_results(api: Any, client: Any) -> None:
    x, y = client.map(inc, [1, 2], pure=False)
    api.wait([x, y])
    who_has = client.who_has([x, y])
    assert set(who_has) == {x.key, y.key}
    assert all(len(holders) == 1 and holders[0] in client.has_what() for holders in who_has.values())
    assert set(client.who_has()) >= {x.key, y.key}


def test_who_has_of_what_is_not_done_is_nobody(api: Any, client: Any, gate: Gate) -> None:
    future = client.submit(at_gate, gate)
    gate.wait_for_visitors()
    assert client.who_has(future) == {future.key: []}


def test_has_what_is_the_other_way_round(api: Any, client: Any) -> None:
    future = client.submit(inc, 1, pure=False)
    api.wait(future)
    [worker] = client.who_has([future])[future.key]
    assert future.key in client.has_what()[worker]
    assert set(client.has_what(workers=[worker])) == {worker}
    assert set(client.has_what()) == set(client.nthreads())


def test_both_show_themselves_as_tables(api: Any, client: Any) -> None:
    future = client.submit(inc, 1, pure=False)
    api.wait(future)
    shown: Any
    for shown in (client.who_has(), client.has_what(), client.scheduler_info()):
        assert dict in type(shown).__mro__
        assert "<table" in shown._repr_html_()
    assert future.key in client.who_has()._repr_html_()


def test_processing_tells_what_workers_have_to_run(api: Any, client: Any, gate: Gate) -> None:
    futures = client.map(at_gate, [gate] * 2, pure=False)
    gate.wait_for_visitors(2)
    keys = [key for keys in client.processing().values() for key in keys]
    assert sorted(keys) == sorted(future.key for future in futures)
    [worker, _] = client.processing()
    assert set(client.processing(workers=[worker])) == {worker}
    gate.open()
    client.gather(futures)
    assert not any(client.processing().values())


def test_nbytes_are_added_up_by_name_or_told_by_key(api: Any, client: Any) -> None:
    futures = client.map(inc, range(3), pure=False)
    api.wait(futures)
    by_key = client.nbytes([future.key for future in futures], summary=False)
    assert set(by_key) == {future.key for future in futures}
    assert client.nbytes([future.key for future in futures]) == {"inc": sum(by_key.values())}
    assert client.nbytes()["inc"] >= sum(by_key.values())


def test_call_stack_shows_where_running_tasks_are(api: Any, client: Any, gate: Gate) -> None:
    running, done = client.submit(at_gate, gate, pure=False), client.submit(inc, 1, pure=False)
    api.wait(done)
    gate.wait_for_visitors()
    for stacks in (client.call_stack(running), client.call_stack(keys=[running.key]), client.call_stack()):
        [(worker, by_key)] = stacks.items()
        assert worker in client.nthreads()
        assert list(by_key) == [running.key]
        assert isinstance(by_key[running.key], list)
        assert "pass_through" in "".join(by_key[running.key])
    assert client.call_stack(done) == {}


def test_story_tells_what_happened_to_a_key(api: Any, client: Any) -> None:
    future = client.submit(inc, 1, pure=False)
    future.result()
    story = client.story(future.key)
    of_scheduler = [line for line in story if line[0] == "scheduler"]
    assert {line[1] for line in of_scheduler} == {future.key}
    assert [line[3] for line in of_scheduler if line[3] in ("processing", "memory")] == ["processing", "memory"]
    assert all(isinstance(line[-1], float) for line in story)
    assert any(line[0] in client.nthreads() for line in story)


def test_story_takes_futures(api: Any, client: Any) -> None:
    future = client.submit(inc, 1, pure=False)
    future.result()
    assert client.story(future.key)
    assert client.story("nothing-of-that-name") == []


def test_versions_of_all_parties(api: Any, client: Any) -> None:
    versions = client.get_versions(check=True, packages=["numpy"])
    assert set(versions) == {"client", "scheduler", "workers"}
    assert set(versions["workers"]) == set(client.nthreads())
    everybody = [versions["client"], versions["scheduler"], *versions["workers"].values()]
    assert len({party["packages"]["numpy"] for party in everybody}) == 1
    assert len({party["packages"]["python"] for party in everybody}) == 1


def test_scheduler_info_counts_workers_and_threads(api: Any, client: Any) -> None:
    info = client.scheduler_info()
    assert (info["type"], info["n_workers"], info["total_threads"]) == ("Scheduler", 2, 2)
    assert set(info["workers"]) == set(client.nthreads())
    for worker in info["workers"].values():
        assert (worker["type"], worker["nthreads"]) == ("Worker", 1)
        assert {"host", "id", "last_seen", "memory_limit", "metrics", "name", "nanny"} <= set(worker)
    assert len(client.scheduler_info(n_workers=1)["workers"]) == 1
    assert client.scheduler_info(n_workers=0)["n_workers"] == 2


def test_who_has_of_a_result_that_was_asked_for_elsewhere(api: Any, client: Any) -> None:
    first, second = list(client.nthreads())
    x = client.submit(inc, 1, pure=False, workers=[first])
    y = client.submit(add, x, 1, workers=[second])
    y.result()
    assert client.who_has([y])[y.key] == [second]
    eventually(lambda: set(client.who_has([x])[x.key]) == {first, second} or client.who_has([x])[x.key] == [first], "x")


@pytest.mark.differs("bad input")
def test_unknown_workers_are_named(api: Any, client: Any) -> None:
    for ask in (client.has_what, client.processing, client.get_worker_logs):
        with pytest.raises(ValueError, match="'nobody'"):
            ask(workers=["nobody"])
    for wrong in (1.5, [None]):
        with pytest.raises(TypeError, match="workers="):
            client.has_what(wrong)
    with pytest.raises(TypeError, match="futures=3"):
        client.who_has(3)
    with pytest.raises(TypeError, match="keys="):
        client.nbytes([1])
    with pytest.raises(ValueError, match="on_error='loudly'"):
        client.story("x", on_error="loudly")
    with pytest.raises(TypeError, match="packages='numpy'"):
        client.get_versions(packages="numpy")
