from __future__ import annotations

import asyncio
import os
import re
import time
from collections.abc import Coroutine, Iterator
from typing import Any

import pytest

from nbcluster.commands import Adapt, Scale, SetOwner
from nbcluster.engines import registry
from nbcluster.engines.registry import EngineSpec
from nbcluster.errors import ClusterClosedError, ClusterError
from nbcluster.jupyter import manager as manager_module
from nbcluster.jupyter.cluster import ServerCluster, StillStartingError
from nbcluster.jupyter.events import Action
from nbcluster.jupyter.manager import CellRequest, ClusterManager
from nbcluster.jupyter.models import CLUSTER_ID, AdaptBody, NewCluster
from nbcluster.snapshot import ClusterView, TaskCounts
from nbcluster.types import Status
from tests.support.eventually import soon
from tests.support.fake_engine import FakeEngine
from tests.support.fake_kernels import FakeKernels


class Setup:
    """A manager on fake engines and kernels, and what it told."""

    def __init__(self, **traits: Any) -> None:
        self.kernels = FakeKernels()
        self.events: list[tuple[Action, ClusterView]] = []
        self.held = False
        self.failure = ""
        self.engines: list[FakeEngine] = []
        registry.register("fake", self.make)
        self.manager = ClusterManager(
            kernels=self.kernels,
            on_event=lambda action, view: self.events.append((action, view)),
            dashboard_link=lambda cluster_id: f"/base/{cluster_id}",
            engine="fake",
            **traits,
        )

    def make(self, spec: EngineSpec) -> FakeEngine:
        self.engines.append(FakeEngine(spec, held=self.held, failure=self.failure))
        return self.engines[-1]

    async def attach(self, kernel_id: str = "k1", cell: str = "c1", **changes: Any) -> ServerCluster:
        wanted: dict[str, Any] = {
            "name": None,
            "digest": b"d",
            "pickled_keywords": b"",
            "executable": "/usr/bin/python3",
            "cwd": "/",
            "sys_path": [],
            "environment": {},
        }
        return await self.manager.attach(CellRequest(kernel_id=kernel_id, cell=cell, **{**wanted, **changes}))

    def told(self, action: Action) -> list[ClusterView]:
        return [view for happened, view in self.events if happened is action]


@pytest.fixture(autouse=True)
def _no_fake_engine_stays() -> Iterator[None]:
    yield
    registry.unregister("fake")


def run(setup: Setup, test: Coroutine[Any, Any, None]) -> None:
    async def whole() -> None:
        try:
            await test
        finally:
            await setup.manager.close()

    asyncio.run(whole())


def test_a_new_cluster_is_starting_and_events_tell_the_rest() -> None:
    setup = Setup()
    setup.held = True

    async def test() -> None:
        cluster = await setup.manager.new(NewCluster(name="mine", n_workers=3))
        assert cluster.view.status in (Status.CREATED, Status.STARTING)
        assert re.fullmatch(CLUSTER_ID, cluster.id)
        [created] = setup.told(Action.CREATED)
        assert created.id == cluster.id
        setup.engines[0].finish_start()
        await cluster.started()
        assert setup.events[-1][0] is Action.CHANGED
        assert setup.events[-1][1].status is Status.RUNNING
        assert len(cluster.view.workers) == 3
        assert cluster.view.owner is not None
        assert cluster.view.owner.kind == "none"
        assert cluster.view.dashboard_link == f"/base/{cluster.id}"

    run(setup, test())


def test_the_same_cell_with_the_same_keywords_gets_the_same_cluster() -> None:
    setup = Setup()

    async def test() -> None:
        setup.kernels.start("k1", "a.ipynb")
        first = await setup.attach()
        assert await setup.attach() is first
        assert len(setup.engines) == 1

    run(setup, test())


@pytest.mark.parametrize(
    "change", [{"digest": b"other"}, {"executable": "/opt/python"}], ids=["keywords", "interpreter"]
)
def test_the_same_cell_with_something_else_replaces_its_cluster_only(change: dict[str, Any]) -> None:
    setup = Setup()

    async def test() -> None:
        setup.kernels.start("k1", "a.ipynb")
        bystander = await setup.attach(cell="c2")
        old = await setup.attach()
        new = await setup.attach(**change)
        assert new is not old
        await soon(lambda: old.status is Status.CLOSED)
        assert {view.id for view in setup.manager.list_clusters()} == {new.id, bystander.id}

    run(setup, test())


def test_a_replacement_that_does_not_start_leaves_the_cell_what_it_had() -> None:
    setup = Setup()

    async def test() -> None:
        setup.kernels.start("k1", "a.ipynb")
        first = await setup.attach()
        setup.failure = "no such memory"
        with pytest.raises(ClusterError, match="no such memory"):
            await setup.attach(digest=b"other")
        await soon(lambda: [view.id for view in setup.manager.list_clusters()] == [first.id])
        assert await setup.attach() is first

    run(setup, test())


