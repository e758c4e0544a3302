"""What functions that run in the scheduler, and its plugins, see of it: recipes of users read these attributes."""

from __future__ import annotations

import types
from typing import Any

import pytest

from tests.contracts.gates import Gate, at_gate, inc
from tests.support.eventually import eventually


def look(client: Any, function: Any, *args: Any) -> Any:
    return client.run_on_scheduler(function, *args)


def divide(x: int) -> float:
    return x / 0


@pytest.fixture
def chain(client: Any) -> list[Any]:
    """Three tasks in a row, of which the last fails."""
    first = client.submit(inc, 1, key="chain-1")
    second = client.submit(inc, first, key="chain-2", retries=2, priority=5)
    third = client.submit(divide, second, key="failing-3")
    third.exception()
    return [first, second, third]


def test_a_task_knows_its_neighbours(client: Any, chain: list[Any]) -> None:
    def neighbours(dask_scheduler: Any) -> Any:
        task = dask_scheduler.tasks["chain-2"]
        return (
            {other.key for other in task.dependencies},
            {other.key for other in task.dependents},
            task in next(iter(task.dependents)).dependencies,
        )

    assert look(client, neighbours) == ({"chain-1"}, {"failing-3"}, True)


def test_a_task_knows_who_has_it_and_who_wants_it(client: Any, chain: list[Any]) -> None:
    def parties(dask_scheduler: Any) -> Any:
        task = dask_scheduler.tasks["chain-1"]
        holders = {worker.address for worker in task.who_has}
        held = {other.key for worker in task.who_has for other in worker.has_what}
        wanting = [one.client_key for one in task.who_wants]
        wanted = {other.key for one in task.who_wants for other in one.wants_what}
        return holders, "chain-1" in held, wanting[0] in dask_scheduler.clients, "chain-1" in wanted

    holders, held, known, wanted = look(client, parties)
    assert holders == set(client.who_has([chain[0]])["chain-1"])
    assert held
    assert known
    assert wanted


def test_a_task_knows_how_it_was_submitted(client: Any, chain: list[Any]) -> None:
    def options(dask_scheduler: Any) -> Any:
        first, second = dask_scheduler.tasks["chain-1"], dask_scheduler.tasks["chain-2"]
        return second.annotations, second.retries, second.priority < first.priority, first.actor, first.suspicious

    assert look(client, options) == ({"retries": 2, "priority": 5}, 2, True, False, 0)


def test_a_task_knows_how_it_ended(client: Any, chain: list[Any]) -> None:
    def ends(dask_scheduler: Any) -> Any:
        good, bad = dask_scheduler.tasks["chain-2"], dask_scheduler.tasks["failing-3"]
        return (
            (good.state, good.type, good.nbytes > 0, good.exception_text, good.processing_on),
            (bad.state, bad.type, bad.nbytes, bad.exception_blame.key),
            bad.exception_text,
            bad.traceback_text,
            bad.erred_on,
        )

    good, bad, text, where, erred_on = look(client, ends)
    assert good == ("memory", "int", True, None, None)
    assert bad == ("erred", None, -1, "failing-3")
    assert "ZeroDivisionError" in text
    assert "division by zero" in text
    assert "in divide" in where
    assert erred_on <= set(client.scheduler_info()["workers"])
    assert len(erred_on) == 1


def test_a_task_that_runs_knows_where_and_its_worker_knows_it(client: Any, gate: Gate) -> None:
    future = client.submit(at_gate, gate, pure=False)
    gate.wait_for_visitors(1)

    def running(key: str, dask_scheduler: Any) -> Any:
        task = dask_scheduler.tasks[key]
        worker = task.processing_on
        return task.state, worker.address, task in worker.processing, worker.address in dask_scheduler.idle

    state, address, processing, idle = look(client, running, future.key)
    gate.open()
    assert state == "processing"
    assert address in client.scheduler_info()["workers"]
    assert processing
    assert not idle


def test_what_no_worker_can_run_is_told(client: Any) -> None:
    future = client.submit(inc, 1, key="nowhere-1", resources={"UNHEARD": 1})

    def stuck(dask_scheduler: Any) -> Any:
        task = dask_scheduler.tasks["nowhere-1"]
        return task.state, [one.key for one in dask_scheduler.unrunnable], dict(task.resource_restrictions)

    eventually(lambda: look(client, lambda dask_scheduler: "nowhere-1" in dask_scheduler.tasks), "it is there")
    assert look(client, stuck) == ("no-worker", ["nowhere-1"], {"UNHEARD": 1})
    future.cancel()


