"""The real cores of scheduler and workers, joined by fake links: any interleaving of links, and any faults.

After each step the invariants of the cores that were touched hold. In the end, when all links deliver and nothing
dies any more, all is computed, everybody agrees on who holds what, and nothing is kept for nobody.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from nbcluster.protocol import messages as m
from nbcluster.scheduler.events import Forget
from nbcluster.types import Key, WorkerName
from tests.support.simulated_cluster import ALL, Graph, SimulatedClient, SimulatedCluster

CALLS = ["f-0", "g-1", "f-2", "f-3", "g-4", "f-5"]
"""Each may depend on those before it, and on data."""
DATA = ["d-0", "d-1"]
NAMES: list[WorkerName] = [0, 1, 2, "special"]

picks = st.integers(min_value=0, max_value=30)
rarely = st.sampled_from([False, False, False, True])


@st.composite
def graphs(draw: st.DrawFn) -> Graph:
    dependencies = {}
    for index, key in enumerate(CALLS):
        possible = DATA + CALLS[:index]
        dependencies[key] = tuple(draw(st.lists(st.sampled_from(possible), max_size=3, unique=True)))
    return Graph(dependencies, frozenset(draw(st.sets(st.sampled_from(DATA + CALLS)))))


class Gentle(RuleBasedStateMachine):
    """Nothing dies, and nothing fails: so no task may fail, and no data may be lost."""

    @initialize(graph=graphs())
    def begin(self, graph: Graph) -> None:
        self.sim = SimulatedCluster(graph)
        self.sim.client_joins()

    # --- what is under way ---

    @precondition(lambda self: self.sim.steps())
    @rule(which=picks, count=st.sampled_from([1, ALL]), pick=picks)
    def something_happens(self, which: int, count: int, pick: int) -> None:
        steps = self.sim.steps()
        self.sim.take(steps[which % len(steps)], count, pick)

    @precondition(lambda self: self.sim.steps())
    @rule(whiches=st.lists(picks, min_size=5, max_size=15))
    def much_happens(self, whiches: list[int]) -> None:
        for which in whiches:
            if steps := self.sim.steps():
                self.sim.take(steps[which % len(steps)], 1, which)

    # --- clients ---

    def client(self, pick: int) -> SimulatedClient:
        clients = list(self.sim.clients.values())
        return clients[pick % len(clients)]

    @precondition(lambda self: len(self.sim.clients) < 3)
    @rule()
    def a_client_joins(self) -> None:
        self.sim.client_joins()

    @rule(
        pick=picks,
        keys=st.lists(st.sampled_from(CALLS), min_size=1, max_size=3, unique=True),
        workers=st.sampled_from([None, None, None, ["0"], ["special"]]),
        others=st.booleans(),
        resources=st.sampled_from([{}, {}, {}, {"GPU": 1.0}]),
        retries=st.integers(0, 1),
        priority=st.sampled_from([0, 0, 5]),
        as_graph=st.booleans(),
    )
    def submit(self, pick: int, keys: list[Key], workers: Any, others: bool, as_graph: bool, **options: Any) -> None:
        chosen = m.TaskOptions(workers=workers, allow_other_workers=others and bool(workers), **options)
        submit = self.sim.submit_graph if as_graph else self.sim.submit
        submit(self.client(pick), keys, chosen)

    @rule(pick=picks, key=st.sampled_from(DATA), broadcast=st.booleans(), name=st.sampled_from([None, None, ["0"]]))
    def scatter(self, pick: int, key: Key, broadcast: bool, name: list[str] | None) -> None:
        self.client(pick).want([key], m.Scatter([self.sim.graph.datum(key)], name, broadcast))

    @precondition(lambda self: any(client.status for client in self.sim.clients.values()))
    @rule(pick=picks, keys=st.sets(picks, min_size=1, max_size=3))
    def release(self, pick: int, keys: set[int]) -> None:
        self.client(pick).release(self.held(pick, keys))

    def held(self, pick: int, numbers: set[int]) -> list[Key]:
        held = list(self.client(pick).status)
        return list(dict.fromkeys(held[number % len(held)] for number in sorted(numbers))) if held else []

    # --- workers ---

    @precondition(lambda self: len(self.sim.workers) < len(NAMES))
    @rule(nthreads=st.integers(1, 2), gpu=st.booleans(), pick=picks)
    def a_worker_joins(self, nthreads: int, gpu: bool, pick: int) -> None:
        free = [name for name in NAMES if name not in self.sim.workers]
        self.sim.worker_joins(free[pick % len(free)], nthreads, {"GPU": 1.0} if gpu else None)

    @precondition(lambda self: self.sim.may_retire())
    @rule(pick=picks)
    def a_worker_retires(self, pick: int) -> None:
        names = self.sim.may_retire()
        self.sim.worker_retires(names[pick % len(names)])

    @precondition(lambda self: self.sim.retired)
    @rule()
    def a_retired_worker_is_stopped(self) -> None:
        for worker in list(self.sim.workers.values()):
            if worker.address in self.sim.retired:
                self.sim.worker_dies(worker.name, blame=False, last_words=True)

    @precondition(lambda self: self.sim.may_change_seat())
    @rule(pick=picks)
    def a_task_secedes_or_rejoins(self, pick: int) -> None:
        runs = self.sim.may_change_seat()
        self.sim.change_seat(*runs[pick % len(runs)])

    # --- in the end ---

    def failures_allowed(self) -> bool:
        return False

    def teardown(self) -> None:
        if not hasattr(self, "sim"):
            return
        sim = self.sim
        sim.heal()
        sim.check_agreement()
        if not self.failures_allowed():
            for client in sim.clients.values():
                assert set(client.status.values()) <= {"finished"}, f"{client.status} {client.failures}"
        for client in sim.clients.values():
            client.release(list(client.status))
        sim.settle()
        sim.check_nothing_is_left()


class Rough(Gentle):
    """Everything that can go wrong does: workers die, fetches fail, files rot, tasks raise, clients cancel, vanish."""

    def failures_allowed(self) -> bool:
        return True

    @precondition(lambda self: any(worker.running for worker in self.sim.workers.values()))
    @rule(pick=picks, which=picks, how=st.sampled_from(["erred", "rescheduled", "lost"]))
    def a_task_does_not_finish(self, pick: int, which: int, how: str) -> None:
        busy = [worker for worker in self.sim.workers.values() if worker.running]
        self.sim.end(busy[pick % len(busy)], which, how)

    @precondition(lambda self: self.sim.workers)
    @rule(pick=picks, blame=st.booleans(), last_words=st.booleans())
    def a_worker_dies(self, pick: int, blame: bool, last_words: bool) -> None:
        names = list(self.sim.workers)
        self.sim.worker_dies(names[pick % len(names)], blame, last_words)

    @precondition(lambda self: any(worker.requests for worker in self.sim.workers.values()))
    @rule(pick=picks)
    def a_fetch_fails(self, pick: int) -> None:
        under_way = [(worker, holder) for worker in self.sim.workers.values() for holder in worker.requests]
        self.sim.fetch_fails(*under_way[pick % len(under_way)])

    @precondition(lambda self: any(client.status for client in self.sim.clients.values()))
    @rule(pick=picks, keys=st.sets(picks, min_size=1, max_size=3), force=rarely)
    def cancel(self, pick: int, keys: set[int], force: bool) -> None:
        self.client(pick).cancel(self.held(pick, keys), force)

    @precondition(lambda self: any(client.status for client in self.sim.clients.values()))
    @rule(pick=picks, keys=st.sets(picks, min_size=1, max_size=3))
    def retry(self, pick: int, keys: set[int]) -> None:
        self.client(pick).retry(self.held(pick, keys))

    @rule(pick=picks, key=st.sampled_from(DATA + CALLS))
    def want(self, pick: int, key: Key) -> None:
        self.client(pick).want([key], m.WantKeys([key]))

    @precondition(lambda self: len(self.sim.clients) > 1)
    @rule(pick=picks)
    def a_client_vanishes(self, pick: int) -> None:
        self.sim.client_leaves(self.client(pick))

    @rule(really=rarely)
    def everything_is_forgotten(self, really: bool) -> None:
        if really:
            self.sim.handle(Forget("restarted", "simulated"))


def limits(max_examples: int, steps: int) -> settings:
    return settings(
        phases=[Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink],
        max_examples=max_examples,
        stateful_step_count=steps,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )


def test_whatever_the_order_of_messages_all_is_computed_and_nothing_is_left() -> None:
    run_state_machine_as_test(Gentle, settings=limits(80, 50))


def test_whatever_dies_and_fails_the_cluster_comes_to_rest_and_everybody_agrees() -> None:
    run_state_machine_as_test(Rough, settings=limits(120, 50))


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("machine", [Gentle, Rough])
def test_the_same_holds_many_times_and_for_longer(machine: type[RuleBasedStateMachine]) -> None:
    run_state_machine_as_test(machine, settings=limits(2000, 120))