def test_a_cell_that_stopped_waiting_finds_what_it_began() -> None:
    setup = Setup()

    async def test() -> None:
        setup.kernels.start("k1", "a.ipynb")
        old = await setup.attach()
        setup.held = True
        impatient = asyncio.create_task(setup.attach(digest=b"other"))
        await soon(lambda: len(setup.engines) == 2)
        impatient.cancel()
        setup.engines[1].finish_start()
        new = await setup.attach(digest=b"other")
        assert new.engine is setup.engines[1]
        await soon(lambda: old.status is Status.CLOSED)

    run(setup, test())


@pytest.mark.parametrize("change", [{"cell": "c2"}, {"name": "another"}], ids=["cell", "name"])
def test_another_cell_or_name_makes_another_cluster(change: dict[str, Any]) -> None:
    setup = Setup()

    async def test() -> None:
        setup.kernels.start("k1", "a.ipynb")
        first = await setup.attach()
        second = await setup.attach(**change)
        assert second is not first
        assert first.usable

    run(setup, test())


def test_the_same_cell_of_another_notebook_is_another_cell() -> None:
    setup = Setup()

    async def test() -> None:
        setup.kernels.start("k1", "a.ipynb")
        setup.kernels.start("k2", "copy-of-a.ipynb")
        assert await setup.attach("k1") is not await setup.attach("k2")

    run(setup, test())


def test_two_requests_of_one_cell_at_the_same_time_get_one_cluster() -> None:
    setup = Setup()
    setup.held = True

    async def test() -> None:
        setup.kernels.start("k1", "a.ipynb")
        both = asyncio.gather(setup.attach(), setup.attach())
        await soon(lambda: setup.engines)
        setup.engines[0].finish_start()
        first, second = await both
        assert first is second

    run(setup, test())


def test_a_kernel_that_the_server_does_not_have_gets_nothing() -> None:
    setup = Setup()

    async def test() -> None:
        with pytest.raises(LookupError, match="no kernel k1"):
            await setup.attach()
        assert not setup.engines

    run(setup, test())


def test_what_an_engine_says_when_it_cannot_start_reaches_the_one_who_waits() -> None:
    setup = Setup()
    setup.failure = "the interpreter /usr/bin/python3 has no nbcluster"

    async def test() -> None:
        setup.kernels.start("k1", "a.ipynb")
        with pytest.raises(ClusterError, match="has no nbcluster"):
            await setup.attach()
        assert [view.status for view in setup.told(Action.CHANGED)][-1] is Status.FAILED
        assert "has no nbcluster" in setup.told(Action.CHANGED)[-1].message
        await soon(lambda: not setup.manager.list_clusters())
        setup.failure = ""
        assert (await setup.attach()).usable

    run(setup, test())


def test_an_engine_that_breaks_with_any_exception_fails_its_cluster_only() -> None:
    class Broken(FakeEngine):
        async def start(self) -> None:
            raise RuntimeError("boom")

    setup = Setup()
    registry.register("fake", Broken)

    async def test() -> None:
        cluster = await setup.manager.new(NewCluster())
        with pytest.raises(ClusterError, match="RuntimeError: boom"):
            await cluster.started()

    run(setup, test())


def test_commands_wait_for_the_start_and_end_with_the_cluster() -> None:
    setup = Setup()
    setup.held = True

    async def test() -> None:
        cluster = await setup.manager.new(NewCluster())
        with pytest.raises(StillStartingError, match="still starting"):
            await cluster.call(Scale(n=1))
        setup.engines[0].finish_start()
        await cluster.started()
        await cluster.call(Scale(n=1))
        assert len(cluster.view.workers) == 1
        await setup.manager.remove(cluster.id)
        with pytest.raises(ClusterClosedError):
            await cluster.call(Scale(n=2))

    run(setup, test())


def test_removing_a_cluster_that_still_starts_ends_it() -> None:
    setup = Setup()
    setup.held = True

    async def test() -> None:
        cluster = await setup.manager.new(NewCluster())
        await setup.manager.remove(cluster.id)
        assert setup.engines[0].status is Status.CLOSED
        assert setup.manager.list_clusters() == []
        [removed] = setup.told(Action.REMOVED)
        assert removed.id == cluster.id
        with pytest.raises(ClusterClosedError):
            await cluster.started()

    run(setup, test())


