"""What the hooks of plugins are told, and when: those of the scheduler, and those of nannies."""

from __future__ import annotations

import os
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.contracts.gates import Tally, inc
from tests.support.eventually import eventually


def plugin_of(base: Any, **members: Any) -> Any:
    """An object of a new class of plugins."""
    return types.new_class("Plugin", (base,), exec_body=lambda space: space.update(members))()


def told(dask_scheduler: Any) -> list[Any]:
    """Runs in the scheduler: what plugins have noted there."""
    return list(dask_scheduler.told)


def append(path: Path, text: str) -> None:
    with path.open("a") as file:
        file.write(f"{text}\n")


async def begin(self: Any, scheduler: Any) -> None:
    self.scheduler = scheduler
    scheduler.told = []


@pytest.fixture
def own(api: Any, keywords: Any) -> Iterator[Any]:
    """A client of a cluster of its own, of one worker."""
    with api.Client(**keywords(n_workers=1)) as client:
        yield client


def test_the_scheduler_tells_what_tasks_were_submitted_with(api: Any, client: Any) -> None:
    def update_graph(
        self: Any,
        scheduler: Any,
        *,
        client: str,
        keys: Any,
        tasks: Any,
        annotations: Any,
        priority: Any,
        stimulus_id: str,
        **kwargs: Any,
    ) -> None:
        scheduler.told.append((client, set(keys), dict(annotations), dict(priority), stimulus_id))

    client.register_plugin(plugin_of(api.SchedulerPlugin, start=begin, update_graph=update_graph), name="graphs")
    address = next(iter(client.scheduler_info()["workers"]))
    client.submit(
        inc, 1, key="with-all", priority=3, retries=2, workers=[address], allow_other_workers=True, resources={"GPU": 1}
    ).result()
    client.submit(inc, 2, key="with-none").result()
    client.unregister_scheduler_plugin("graphs")
    first, second = (line for line in client.run_on_scheduler(told) if line[1] & {"with-all", "with-none"})
    assert first[0] in client.run_on_scheduler(lambda dask_scheduler: list(dask_scheduler.clients))
    assert first[2] == {
        "priority": {"with-all": 3},
        "retries": {"with-all": 2},
        "workers": {"with-all": [address]},
        "allow_other_workers": {"with-all": True},
        "resources": {"with-all": {"GPU": 1}},
    }
    assert second[2] == {}
    assert first[3]["with-all"] < second[3]["with-none"], "the smaller runs first"
    assert first[4] != second[4]


def test_tasks_are_known_when_the_scheduler_tells_of_their_submission(api: Any, client: Any) -> None:
    def update_graph(self: Any, scheduler: Any, *, client: str, keys: Any, tasks: Any, **kwargs: Any) -> None:
        for key in tasks:
            task = scheduler.tasks[key]
            scheduler.told.append((key, sorted(other.key for other in task.dependencies)))

    def transition(self: Any, key: str, start: str, finish: str, *args: Any, **kwargs: Any) -> None:
        self.scheduler.told.append((key, finish))

    hooks = {"start": begin, "update_graph": update_graph, "transition": transition}
    client.register_plugin(plugin_of(api.SchedulerPlugin, **hooks), name="known")
    first = client.submit(inc, 1, key="known-1")
    client.submit(inc, first, key="known-2").result()
    client.unregister_scheduler_plugin("known")
    lines = client.run_on_scheduler(told)
    assert ("known-1", []) in lines
    assert ("known-2", ["known-1"]) in lines
    assert lines.index(("known-2", ["known-1"])) < lines.index(("known-2", "waiting"))


def test_hooks_are_called_by_the_names_of_their_parameters(api: Any, own: Any) -> None:
    def noting(what: str) -> Any:
        def note(self: Any, worker: str = "", client: str = "", *, scheduler: Any, **kwargs: Any) -> None:
            scheduler.told.append((what, bool(worker), bool(client)))

        return note

    names = ("add_worker", "remove_worker", "add_client", "remove_client")
    own.register_plugin(plugin_of(api.SchedulerPlugin, start=begin, **{name: noting(name) for name in names}))
    with api.Client(own.cluster, set_as_default=False) as other:
        assert other.submit(inc, 1).result() == 2
    own.cluster.scale(2)
    own.wait_for_workers(2)
    own.cluster.scale(1)
    expected = {
        ("add_worker", True, False),
        ("remove_worker", True, False),
        ("add_client", False, True),
        ("remove_client", False, True),
    }
    eventually(lambda: expected <= set(own.run_on_scheduler(told)), "all were called")


