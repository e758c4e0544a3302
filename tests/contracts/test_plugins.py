"""Plugins of workers, nannies and the scheduler."""

from __future__ import annotations

import asyncio
import os
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.contracts.gates import Mishap, Tally, fail_with, inc
from tests.support.eventually import eventually


def worker_plugin(api: Any, **members: Any) -> Any:
    """An object of a new class of worker plugins."""
    return types.new_class("Plugin", (api.WorkerPlugin,), exec_body=lambda space: space.update(members))()


def scheduler_plugin(api: Any, **members: Any) -> Any:
    return types.new_class("Plugin", (api.SchedulerPlugin,), exec_body=lambda space: space.update(members))()


def mark(self: Any, worker: Any) -> None:
    worker.marked = True


def unmark(self: Any, worker: Any) -> None:
    worker.marked = False


def is_marked(dask_worker: Any) -> bool:
    return bool(getattr(dask_worker, "marked", False))


def addresses(client: Any) -> set[str]:
    return set(client.scheduler_info()["workers"])


@pytest.fixture
def marked(api: Any, client: Any) -> Iterator[str]:
    """The name of a plugin that is set up on all workers, and torn down at the end."""
    results = client.register_plugin(worker_plugin(api, setup=mark, teardown=unmark), name="marker")
    assert set(results) == addresses(client)
    yield "marker"
    client.unregister_worker_plugin("marker")
    assert set(client.run(is_marked).values()) == {False}


def test_a_plugin_is_set_up_on_every_worker_and_torn_down(client: Any, marked: str) -> None:
    assert set(client.run(is_marked).values()) == {True}


def test_setup_can_be_a_coroutine(api: Any, client: Any) -> None:
    async def setup(self: Any, worker: Any) -> None:
        await asyncio.sleep(0)
        worker.set_up_by_coroutine = worker.address

    client.register_plugin(worker_plugin(api, setup=setup), name="coroutine")
    assert set(client.run(lambda dask_worker: dask_worker.set_up_by_coroutine)) == addresses(client)
    client.unregister_worker_plugin("coroutine")


def test_what_setup_raises_is_raised_here(api: Any, client: Any) -> None:
    plugin = worker_plugin(api, setup=lambda self, worker: fail_with("no way"))
    with pytest.raises(Mishap, match="no way"):
        client.register_plugin(plugin, name="failing")
    assert client.submit(inc, 1).result() == 2
    client.unregister_worker_plugin("failing")


def test_one_of_the_same_name_takes_the_place_of_the_former(api: Any, client: Any) -> None:
    def setup(self: Any, worker: Any) -> None:
        worker.count = getattr(worker, "count", 0) + 1

    def teardown(self: Any, worker: Any) -> None:
        worker.count -= 1

    plugin = worker_plugin(api, setup=setup, teardown=teardown)
    client.register_plugin(plugin, name="counted")
    client.register_plugin(plugin, name="counted")
    assert set(client.run(lambda dask_worker: dask_worker.count).values()) == {1}
    client.unregister_worker_plugin("counted")
    assert set(client.run(lambda dask_worker: dask_worker.count).values()) == {0}


def test_one_that_is_idempotent_is_set_up_once(api: Any, client: Any) -> None:
    def setup(self: Any, worker: Any) -> None:
        worker.setups = getattr(worker, "setups", 0) + 1

    plugin = worker_plugin(api, setup=setup, name="once", idempotent=True)
    client.register_plugin(plugin)
    client.register_plugin(plugin)
    assert set(client.run(lambda dask_worker: dask_worker.setups).values()) == {1}
    client.unregister_worker_plugin("once")


def test_a_worker_that_joins_later_has_it_before_its_first_task(api: Any, keywords: Any) -> None:
    def setup(self: Any, worker: Any) -> None:
        os.environ["NBCLUSTER_TEST_PLUGIN"] = worker.address

    with api.Client(**keywords(n_workers=1)) as client:
        client.register_plugin(worker_plugin(api, setup=mark))
        client.cluster.scale(3)
        client.wait_for_workers(3)
        assert list(client.run(is_marked).values()) == [True] * 3


def test_a_worker_that_joins_later_goes_on_without_a_plugin_that_fails_there(
    api: Any, keywords: Any, tmp_path: Path
) -> None:
    setups = Tally(tmp_path / "setups")

    class Picky(api.WorkerPlugin):  # type: ignore[misc]
        name = "picky"

        def setup(self, worker: Any) -> None:
            if setups.add():
                raise Mishap("only on the first")

    with api.Client(**keywords(processes=True, n_workers=1)) as client:
        first = addresses(client)
        client.register_plugin(Picky())
        client.register_plugin(worker_plugin(api, setup=mark))
        client.cluster.scale(2)
        client.wait_for_workers(2)
        assert list(client.run(is_marked).values()) == [True, True]
        [later] = addresses(client) - first
        assert client.submit(inc, 1, workers=[later]).result() == 2

        def log() -> str:
            return str(client.get_worker_logs(workers=[later]))

        eventually(lambda: "picky" in log() and "only on the first" in log(), "the log tells what failed, and why")