def test_the_lease_begins_when_the_kernel_is_gone_and_is_there_to_see() -> None:
    setup = Setup(lease=600.0)

    async def test() -> None:
        setup.kernels.start("k1", "a.ipynb")
        cluster = await setup.attach()
        setup.kernels.stop("k1")
        await setup.manager.reconcile()
        owner = cluster.view.owner
        assert owner is not None
        assert owner.lease is not None
        assert not owner.alive
        assert 500 < owner.lease - time.time() <= 600
        assert setup.events[-1][1].owner == owner
        # Looking again does not begin it anew.
        await setup.manager.reconcile()
        assert cluster.view.owner == owner

    run(setup, test())


def test_a_lease_that_ends_takes_the_cluster_with_it() -> None:
    setup = Setup(lease=0.05)

    async def test() -> None:
        setup.kernels.start("k1", "a.ipynb")
        cluster = await setup.attach()
        setup.kernels.stop("k1")
        await setup.manager.reconcile()
        await soon(lambda: not setup.manager.list_clusters())
        assert cluster.status is Status.CLOSED

    run(setup, test())


def test_a_new_kernel_of_the_same_notebook_ends_the_countdown() -> None:
    setup = Setup(lease=600.0)

    async def test() -> None:
        setup.kernels.start("k1", "a.ipynb")
        cluster = await setup.attach("k1")
        setup.kernels.stop("k1")
        await setup.manager.reconcile()
        setup.kernels.start("k2", "a.ipynb")
        await setup.manager.reconcile()
        owner = cluster.view.owner
        assert owner is not None
        assert (owner.alive, owner.lease, owner.kernel_id) == (True, None, "k2")
        assert await setup.attach("k2") is cluster

    run(setup, test())


def test_a_notebook_that_is_renamed_keeps_its_cluster() -> None:
    setup = Setup()

    async def test() -> None:
        setup.kernels.start("k1", "a.ipynb")
        cluster = await setup.attach()
        setup.kernels.start("k1", "b.ipynb")
        await setup.manager.reconcile()
        assert cluster.owner.path == "b.ipynb"
        assert await setup.attach() is cluster

    run(setup, test())


def test_the_cluster_of_a_kernel_without_a_notebook_ends_with_it() -> None:
    setup = Setup(lease=600.0)

    async def test() -> None:
        setup.kernels.start("k1")
        await setup.attach()
        setup.kernels.stop("k1")
        await setup.manager.reconcile()
        await soon(lambda: not setup.manager.list_clusters())

    run(setup, test())


def test_a_kernel_that_dies_unannounced_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manager_module, "SWEEP", 0.01)
    setup = Setup()

    async def test() -> None:
        setup.kernels.start("k1", "a.ipynb")
        cluster = await setup.attach()
        setup.kernels.stop("k1")
        await soon(lambda: not cluster.owner.alive)

    run(setup, test())


def test_a_cluster_that_is_kept_outlives_its_owner_until_it_is_not() -> None:
    setup = Setup(lease=600.0)

    async def test() -> None:
        setup.kernels.start("k1", "a.ipynb")
        cluster = await setup.attach()
        owner = setup.manager.change(cluster.id, name=None, keep=True).owner
        assert owner.kind == "none"
        setup.kernels.stop("k1")
        await setup.manager.reconcile()
        owner = cluster.owner
        assert owner.lease is None
        owner = setup.manager.change(cluster.id, name=None, keep=False).owner
        assert owner.kind == "notebook"
        assert owner.lease is not None
        owner = setup.manager.change(cluster.id, name=None, keep=True).owner
        assert owner.lease is None
        setup.kernels.start("k2", "a.ipynb")
        assert await setup.attach("k2") is cluster

    run(setup, test())


def test_the_cluster_itself_is_told_its_owner() -> None:
    setup = Setup()

    async def test() -> None:
        setup.kernels.start("k1", "a.ipynb")
        await setup.attach()
        engine = setup.engines[0]
        await soon(lambda: engine.view.owner is not None)
        setup.kernels.stop("k1")
        await setup.manager.reconcile()
        await soon(lambda: engine.view.owner is not None and not engine.view.owner.alive)
        assert all(isinstance(command, SetOwner) for command in engine.commands)

    run(setup, test())


def test_a_cluster_that_its_client_shut_down_is_gone_here_too() -> None:
    setup = Setup()

    async def test() -> None:
        await (await setup.manager.new(NewCluster())).started()
        await setup.engines[0].close()
        await soon(lambda: not setup.manager.list_clusters())
        assert len(setup.told(Action.REMOVED)) == 1

    run(setup, test())


def test_a_cluster_whose_process_died_stays_to_be_looked_at() -> None:
    setup = Setup()

    async def test() -> None:
        setup.kernels.start("k1", "a.ipynb")
        cluster = await setup.attach()
        setup.engines[0].die("the cluster's process was killed by SIGKILL")
        [view] = setup.manager.list_clusters()
        assert view.status is Status.FAILED
        assert "SIGKILL" in view.message
        assert await setup.attach() is not cluster

    run(setup, test())


