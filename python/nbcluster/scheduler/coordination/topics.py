"""Topics: what was logged under each, and who wants to know.

History is bounded in three ways: events per topic, topics, and bytes in all. The topic that was silent for longest is
the first to lose its oldest events.
"""

from __future__ import annotations

from collections import deque

from nbcluster.protocol.coordination import EventsFound, GetEvents, LogEvent, LoggedEvent, SubscribeTopic, TopicNews
from nbcluster.protocol.payload import Payload
from nbcluster.protocol.serialize import dump
from nbcluster.scheduler.coordination.tickets import Ticket, Tickets

MOST_EVENTS = 10_000
"""Kept of one topic."""
MOST_TOPICS = 1_000
MOST_BYTES = 64 * 2**20


class Topics:
    """All topics by name, those that are logged to at the end."""

    def __init__(self, tickets: Tickets) -> None:
        self._tickets = tickets
        self._events: dict[str, deque[LoggedEvent]] = {}
        self._nbytes = 0
        self._subscribers: dict[str, dict[str, None]] = {}

    def log(self, topics: list[str], value: Payload, when: float) -> None:
        """Keep an event, and tell it to the subscribers."""
        event = LoggedEvent(when, value)
        for topic in topics:
            events = self._events.pop(topic, None)
            if events is None:
                events = deque()
            self._events[topic] = events
            events.append(event)
            self._nbytes += value.nbytes
            if len(events) > MOST_EVENTS:
                self._nbytes -= events.popleft().value.nbytes
            for client in self._subscribers.get(topic, ()):
                self._tickets.say(client, TopicNews(topic, event))
        while len(self._events) > MOST_TOPICS:
            self._forget_oldest()
        while self._nbytes > MOST_BYTES:
            self._forget_one()

    def note(self, topics: list[str], when: float, **facts: object) -> None:
        """Log what happened to the cluster itself."""
        self.log(topics, dump(facts, in_band=True), when)

    def record(self, ticket: Ticket, message: LogEvent, when: float) -> None:
        """Log what a client says."""
        self.log(message.topics, message.value, when)
        self._tickets.answer(ticket, True)

    def get(self, ticket: Ticket, message: GetEvents) -> None:
        """Say what was logged."""
        self._tickets.say(ticket.client, EventsFound(ticket.number, self.events(message.topic)))

    def events(self, topic: str | None) -> dict[str, list[LoggedEvent]]:
        """What was logged under a topic; None is all."""
        names = list(self._events) if topic is None else [topic]
        return {name: list(self._events.get(name, ())) for name in names}

    def subscribe(self, client: str, message: SubscribeTopic) -> None:
        """Tell a client of what is logged from now on; or no more."""
        if message.on:
            self._subscribers.setdefault(message.topic, {})[client] = None
        else:
            self._unsubscribe(message.topic, client)

    def client_left(self, client: str) -> None:
        """It wants to know nothing any more."""
        for topic in [topic for topic, clients in self._subscribers.items() if client in clients]:
            self._unsubscribe(topic, client)

    def _unsubscribe(self, topic: str, client: str) -> None:
        clients = self._subscribers.get(topic, {})
        clients.pop(client, None)
        if not clients:
            self._subscribers.pop(topic, None)

    def _forget_oldest(self) -> None:
        events = self._events.pop(next(iter(self._events)))
        self._nbytes -= sum(event.value.nbytes for event in events)

    def _forget_one(self) -> None:
        topic = next(iter(self._events))
        events = self._events[topic]
        self._nbytes -= events.popleft().value.nbytes
        if not events:
            del self._events[topic]
