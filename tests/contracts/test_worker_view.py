"""What tasks, functions and plugins see of the worker that they run on: recipes of users read these attributes."""

from __future__ import annotations

import threading
import types
from typing import Any

import pytest

from tests.contracts.gates import Gate, at_gate, inc
from tests.support.eventually import eventually


def test_a_task_knows_its_own_key(api: Any, client: Any) -> None:
    future = client.submit(lambda: api.get_worker().get_current_task(), key="who-am-i")
    assert future.result() == "who-am-i"


def test_who_is_no_task_has_no_key(client: Any) -> None:
    def ask(dask_worker: Any) -> None:
        dask_worker.get_current_task()

    with pytest.raises(KeyError):
        client.run(ask)


def test_a_worker_tells_what_its_threads_run(api: Any, client: Any) -> None:
    def look() -> Any:
        worker = api.get_worker()
        return worker.active_threads[threading.get_ident()], set(worker.active_keys)

    assert client.submit(look, key="looking-1").result() == ("looking-1", {"looking-1"})


def test_a_worker_tells_of_its_tasks(client: Any, gate: Gate) -> None:
    one = next(iter(client.scheduler_info()["workers"]))
    held = client.submit(inc, 1, key="held-1", workers=[one])
    held.result()
    running = client.submit(at_gate, gate, key="running-1", workers=[one])
    gate.wait_for_visitors(1)
    ready_soon = client.submit(at_gate, gate, key="ready-1", workers=[one])

    def look(dask_worker: Any) -> Any:
        state = dask_worker.state
        return (
            {key: task.state for key, task in state.tasks.items() if key.endswith("-1")},
            [task.key for task in state.executing],
            [task.key for task in state.ready],
            (state.executing_count, state.nthreads, state.running, dict(state.total_resources)),
        )

    def is_seen() -> bool:
        return "ready-1" in client.run(look, workers=[one])[one][0]

    eventually(is_seen, "the second has arrived")
    states, executing, ready, figures = client.run(look, workers=[one])[one]
    gate.open()
    client.gather([running, ready_soon])
    assert {"held-1": "memory", "running-1": "executing", "ready-1": "ready"}.items() <= states.items()
    assert executing == ["running-1"]
    assert ready == ["ready-1"]
    assert figures == (1, 1, True, {"GPU": 1})


def test_a_worker_tells_where_it_is(client: Any) -> None:
    def look(dask_worker: Any) -> Any:
        return (
            dask_worker.contact_address,
            dask_worker.worker_address,
            dask_worker.scheduler.address,
            dask_worker.identity()["nthreads"],
            str(dask_worker.status),
            dask_worker.nanny is None or isinstance(dask_worker.nanny, str),
            bool(dask_worker.ip),
        )

    scheduler = client.scheduler_info()["address"]
    for address, (contact, same, its_scheduler, nthreads, status, nanny, ip) in client.run(look).items():
        assert contact == same == address
        assert its_scheduler == scheduler or its_scheduler.startswith(("unix", "inproc"))
        assert nthreads == 1
        assert "running" in status
        assert nanny
        assert ip


def test_a_worker_has_an_identity_of_its_own(client: Any) -> None:
    seen = client.run(lambda dask_worker: (dask_worker.id, dask_worker.identity()["id"], dask_worker.name))
    assert all(isinstance(own, str) and own == told != str(name) for own, told, name in seen.values())
    assert len({own for own, _, _ in seen.values()}) == len(seen) == 2


def test_a_worker_tells_what_it_may_use(api: Any, keywords: Any) -> None:
    def look(dask_worker: Any) -> Any:
        memory = dask_worker.memory_manager
        fractions = memory.memory_target_fraction, memory.memory_spill_fraction, memory.memory_pause_fraction
        return memory.memory_limit, fractions, list(memory.data) == list(dask_worker.data)

    with api.Client(**keywords(n_workers=1, memory_limit="2 GiB")) as client:
        [(limit, fractions, same)] = client.run(look).values()
    assert limit == 2 * 2**30
    assert all(fraction is False or 0 < fraction < 1 for fraction in fractions)
    assert same