def test_a_plugin_is_told_of_transitions(api: Any, client: Any) -> None:
    def setup(self: Any, worker: Any) -> None:
        self.seen = worker.seen = []

    def transition(self: Any, key: str, start: str, finish: str, **kwargs: Any) -> None:
        self.seen.append((key, start, finish))

    client.register_plugin(worker_plugin(api, setup=setup, transition=transition), name="told")
    client.submit(inc, 1, key="seen-done").result()
    client.submit(fail_with, "bad", key="seen-failing").exception()

    def seen() -> set[Any]:
        found = client.run(lambda dask_worker: dask_worker.seen)
        return {line for lines in found.values() for line in lines}

    eventually(
        lambda: {("seen-done", "executing", "memory"), ("seen-failing", "executing", "error")} <= seen(),
        "both tasks were seen to end",
    )
    client.unregister_worker_plugin("told")


def test_a_function_can_be_run_once_on_each_worker(client: Any) -> None:
    def prepare(dask_worker: Any) -> None:
        dask_worker.prepared = True

    client.register_worker_callbacks(prepare)
    assert set(client.run(lambda dask_worker: dask_worker.prepared).values()) == {True}


def test_unknown_names_and_what_is_no_plugin_are_refused(api: Any, client: Any) -> None:
    with pytest.raises(ValueError, match=r"plugin '?nobody'? does not exist"):
        client.unregister_worker_plugin("nobody")
    with pytest.raises(ValueError, match="nobody"):
        client.unregister_scheduler_plugin("nobody")
    with pytest.raises(TypeError, match="duck-typed plugins is not allowed"):
        client.register_plugin(object())
    with pytest.raises(TypeError, match="instance of a plugin, not a type"):
        client.register_plugin(api.WorkerPlugin)


@pytest.mark.differs("bad input")
@pytest.mark.parametrize(
    ("members", "error", "message"),
    [
        ({"name": 5}, TypeError, "name=5 is not the name of a plugin"),
        ({"name": ""}, TypeError, "name='' is not the name of a plugin"),
        ({"idempotent": "yes"}, TypeError, "idempotent='yes' is neither True nor False"),
        ({"restart": 1}, TypeError, "restart=1 is neither True nor False"),
    ],
)
@pytest.mark.parametrize("kind", ["WorkerPlugin", "NannyPlugin"])
def test_what_a_plugin_says_of_itself_has_to_make_sense(
    api: Any, client: Any, kind: str, members: dict[str, Any], error: Any, message: str
) -> None:
    plugin = types.new_class("Plugin", (getattr(api, kind),), exec_body=lambda space: space.update(members))()
    with pytest.raises(error, match=message):
        client.register_plugin(plugin)


@pytest.mark.differs("bad input")
def test_names_of_plugins_are_texts(api: Any, client: Any) -> None:
    for name in ("", 5):
        with pytest.raises(TypeError, match=f"name={name!r} is not the name of a plugin"):
            client.register_plugin(worker_plugin(api), name=name)
        with pytest.raises(TypeError, match=f"name={name!r} is not the name of a plugin"):
            client.unregister_worker_plugin(name)
        with pytest.raises(TypeError, match=f"name={name!r} is not the name of a plugin"):
            client.unregister_scheduler_plugin(name)
    with pytest.raises(TypeError, match="nanny='yes' is neither True nor False"):
        client.unregister_worker_plugin("marker", nanny="yes")
    with pytest.raises(TypeError, match="idempotent=None is neither"):
        client.register_plugin(scheduler_plugin(api, idempotent=None))
    with pytest.raises(TypeError, match="setup=5 is not callable"):
        client.register_worker_callbacks(5)


def test_a_plugin_of_the_scheduler_is_told_of_tasks(api: Any, client: Any) -> None:
    async def start(self: Any, scheduler: Any) -> None:
        self.scheduler = scheduler
        scheduler.moves, scheduler.graphs = [], []

    def transition(self: Any, key: str, start: str, finish: str, *args: Any, **kwargs: Any) -> None:
        self.scheduler.moves.append((key, start, finish))

    def update_graph(self: Any, scheduler: Any, *, client: str, keys: Any, tasks: Any, **kwargs: Any) -> None:
        scheduler.graphs.append((set(keys), list(tasks)))

    plugin = scheduler_plugin(api, start=start, transition=transition, update_graph=update_graph)
    client.register_plugin(plugin, name="watcher")
    future = client.submit(inc, 1, key="watched")
    future.result()
    moves = client.run_on_scheduler(lambda dask_scheduler: dask_scheduler.moves)
    assert ("watched", "processing", "memory") in [tuple(move) for move in moves]
    assert ({"watched"}, ["watched"]) in client.run_on_scheduler(lambda dask_scheduler: dask_scheduler.graphs)
    client.unregister_scheduler_plugin("watcher")
    client.submit(inc, 2, key="unwatched").result()
    moves = client.run_on_scheduler(lambda dask_scheduler: dask_scheduler.moves)
    assert "unwatched" not in [move[0] for move in moves]


