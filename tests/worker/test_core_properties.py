"""Any interleaving of what scheduler, threads and peers may do, invariants checked after each step."""

from __future__ import annotations

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from nbcluster.protocol.messages import (
    AcquireReplicas,
    Compute,
    DataItem,
    Dependency,
    FreeKeys,
    Location,
    PutData,
    RecallTasks,
    TaskErred,
    TaskRejoined,
    TaskRescheduled,
    TaskReturned,
    TasksDone,
    TaskSeceded,
    TasksRecalled,
)
from nbcluster.protocol.payload import Payload
from nbcluster.types import Address, Key, RunId
from nbcluster.worker.events import InputsLost, Outcome, RunsEnded
from nbcluster.worker.state import WorkerTask
from tests.support.fake_worker_shell import ME, FakeShell, compute_task

INPUTS = ["x", "y"]
"""Few, so that much happens to the same key at the same time."""
KEYS = [*INPUTS, "p", "q", "r", "s"]
PEERS = ["unix:///a", "unix:///b"]

keys = st.sampled_from(KEYS)
inputs = st.sampled_from(INPUTS)
holders = st.lists(st.sampled_from([*PEERS, ME]), unique=True)
picks = st.integers(min_value=0, max_value=10**6)


class Shell(FakeShell):
    """Checks that no run gets an input older than the run itself.

    Each time that a key is freed, it begins a new life; data says of which life it is, a peer's answer being
    as old as the question.
    """

    def __init__(self) -> None:
        super().__init__()
        self.life: dict[Key, int] = dict.fromkeys(KEYS, 0)
        self.asked_in: dict[Address, dict[Key, int]] = {}
        self.born_in: dict[RunId, dict[Key, int]] = {}

    def data(self, key: Key, life: int | None = None) -> DataItem:
        return DataItem(key, Payload(b"%d" % (self.life[key] if life is None else life)), 1)

    def perform(self, command: Any) -> None:
        super().perform(command)
        for holder, asked in self.requests.items():
            self.asked_in.setdefault(holder, {key: self.life[key] for key in asked})
        for run in getattr(command, "tasks", ()):
            if run.task.run_id in self.queued:
                self.check_inputs(run)

    def check_inputs(self, run: WorkerTask) -> None:
        for key, value in (run.inputs or {}).items():
            life = int(value.data)
            assert life >= self.born_in[run.task.run_id][key], f"{run} was given an old {key}"


