"""Queues, semaphores and locks under any interleaving: clients give up, are slow, and vanish at any moment."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from nbcluster.protocol import coordination as c
from nbcluster.protocol.messages import CallFailed
from nbcluster.scheduler.coordination.invariants import accepted
from nbcluster.scheduler.events import Forget, FromClient, Tick
from nbcluster.scheduler.invariants import check
from tests.support.coordination_model import ModelClient, Stage, shared

SEMAPHORES = {"lock": 1, "pair": 2}
LOCKS = ["a", "b", "c"]


class AnyInterleaving(RuleBasedStateMachine):
    """What clients believe, what the scheduler knows, and what was put and taken in all."""

    def __init__(self) -> None:
        super().__init__()
        self.stage = Stage()
        self.names = 0
        self.values = 0
        self.taken: list[str] = []
        """Items whose receipt the scheduler has read."""
        self.dropped: list[str] = []
        """Items with futures that a restart has dropped."""
        self.receipts: dict[tuple[str, int], list[str]] = {}

    # --- clients ---

    @precondition(lambda self: len(self.stage.clients) < 4)
    @rule()
    def client_joins(self) -> None:
        self.names += 1
        self.stage.join(f"c{self.names}")

    def draw(self, data: st.DataObject) -> ModelClient:
        return self.stage.clients[data.draw(st.sampled_from(sorted(self.stage.clients)))]

    @precondition(lambda self: self.stage.clients)
    @rule(data=st.data())
    def client_vanishes(self, data: st.DataObject) -> None:
        client = self.draw(data)
        self.stage.leave(client.name)

    @precondition(lambda self: self.stage.clients)
    @rule(data=st.data(), keyed=st.booleans(), wait=st.booleans())
    def puts(self, data: st.DataObject, keyed: bool, wait: bool) -> None:
        self.values += 1
        value = f"v{self.values}"
        self.draw(data).ask(c.PutItem, "q", 2, shared(value, *(["k"] if keyed else [])), wait)

    @precondition(lambda self: self.stage.clients)
    @rule(data=st.data(), count=st.sampled_from([0, 1, 1, 3]), wait=st.booleans())
    def gets(self, data: st.DataObject, count: int, wait: bool) -> None:
        self.draw(data).ask(c.GetItems, "q", 2, count, wait)

    @precondition(lambda self: self.stage.clients)
    @rule(data=st.data(), name=st.sampled_from(sorted(SEMAPHORES)), wait=st.booleans())
    def acquires(self, data: st.DataObject, name: str, wait: bool) -> None:
        self.draw(data).ask(c.AcquireLease, name, SEMAPHORES[name], wait, False)

    @precondition(lambda self: self.stage.clients)
    @rule(data=st.data(), names=st.sets(st.sampled_from(LOCKS), min_size=1), few=st.booleans(), wait=st.booleans())
    def acquires_many(self, data: st.DataObject, names: set[str], few: bool, wait: bool) -> None:
        self.draw(data).ask(c.AcquireLocks, sorted(names), 1 if few else len(names), wait)

    @precondition(lambda self: any(client.waiting for client in self.stage.clients.values()))
    @rule(data=st.data(), give_back=st.booleans())
    def gives_up(self, data: st.DataObject, give_back: bool) -> None:
        client = self.draw(data)
        if client.waiting:
            number = data.draw(st.sampled_from(sorted(client.waiting)))
            if give_back:
                client.given_up.add(number)
                del client.waiting[number]
            client.say(c.Withdraw(number, give_back))

    @precondition(lambda self: any(client.leases or client.locks for client in self.stage.clients.values()))
    @rule(data=st.data())
    def releases(self, data: st.DataObject) -> None:
        client = self.draw(data)
        if client.leases:
            lease = next(iter(client.leases))
            del client.leases[lease]
            client.ask(c.ReleaseLease, lease)
        elif client.locks:
            held = next(iter(client.locks))
            del client.locks[held]
            client.ask(c.ReleaseLocks, held)

    # --- links ---

    @precondition(lambda self: any(client.out for client in self.stage.clients.values()))
    @rule(data=st.data(), count=st.integers(1, 4))
    def scheduler_reads(self, data: st.DataObject, count: int) -> None:
        client = self.draw(data)
        for _ in range(min(count, len(client.out))):
            message = client.out.popleft()
            if isinstance(message, c.Received):
                values = self.receipts.pop((client.name, message.request))
                self.taken += [value for value in values if value not in self.dropped]
            self.stage.handle(FromClient(client.name, [message]))

    @precondition(lambda self: any(client.inbox for client in self.stage.clients.values()))
    @rule(data=st.data())
    def client_reads(self, data: st.DataObject) -> None:
        client = self.draw(data)
        while client.inbox:
            self.hear(client, client.inbox.popleft())

    def hear(self, client: ModelClient, message: Any) -> None:
        if isinstance(message, CallFailed):
            asked = client.waiting.pop(message.id, None)
            assert asked is None or (
                isinstance(asked, c.PutItem) and asked.item.keys and "restarted" in message.message
            )
            return
        number = message.request
        asked = client.waiting.pop(number, None)
        if number in client.given_up:
            return
        assert asked is not None, f"answered twice: {message}"
        if isinstance(message, c.HandedOver):
            values = [item.data.decode() for item in message.items if item is not None]
            self.receipts[client.name, number] = values
            client.say(c.Received(number))
        elif isinstance(message, c.LeaseGranted):
            assert isinstance(asked, c.AcquireLease)
            client.leases[number] = asked.name
        elif isinstance(asked, c.AcquireLocks) and message.value:
            client.locks[number] = asked.names

    @rule()
    def time_passes(self) -> None:
        self.stage.now += 40.0
        self.stage.handle(Tick())

    @rule()
    def cluster_restarts(self) -> None:
        if self.names % 4 == 3:
            before = self.held()
            self.stage.handle(Forget("restarted", "test"))
            after = set(self.held())
            self.dropped += [value for value in before if value not in after]

    # --- what is always true ---

    @invariant()
    def the_scheduler_contradicts_itself_nowhere(self) -> None:
        check(self.stage.core)

    @invariant()
    def no_item_is_lost_or_doubled(self) -> None:
        held = self.held()
        assert sorted([*held, *self.taken, *self.dropped]) == sorted(self.stage.put)

    @invariant()
    def locks_exclude_in_the_eyes_of_the_clients(self) -> None:
        clients = self.stage.clients.values()
        for name, most in SEMAPHORES.items():
            assert sum(list(client.leases.values()).count(name) for client in clients) <= most
        for name in LOCKS:
            assert sum(names == [name] for client in clients for names in client.locks.values()) <= 1

    def held(self) -> list[str]:
        return [item.payload.data.decode() for item in accepted(self.stage.core.coordination)]

    def teardown(self) -> None:
        for name in list(self.stage.clients):
            self.stage.leave(name)
        assert self.stage.core.coordination.open_requests == 0
        self.the_scheduler_contradicts_itself_nowhere()
        self.no_item_is_lost_or_doubled()


TestAnyInterleaving = AnyInterleaving.TestCase
TestAnyInterleaving.settings = settings(
    max_examples=100, stateful_step_count=60, deadline=None, suppress_health_check=list(HealthCheck)
)