def test_a_worker_tells_of_itself(client: Any) -> None:
    def tell(dask_scheduler: Any) -> Any:
        return {
            address: (worker.address, worker.name, worker.nthreads, worker.resources, str(worker.status))
            for address, worker in dask_scheduler.workers.items()
        }

    info = client.scheduler_info()["workers"]
    for address, (same, name, nthreads, resources, status) in look(client, tell).items():
        assert same == address
        assert (name, nthreads, resources) == (info[address]["name"], 1, {"GPU": 1})
        assert "running" in status


def test_the_memory_of_workers_is_told(client: Any) -> None:
    def tell(dask_scheduler: Any) -> Any:
        each = [worker.memory for worker in dask_scheduler.workers.values()]
        return [(one.process, one.managed, one.unmanaged, one.spilled) for one in (*each, dask_scheduler.memory)]

    def all_told() -> bool:
        return all(process > 0 and process >= unmanaged for process, _, unmanaged, _ in look(client, tell))

    eventually(all_told, "all workers have told")


def test_the_scheduler_sums_its_workers_up(client: Any) -> None:
    def tell(dask_scheduler: Any) -> Any:
        return (
            dask_scheduler.total_nthreads,
            dict(dask_scheduler.aliases),
            {name: set(amounts) for name, amounts in dask_scheduler.resources.items() if amounts},
            [host["nthreads"] for host in dask_scheduler.host_info.values()],
            {worker.address for worker in dask_scheduler.running},
        )

    threads, aliases, resources, hosts, running = look(client, tell)
    addresses = set(client.scheduler_info()["workers"])
    assert threads == 2
    assert set(aliases.values()) == addresses
    assert resources == {"GPU": addresses}
    assert hosts == [2]
    assert running == addresses


def test_tasks_are_told_by_function_and_by_operation(client: Any, chain: list[Any]) -> None:
    def tell(dask_scheduler: Any) -> Any:
        prefix, group = dask_scheduler.task_prefixes["chain"], dask_scheduler.task_groups["chain"]
        task = dask_scheduler.tasks["chain-1"]
        return (
            (task.prefix.name, task.group.name, task.group_key),
            (prefix.states["memory"], group.states["memory"], len(group)),
            (prefix.duration_average > 0, group.nbytes_total > 0, set(group.types)),
            group in prefix.groups,
            {other.name for other in dask_scheduler.task_groups["failing"].dependencies},
        )

    names, counts, figures, known, needed = look(client, tell)
    assert names == ("chain", "chain", "chain")
    assert counts == (2, 2, 2)
    assert figures == (True, True, {"int"})
    assert known
    assert needed == {"chain"}


def test_a_key_of_words_is_a_name_as_it_is(client: Any) -> None:
    futures = [client.submit(inc, 1, key=key) for key in ("train-model", "load-model-1", "load-model-2")]
    assert client.gather(futures) == [2, 2, 2]
    names = look(client, lambda dask_scheduler: {one.key: one.prefix.name for one in dask_scheduler.tasks.values()})
    assert names["train-model"] == "train-model"
    assert names["load-model-1"] == names["load-model-2"] == "load-model"


def test_what_prefixes_tell_can_be_taken_along(client: Any, chain: list[Any]) -> None:
    prefixes = look(client, lambda dask_scheduler: dict(dask_scheduler.task_prefixes))
    assert prefixes["chain"].states["memory"] == 2
    assert prefixes["chain"].duration_average > 0


def test_the_story_of_a_task_is_told(client: Any, chain: list[Any]) -> None:
    def tell(dask_scheduler: Any) -> Any:
        return [(line.key, line.start, line.finish, line.timestamp > 0) for line in dask_scheduler.story("failing-3")]

    story = look(client, tell)
    assert story[0][1] == "released"
    assert story[-1] == ("failing-3", "processing", "erred", True)
    moves = [line[1:3] for line in story if line[0] == "failing-3"]
    assert moves[-3:-1] == [("released", "waiting"), ("waiting", "processing")]


def test_events_are_logged_and_read_in_the_scheduler(client: Any) -> None:
    look(client, lambda dask_scheduler: dask_scheduler.log_event(["from-scheduler", "also"], {"n": 1}))
    assert client.get_events("from-scheduler")[-1][1] == {"n": 1}
    client.log_event("from-client", "hello")
    assert look(client, lambda dask_scheduler: dask_scheduler.get_events("from-client"))[-1][1] == "hello"
    assert "also" in look(client, lambda dask_scheduler: list(dask_scheduler.get_events()))


