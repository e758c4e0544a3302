"""When what nobody wants any more is forgotten, if it was put off."""

from __future__ import annotations

import asyncio

from nbcluster.protocol import messages as m
from nbcluster.protocol.payload import Payload
from nbcluster.scheduler import tidying
from nbcluster.scheduler.tidying import Tidying
from tests.support.eventually import soon
from tests.support.scheduler_bench import Bench
from tests.support.scheduler_stage import Party, Stage, staged, submission

KEYS = [f"f-{number}" for number in range(tidying.MOST // 2)]


async def with_results(stage: Stage) -> tuple[Party, Party]:
    """A client that has many results of a worker."""
    client, worker = await stage.client(), await stage.worker(0)
    client.say(submission(*KEYS))
    reported: set[int] = set()
    while len(reported) < len(KEYS):
        given = await soon(lambda: [task for task in assigned(worker) if task.run_id not in reported])
        worker.say(m.TasksDone([m.TaskDone(t.key, t.run_id, 1, "int", 0, 1.0, 1.0, Payload(b"x")) for t in given]))
        reported.update(task.run_id for task in given)
    await soon(lambda: told(client) == set(KEYS))
    return client, worker


def assigned(worker: Party) -> list[m.ComputeTask]:
    return [task for message in worker.heard(m.Compute) for task in message.tasks]


def told(client: Party) -> set[str]:
    return {item.key for message in client.heard(m.KeysDone) for item in message.items}


def freed(worker: Party) -> set[str]:
    return {key for message in worker.heard(m.FreeKeys) for key in message.keys}


@staged
async def test_while_no_task_runs_it_is_forgotten_little_by_little(stage: Stage) -> None:
    client, worker = await with_results(stage)
    client.say(m.ReleaseKeys(KEYS))
    await soon(lambda: freed(worker) == set(KEYS))
    assert len(worker.heard(m.FreeKeys)) > 1
    assert not stage.server.core.state.tasks


@staged
async def test_a_few_are_forgotten_soon_after_whether_or_not_anything_else_happens(stage: Stage) -> None:
    client, worker = await with_results(stage)
    client.say(m.ReleaseKeys(KEYS[:1]))
    await soon(lambda: freed(worker) == set(KEYS[:1]))
    client.say(m.ReleaseKeys(KEYS[1:]))
    await soon(lambda: freed(worker) == set(KEYS))
    assert not stage.server.core.state.tasks


@staged
async def test_while_a_task_runs_it_is_forgotten_all_the_same(stage: Stage) -> None:
    client, worker = await with_results(stage)
    client.say(submission("g-0"), m.ReleaseKeys(KEYS))
    await soon(lambda: freed(worker) == set(KEYS))
    assert set(stage.server.core.state.tasks) == {"g-0"}


def test_what_is_put_off_stays_when_the_scheduler_closes() -> None:
    bench = Bench(put_off=8)
    bench.submit("f-0", "f-1")
    bench.join(0)
    bench.run_all()
    bench.release("f-0", "f-1")
    handled: list[object] = []

    async def close() -> None:
        tidying_up = Tidying(bench.core, handled.append)
        tidying_up.look()
        tidying_up.close()
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    asyncio.run(close())
    assert handled == []
    assert [task.key for task in bench.core.put_off] == ["f-0", "f-1"]