def test_the_administrators_limits_hold_for_every_command() -> None:
    setup = Setup(max_workers=4, max_memory=2**30)

    async def test() -> None:
        with pytest.raises(ValueError, match="n_workers=5 is more than the administrator allows: 4"):
            await setup.manager.new(NewCluster(n_workers=5))
        with pytest.raises(ValueError, match="minimum=5"):
            await setup.manager.new(NewCluster(adapt=AdaptBody(minimum=5)))
        cluster = await setup.manager.new(NewCluster(n_workers=4))
        await cluster.started()
        assert cluster.view.capacity == 4
        assert setup.engines[-1].spec.environment["MEM_LIMIT"] == str(2**30)
        assert setup.engines[-1].spec.max_workers == 4
        with pytest.raises(ValueError, match="n=5 is more"):
            await cluster.call(Scale(n=5))
        await cluster.call(Adapt(minimum=1))
        assert cluster.view.adaptive is not None
        assert cluster.view.adaptive.maximum == 4

    run(setup, test())


def test_a_smaller_limit_of_the_spawner_stays() -> None:
    setup = Setup(max_memory=2**30)

    async def test() -> None:
        setup.kernels.start("k1")
        await setup.attach(environment={"MEM_LIMIT": str(2**20)})
        assert setup.engines[0].spec.environment["MEM_LIMIT"] == str(2**20)

    run(setup, test())


def test_a_new_cluster_can_adapt_from_the_beginning() -> None:
    setup = Setup()

    async def test() -> None:
        cluster = await setup.manager.new(NewCluster(adapt=AdaptBody(minimum=1, maximum=3)))
        await cluster.started()
        assert cluster.view.adaptive is not None
        assert (cluster.view.adaptive.minimum, cluster.view.adaptive.maximum) == (1, 3)

    run(setup, test())


def test_a_new_cluster_runs_where_it_is_asked_to() -> None:
    setup = Setup(root_dir="/data")

    async def test() -> None:
        await setup.manager.new(NewCluster(kernel_name="python3", path="sub/a.ipynb", n_workers=1))
        spec = setup.engines[0].spec
        assert spec.cwd == os.path.join("/data", "sub")
        assert spec.environment["FROM_SPEC"] == "1"
        assert spec.keywords == {"n_workers": 1, "memory_limit": "auto"}
        with pytest.raises(ValueError, match="no kernel 'ruby'"):
            await setup.manager.new(NewCluster(kernel_name="ruby"))

    run(setup, test())


def test_the_socket_of_a_dashboard_is_known_while_there_is_one() -> None:
    setup = Setup()

    async def test() -> None:
        assert setup.manager.dashboard_socket("0" * 16) is None
        cluster = await setup.manager.new(NewCluster())
        assert setup.manager.dashboard_socket(cluster.id) is None
        await cluster.started()
        assert setup.manager.dashboard_socket(cluster.id) == f"/run/{cluster.id}.sock"
        setup.engines[0].die("gone")
        assert setup.manager.dashboard_socket(cluster.id) is None

    run(setup, test())


def test_busy_clusters_are_known() -> None:
    setup = Setup()

    async def test() -> None:
        cluster = await setup.manager.new(NewCluster())
        await cluster.started()
        assert setup.manager.busy_clusters() == []
        setup.engines[0].change(tasks=TaskCounts(processing=1))
        assert setup.manager.busy_clusters() == [cluster.id]

    run(setup, test())


def test_a_cluster_can_be_renamed_but_not_to_nothing() -> None:
    setup = Setup()

    async def test() -> None:
        cluster = await setup.manager.new(NewCluster())
        setup.manager.change(cluster.id, name="better", keep=None)
        assert setup.events[-1][1].name == "better"
        with pytest.raises(ValueError, match="empty"):
            setup.manager.change(cluster.id, name="  ", keep=None)

    run(setup, test())


def test_closing_ends_all_clusters_and_nothing_is_made_after_it() -> None:
    setup = Setup()

    async def test() -> None:
        for _ in range(3):
            await setup.manager.new(NewCluster())
        await setup.manager.close()
        assert [engine.status for engine in setup.engines] == [Status.CLOSED] * 3
        with pytest.raises(ClusterError, match="shutting down"):
            await setup.manager.new(NewCluster())
        await setup.manager.close()

    run(setup, test())


def test_an_unknown_engine_is_named() -> None:
    setup = Setup()
    setup.manager.engine = "warp"

    async def test() -> None:
        with pytest.raises(ValueError, match="no engine 'warp'"):
            await setup.manager.new(NewCluster())

    run(setup, test())