def test_a_plugin_can_be_added_where_the_scheduler_runs(api: Any, client: Any) -> None:
    members = {"transition": lambda self, key, start, finish, *args, **kwargs: self.seen.append((key, finish))}
    plugin = types.new_class("Plugin", (api.SchedulerPlugin,), exec_body=lambda space: space.update(members))()

    def add(plugin: Any, dask_scheduler: Any) -> Any:
        plugin.seen = dask_scheduler.seen_by_plugin = []
        dask_scheduler.add_plugin(plugin, name="added-there")
        return "added-there" in dask_scheduler.plugins

    def remove(dask_scheduler: Any) -> Any:
        dask_scheduler.remove_plugin("added-there")
        return "added-there" in dask_scheduler.plugins, dask_scheduler.seen_by_plugin

    assert look(client, add, plugin)
    client.submit(inc, 1, key="seen-there").result()
    there, seen = look(client, remove)
    assert not there
    assert ("seen-there", "memory") in [tuple(line) for line in seen]


def test_a_plugin_is_told_how_a_task_ended(api: Any, client: Any) -> None:
    def transition(self: Any, key: str, start: str, finish: str, *args: Any, **kwargs: Any) -> None:
        if start == "processing":
            self.scheduler.ends[key, finish] = {name: kwargs.get(name) for name in self.wanted}

    async def start(self: Any, scheduler: Any) -> None:
        self.scheduler = scheduler
        scheduler.ends = {}

    wanted = ("worker", "nbytes", "typename", "thread", "startstops", "exception_text")
    members = {"transition": transition, "start": start, "wanted": wanted}
    plugin = types.new_class("Plugin", (api.SchedulerPlugin,), exec_body=lambda space: space.update(members))()
    client.register_plugin(plugin, name="ends")
    client.submit(inc, 1, key="told-good").result()
    client.submit(divide, 1, key="told-bad").exception()
    client.unregister_scheduler_plugin("ends")
    ends = look(client, lambda dask_scheduler: dask_scheduler.ends)
    good, bad = ends["told-good", "memory"], ends["told-bad", "erred"]
    workers = client.scheduler_info()["workers"]
    assert good["worker"] in workers
    assert bad["worker"] in workers
    assert good["nbytes"] > 0
    assert good["typename"] == "int"
    assert isinstance(good["thread"], int)
    [span] = [span for span in good["startstops"] if span["action"] == "compute"]
    assert 0 < span["start"] <= span["stop"]
    assert "ZeroDivisionError" in bad["exception_text"]


def test_the_scheduler_of_a_cluster_here_can_be_looked_at_from_here(api: Any, own: Any) -> None:
    cluster = own()
    with api.Client(cluster, set_as_default=False) as client:
        future = client.submit(inc, 1, key="from-here")
        future.result()
        scheduler = cluster.scheduler
        assert scheduler.tasks["from-here"].state == "memory"
        assert {worker.name for worker in scheduler.workers.values()} == set(cluster.workers)
        assert scheduler.identity()["id"] == cluster.scheduler_info["id"]
        assert set(scheduler.identity()["workers"]) == set(cluster.scheduler_info["workers"])
        assert scheduler.loop is cluster.loop


@pytest.mark.differs("views")
def test_what_the_scheduler_does_not_tell_is_named(client: Any) -> None:
    with pytest.raises(AttributeError, match=r"the scheduler has no 'rpc' to be looked at .* there are .*tasks"):
        look(client, lambda dask_scheduler: dask_scheduler.rpc)
    with pytest.raises(TypeError, match="plugin=5 is none of a scheduler"):
        look(client, lambda dask_scheduler: dask_scheduler.add_plugin(5, name="five"))
    with pytest.raises(TypeError, match="is neither a non-empty string nor a list of such"):
        look(client, lambda dask_scheduler: dask_scheduler.log_event([5], 1))


@pytest.mark.differs("views")
def test_a_view_says_that_it_stays_where_it_is(api: Any, client: Any, chain: list[Any]) -> None:
    with pytest.raises(TypeError, match="<TaskState 'chain-1' memory> stays where the scheduler runs"):
        look(client, lambda dask_scheduler: dask_scheduler.tasks["chain-1"])