class Worker(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.shell = Shell()
        self.given: dict[RunId, Key] = {}
        """Runs that the scheduler waits for."""
        self.run_ids = 0
        self.requests = 0
        self.answered: set[int] = set()
        self.read = 0

    # --- the scheduler ---

    @precondition(lambda self: len(self.given) < len(KEYS))
    @rule(pick=picks, needed=st.dictionaries(inputs, st.one_of(st.just("inline"), holders)))
    def compute(self, pick: int, needed: dict[Key, Any]) -> None:
        idle = [key for key in KEYS if key not in self.given.values()]
        key = idle[pick % len(idle)]
        self.run_ids += 1
        dependencies = [
            Dependency(name, self.shell.data(name).payload, [], 1)
            if where == "inline"
            else Dependency(name, None, where, 1)
            for name, where in needed.items()
        ]
        self.given[self.run_ids] = key
        self.shell.born_in[self.run_ids] = {name: self.shell.life[name] for name in needed}
        self.shell.tell(Compute([compute_task(key, self.run_ids, dependencies)]))

    @rule(freed=st.lists(keys, min_size=1, max_size=2, unique=True))
    def free(self, freed: list[Key]) -> None:
        self.given = {run_id: key for run_id, key in self.given.items() if key not in freed}
        for key in freed:
            self.shell.life[key] += 1
        self.shell.tell(FreeKeys(freed))

    @rule(chosen=st.sets(st.integers(min_value=1, max_value=30), max_size=6))
    def recall(self, chosen: set[RunId]) -> None:
        self.requests += 1
        self.shell.tell(RecallTasks(sorted(chosen), self.requests))

    @rule(key=inputs)
    def put(self, key: Key) -> None:
        self.shell.tell(PutData([self.shell.data(key)]))

    @rule(key=inputs, where=holders, inline=st.booleans())
    def acquire(self, key: Key, where: list[Address], inline: bool) -> None:
        payload = self.shell.data(key).payload if inline else None
        self.shell.tell(AcquireReplicas([Location(key, payload, where, 1)]))

    # --- the threads ---

    @precondition(lambda self: len(self.given) < len(KEYS))
    @rule(pick=picks, freed=st.lists(keys, max_size=2, unique=True))
    def take_up(self, pick: int, freed: list[Key]) -> None:
        """A thread has read what is to be freed and what is to be run, and the loop hears of both at once."""
        self.given = {run_id: key for run_id, key in self.given.items() if key not in freed}
        for name in freed:
            self.shell.life[name] += 1
        idle = [key for key in KEYS if key not in self.given.values()]
        key = idle[pick % len(idle)]
        self.run_ids += 1
        self.given[self.run_ids] = key
        self.shell.take_up(compute_task(key, self.run_ids), freed)

    @precondition(lambda self: self.shell.queued)
    @rule(pick=picks)
    def start(self, pick: int) -> None:
        queued = list(self.shell.queued)
        self.shell.start(queued[pick % len(queued)])

    @precondition(lambda self: self.shell.running)
    @rule(pick=picks, how=st.sampled_from(["done", "erred", "rescheduled", "lost"]))
    def end(self, pick: int, how: str) -> None:
        shell = self.shell
        run_id = list(shell.running)[pick % len(shell.running)]
        key = shell.running[run_id].task.key
        if how == "done":
            shell.finish(run_id, shell.data(key).payload)
            return
        del shell.running[run_id]
        outcomes: dict[str, Outcome] = {
            "erred": TaskErred(key, run_id, Payload(b"error"), "", 0, 0.0, 0.0),
            "rescheduled": TaskRescheduled(key, run_id),
            "lost": InputsLost(key, run_id, ["x"]),
        }
        shell.handle(RunsEnded([outcomes[how]]))

    @precondition(lambda self: self.shell.running)
    @rule(pick=picks)
    def secede_or_rejoin(self, pick: int) -> None:
        run_id = list(self.shell.running)[pick % len(self.shell.running)]
        told = self.shell.change_seat(run_id)
        assert [isinstance(message, (TaskSeceded, TaskRejoined)) for message in told] == [True] * (run_id in self.given)

    @precondition(lambda self: self.shell.recalls)
    @rule()
    def answer_recall(self) -> None:
        self.shell.answer_recall()

    # --- the peers ---

    @precondition(lambda self: self.shell.requests)
    @rule(pick=picks, has=st.sets(keys))
    def answer(self, pick: int, has: set[Key]) -> None:
        shell = self.shell
        holder = list(shell.requests)[pick % len(shell.requests)]
        asked_in = shell.asked_in.pop(holder)
        shell.answer(holder, *(shell.data(key, life) for key, life in asked_in.items() if key in has))

    @precondition(lambda self: self.shell.requests)
    @rule(pick=picks)
    def fail(self, pick: int) -> None:
        holder = list(self.shell.requests)[pick % len(self.shell.requests)]
        del self.shell.asked_in[holder]
        self.shell.fail(holder)

    # --- what must hold ---

    @invariant()
    def every_run_is_reported_once(self) -> None:
        for message in self.shell.sent[self.read :]:
            if isinstance(message, TasksDone):
                for done in message.items:
                    assert self.given.pop(done.run_id) == done.key
            elif isinstance(message, (TaskErred, TaskRescheduled, TaskReturned)):
                assert self.given.pop(message.run_id) == message.key
            elif isinstance(message, TasksRecalled):
                assert message.request not in self.answered
                self.answered.add(message.request)
                for run_id in message.run_ids:
                    self.given.pop(run_id, None)  # it may have been freed meanwhile
        self.read = len(self.shell.sent)
        state = self.shell.core.state
        to_be_given_back = {run_id for run_ids in state.recalling.values() for run_id in run_ids}
        assert set(self.given) - to_be_given_back == set(state.runs)

    def teardown(self) -> None:
        """Whatever happened, once peers answer and threads work, nothing is left to do."""
        shell = self.shell
        for _ in range(1000):
            if shell.requests:
                self.answer(0, set(KEYS))
            elif shell.recalls:
                self.answer_recall()
            elif shell.queued:
                self.start(0)
            elif shell.running:
                self.end(0, "done")
            else:
                break
            self.every_run_is_reported_once()
        state = shell.core.state
        assert not any((state.runs, state.fetches, state.peers, state.recalling))
        assert not self.given
        assert self.answered == set(range(1, self.requests + 1))


TestWorkerCore = Worker.TestCase
TestWorkerCore.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