def test_a_plugin_of_the_scheduler_is_told_who_comes_and_goes(api: Any, keywords: Any) -> None:
    def start_sync(self: Any, scheduler: Any) -> None:
        scheduler.news = []

    async def start(self: Any, scheduler: Any) -> None:
        start_sync(self, scheduler)

    plugin = scheduler_plugin(
        api,
        start=start,
        add_worker=lambda self, scheduler, worker: scheduler.news.append("worker joined"),
        remove_worker=lambda self, scheduler, worker, **kwargs: scheduler.news.append("worker left"),
        add_client=lambda self, scheduler, client: scheduler.news.append("client joined"),
        remove_client=lambda self, scheduler, client: scheduler.news.append("client left"),
    )

    def news() -> list[str]:
        return list(client.run_on_scheduler(lambda dask_scheduler: list(dask_scheduler.news)))

    with api.Client(**keywords(n_workers=1)) as client:
        client.register_plugin(plugin)
        with api.Client(client.cluster, set_as_default=False):
            eventually(lambda: "client joined" in news(), "the other client was seen")
        eventually(lambda: "client left" in news(), "the other client was seen to leave")
        client.cluster.scale(2)
        client.wait_for_workers(2)
        assert "worker joined" in news()
        client.cluster.scale(1)
        eventually(lambda: "worker left" in news(), "the worker was seen to leave")


def test_a_plugin_of_the_scheduler_is_told_of_events(api: Any, client: Any) -> None:
    async def start(self: Any, scheduler: Any) -> None:
        self.events = scheduler.events_seen = []

    def log_event(self: Any, topic: str, msg: Any) -> None:
        self.events.append((topic, msg))

    client.register_plugin(scheduler_plugin(api, start=start, log_event=log_event), name="listening")
    client.log_event("weather", {"sun": 1})
    seen = client.run_on_scheduler(lambda dask_scheduler: dask_scheduler.events_seen)
    assert ("weather", {"sun": 1}) in [tuple(event) for event in seen]
    client.unregister_scheduler_plugin("listening")


def test_a_plugin_of_the_scheduler_says_which_workers_may_go(api: Any, keywords: Any) -> None:
    with api.Client(**keywords(n_workers=3)) as client:
        willing = sorted(addresses(client))[1]

        def choose(self: Any, scheduler: Any, workers: list[Any]) -> list[Any]:
            return [worker for worker in workers if worker.address == willing]

        client.register_plugin(scheduler_plugin(api, valid_workers_downscaling=choose))
        assert list(client.retire_workers(n=1)) == [willing]
        assert willing not in addresses(client)


@pytest.mark.differs("no nannies")
def test_a_plugin_of_nannies_is_set_up_in_the_workers(api: Any, client: Any) -> None:
    class Setting(api.NannyPlugin):  # type: ignore[misc]
        def setup(self, nanny: Any) -> None:
            nanny.env["NBCLUSTER_TEST_NANNY"] = "set"

        def teardown(self, nanny: Any) -> None:
            nanny.env.pop("NBCLUSTER_TEST_NANNY", None)

    client.register_plugin(Setting(), name="setting")
    assert set(client.run(os.getenv, "NBCLUSTER_TEST_NANNY").values()) == {"set"}
    client.unregister_worker_plugin("setting", nanny=True)
    assert set(client.run(os.getenv, "NBCLUSTER_TEST_NANNY").values()) == {None}


@pytest.mark.differs("failing plugins")
def test_a_plugin_of_the_scheduler_that_fails_harms_nobody(api: Any, client: Any) -> None:
    def transition(self: Any, key: str, start: str, finish: str, **kwargs: Any) -> None:
        raise Mishap("over a transition")

    client.register_plugin(scheduler_plugin(api, transition=transition), name="failing")
    assert client.gather(client.map(inc, range(5))) == [1, 2, 3, 4, 5]
    client.unregister_scheduler_plugin("failing")


@pytest.mark.differs("installing plugins")
def test_software_is_installed_once_for_all_workers(api: Any, client: Any, tmp_path: Any) -> None:
    log = tmp_path / "log"

    def install() -> None:
        with open(log, "a") as file:
            file.write("installed ")

    client.register_plugin(api.InstallPlugin(install))
    assert log.read_text() == "installed "