def test_a_worker_may_offer_more_or_less_than_before(api: Any, own: Any) -> None:
    def look(dask_worker: Any) -> Any:
        return dict(dask_worker.state.total_resources)

    async def offer(dask_worker: Any, **amounts: float) -> Any:
        return await dask_worker.set_resources(**amounts)

    cluster = own(n_workers=2, resources={"SSD": 1})
    with api.Client(cluster, set_as_default=False) as client:
        one, other = client.scheduler_info()["workers"]
        waiting = client.submit(inc, 1, resources={"GPU": 2})
        assert client.run(offer, GPU=2, workers=[one]) == {one: None}
        assert waiting.result(timeout=30) == 2
        assert set(client.who_has(waiting)[waiting.key]) == {one}
        assert client.run(look) == {one: {"SSD": 1, "GPU": 2}, other: {"SSD": 1}}
        client.run(offer, SSD=0, workers=[other])
        for number in range(4):
            future = client.submit(inc, number, resources={"SSD": 1}, pure=False)
            future.result(timeout=30)
            assert set(client.who_has(future)[future.key]) == {one}


@pytest.mark.differs("bad input")
@pytest.mark.parametrize(("amount", "error"), [(-1, ValueError), ("many", TypeError)], ids=str)
def test_what_is_no_amount_of_a_resource_is_refused(client: Any, amount: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match=r"'GPU'.*(out of range|numbers)"):
        client.run(lambda dask_worker: dask_worker.set_resources(GPU=amount))
    assert client.submit(inc, 1, resources={"GPU": 1}, pure=False).result() == 2


def test_a_worker_has_an_event_loop(client: Any) -> None:
    def look(dask_worker: Any) -> bool:
        loop = getattr(dask_worker.loop, "asyncio_loop", dask_worker.loop)
        return dask_worker.loop is dask_worker.io_loop and bool(loop.is_running())

    assert set(client.run(look).values()) == {True}


def test_a_plugin_can_be_added_to_one_worker(api: Any, client: Any) -> None:
    members = {
        "setup": lambda self, worker: setattr(worker, "added", True),
        "teardown": lambda self, worker: setattr(worker, "added", False),
    }
    plugin = types.new_class("Plugin", (api.WorkerPlugin,), exec_body=lambda space: space.update(members))()

    async def add(plugin: Any, dask_worker: Any) -> Any:
        answer = await dask_worker.plugin_add(plugin, name="alone")
        return answer["status"], "alone" in dask_worker.plugins, dask_worker.added

    async def remove(dask_worker: Any) -> Any:
        await dask_worker.plugin_remove("alone")
        return "alone" in dask_worker.plugins, dask_worker.added

    one, other = client.scheduler_info()["workers"]
    assert client.run(add, plugin, workers=[one]) == {one: ("OK", True, True)}
    assert client.run(lambda dask_worker: "alone" in dask_worker.plugins, workers=[other]) == {other: False}
    assert client.run(remove, workers=[one]) == {one: (False, False)}


@pytest.mark.differs("views")
def test_what_a_worker_does_not_tell_is_named(client: Any) -> None:
    def look(dask_worker: Any) -> Any:
        return dask_worker.batched_stream

    with pytest.raises(AttributeError, match=r"this worker has no 'batched_stream' .* there are .*state"):
        client.run(look)
    with pytest.raises(TypeError, match="stays where the worker runs; return what it tells"):
        client.run(lambda dask_worker: dask_worker.state)


@pytest.mark.differs("views")
def test_what_is_no_plugin_is_not_added(client: Any) -> None:
    async def add(dask_worker: Any) -> None:
        await dask_worker.plugin_add(5)

    with pytest.raises(TypeError, match="plugin=5 is none of a worker"):
        client.run(add)
