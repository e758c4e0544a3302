"""Clients of the scheduler's coordination, for tests of the pure core: honest, slow, and gone at any moment.

Links deliver in order and late: what was said is read when the test says so.
"""

from __future__ import annotations

from collections import deque
from typing import Any

from nbcluster.protocol import coordination as c
from nbcluster.protocol.payload import Payload
from nbcluster.protocol.records import Message
from nbcluster.scheduler.core import SchedulerCore
from nbcluster.scheduler.events import ClientJoined, ClientLeft, Event, FromClient
from nbcluster.scheduler.outbox import ToClient
from nbcluster.scheduler.state import Settings


def shared(value: str, *keys: str) -> c.Shared:
    return c.Shared(Payload(value.encode()), list(keys))


class ModelClient:
    """One client: what it has said and not been read, what was said to it, and what it takes for its own."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.out: deque[Message] = deque()
        self.inbox: deque[Any] = deque()
        self.asked: dict[int, Message] = {}
        self.waiting: dict[int, Message] = {}
        self.given_up: set[int] = set()
        self.leases: dict[int, str] = {}
        self.locks: dict[int, list[str]] = {}
        self.numbers = 0

    def say(self, message: Message) -> None:
        self.out.append(message)

    def ask(self, kind: Any, *args: Any) -> int:
        self.numbers += 1
        message = kind(self.numbers, *args)
        self.asked[self.numbers] = self.waiting[self.numbers] = message
        self.say(message)
        return self.numbers


class Stage:
    """The core, and its clients' links."""

    def __init__(self, settings: Settings | None = None) -> None:
        self.core = SchedulerCore(settings)
        self.clients: dict[str, ModelClient] = {}
        self.now = 0.0
        self.put: list[str] = []
        """The items that the scheduler has accepted."""

    def handle(self, event: Event) -> None:
        for command in self.core.handle(event, self.now):
            if isinstance(command, ToClient) and command.id in self.clients:
                client = self.clients[command.id]
                client.inbox += command.messages
                for message in command.messages:
                    asked = client.asked.get(getattr(message, "request", 0))
                    if isinstance(asked, c.PutItem) and isinstance(message, c.Replied) and message.value:
                        self.put.append(asked.item.payload.data.decode())

    def join(self, name: str) -> ModelClient:
        self.clients[name] = client = ModelClient(name)
        self.handle(ClientJoined(name))
        return client

    def leave(self, name: str) -> None:
        del self.clients[name]
        self.handle(ClientLeft(name))

    def ask(self, name: str, *messages: Message) -> list[Any]:
        """Say something and have it read at once; returns all that was said to this client since it last asked."""
        self.handle(FromClient(name, list(messages)))
        return self.hear(name)

    def hear(self, name: str) -> list[Any]:
        heard = list(self.clients[name].inbox)
        self.clients[name].inbox.clear()
        return heard


def stage_with(*names: str) -> Stage:
    """With clients of these names."""
    stage = Stage()
    for name in names:
        stage.join(name)
    return stage