def test_the_scheduler_tells_what_made_a_task_move(api: Any, client: Any) -> None:
    def transition(self: Any, key: str, start: str, finish: str, *args: Any, stimulus_id: str, **kwargs: Any) -> None:
        self.scheduler.told.append((key, start, finish, stimulus_id))

    client.register_plugin(plugin_of(api.SchedulerPlugin, start=begin, transition=transition), name="moves")
    client.submit(inc, 1, key="moving").result()
    client.unregister_scheduler_plugin("moves")
    moves = {(start, finish): why for key, start, finish, why in client.run_on_scheduler(told) if key == "moving"}
    submitted, done = moves["released", "waiting"], moves["processing", "memory"]
    assert submitted
    assert done
    assert submitted != done


def test_the_scheduler_tells_why_a_worker_left(api: Any, own: Any) -> None:
    def remove_worker(self: Any, scheduler: Any, worker: str, *, stimulus_id: str, **kwargs: Any) -> None:
        scheduler.told.append((worker, stimulus_id))

    own.register_plugin(plugin_of(api.SchedulerPlugin, start=begin, remove_worker=remove_worker))
    [address] = own.scheduler_info()["workers"]
    own.cluster.scale(0)
    [(worker, stimulus)] = eventually(lambda: own.run_on_scheduler(told), "the worker left")
    assert worker == address
    assert isinstance(stimulus, str)
    assert stimulus


def test_the_scheduler_tells_of_a_restart(api: Any, own: Any) -> None:
    def restart(self: Any, scheduler: Any) -> None:
        scheduler.told.append(("restarted", scheduler is self.scheduler))

    own.register_plugin(plugin_of(api.SchedulerPlugin, start=begin, restart=restart))
    own.restart(wait_for_workers=False)
    assert own.run_on_scheduler(told) == [("restarted", True)]


def test_the_scheduler_says_that_it_closes_and_then_closes(api: Any, keywords: Any, tmp_path: Path) -> None:
    log = tmp_path / "log"

    def noting(text: str) -> Any:
        async def note(self: Any) -> None:
            append(log, text)

        return note

    with api.Client(**keywords()) as client:
        hooks = {"before_close": noting("about to close"), "close": noting("closing")}
        client.register_plugin(plugin_of(api.SchedulerPlugin, start=begin, **hooks))
        assert not log.exists()
    assert log.read_text().splitlines() == ["about to close", "closing"]


def test_a_plugin_of_the_scheduler_that_is_idempotent_starts_once(api: Any, client: Any, tmp_path: Path) -> None:
    starts = Tally(tmp_path / "starts")

    async def start(self: Any, scheduler: Any) -> None:
        starts.add()

    once = plugin_of(api.SchedulerPlugin, start=start, name="once", idempotent=True)
    client.register_plugin(once)
    client.register_plugin(once)
    assert starts.count == 1
    again = plugin_of(api.SchedulerPlugin, start=start, name="again", idempotent=False)
    client.register_plugin(again)
    client.register_plugin(again)
    assert starts.count == 3
    client.unregister_scheduler_plugin("once")
    client.unregister_scheduler_plugin("again")


def test_a_plugin_of_nannies_is_told_whose_it_is(api: Any, keywords: Any, tmp_path: Path) -> None:
    log = tmp_path / "log"

    def setup(self: Any, nanny: Any) -> None:
        append(
            log, f"{nanny.name} {nanny.nthreads} {bool(nanny.scheduler_addr)} {os.path.isdir(nanny.local_directory)}"
        )

    with api.Client(**keywords(processes=True, n_workers=1, threads_per_worker=2)) as client:
        client.register_plugin(plugin_of(api.NannyPlugin, setup=setup))
    assert log.read_text().splitlines() == ["0 2 True True"]


def test_a_plugin_of_nannies_can_have_workers_start_afresh(api: Any, keywords: Any, tmp_path: Path) -> None:
    setups = Tally(tmp_path / "setups")

    def setup(self: Any, nanny: Any) -> None:
        setups.add()
        nanny.env["NBCLUSTER_TEST_HOOK"] = "set before it started"

    with api.Client(**keywords(processes=True, n_workers=1)) as client:
        before = set(client.run(os.getpid).values())
        plugin = plugin_of(api.NannyPlugin, setup=setup, restart=True, idempotent=True)
        client.register_plugin(plugin, name="fresh")
        client.wait_for_workers(1)
        assert set(client.run(os.getenv, "NBCLUSTER_TEST_HOOK").values()) == {"set before it started"}
        after = set(client.run(os.getpid).values())
        assert not before & after
        so_far = setups.count
        client.register_plugin(plugin, name="fresh")
        assert setups.count == so_far, "there is one of this name"
        assert set(client.run(os.getpid).values()) == after
