"""Events: what is logged on the cluster under topics, and who is told."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Collection
from typing import Any

from nbcluster.arguments import check_text
from nbcluster.client.coordinating import CoordinatingClient, nothing_of
from nbcluster.client.coordination.link import Request
from nbcluster.protocol.coordination import EventsFound, GetEvents, LogEvent, LoggedEvent, SubscribeTopic, TopicNews
from nbcluster.protocol.serialize import dump

logger = logging.getLogger("nbcluster.client")

MOST_WAITING = 10_000
"""Events that wait for slow handlers."""

Handler = Callable[[tuple[float, Any]], object]


class TopicsClient(CoordinatingClient):
    """Logs events, and hears of them."""

    _handlers: dict[str, Handler]
    _delivery: Delivery | None = None

    def log_event(self, topic: str | Collection[str], msg: Any) -> Any:
        """Log something under a topic, or under several.

        The cluster keeps the latest 10,000 events of each topic. It logs by itself when workers come and go, under
        ``"all"`` and under the worker's address.

        Args:
            topic: its name, or a list of names.
            msg: anything that can be pickled, and is small.

        Example:
            >>> client.log_event("progress", {"epoch": 1})
            >>> client.get_events("progress")[-1][1]
            {'epoch': 1}
        """
        topics = check_topics(topic)
        value = dump(msg, "msg", in_band=True)
        return self._request(lambda number: LogEvent(number, topics, value), nothing_of)

    def get_events(self, topic: str | None = None) -> Any:
        """What was logged: ``(when, msg)`` in order; ``when`` is in seconds since 1970, by the scheduler's clock.

        Args:
            topic: its name; None is all.

        Returns:
            A tuple; for all topics, a dict of them by name.
        """
        if topic is not None:
            check_topic(topic)

        def then(answer: EventsFound, request: Request) -> Any:
            found = {name: tuple(map(self._event, events)) for name, events in answer.topics.items()}
            return found if topic is None else found[topic]

        return self._request(lambda number: GetEvents(number, topic), then)

    def _event(self, event: LoggedEvent) -> tuple[float, Any]:
        return event.when, self._open(event.value)

    def subscribe_topic(self, topic: str, handler: Handler) -> None:
        """Have a handler called with each event that is logged under a topic from now on.

        Handlers are called one after the other, in order: of a synchronous client in a thread of their own, of an
        asynchronous one on its loop. One that raises is logged, and goes on to be called.

        Args:
            topic: its name. A former handler for it is replaced.
            handler: a function or a coroutine function of one argument, ``(when, msg)``.

        Example:
            >>> client.subscribe_topic("progress", lambda event: print(event[1]))
            >>> client.unsubscribe_topic("progress")
        """
        check_topic(topic)
        if not callable(handler):
            raise TypeError(f"handler={handler!r} cannot be called; give a function of one argument")
        link = self._session.coordination
        if self._delivery is None:
            self._handlers = {}
            self._delivery = Delivery(self)
            link.on_news = self._delivery.news
        self._handlers[topic] = handler
        link.wants.post(SubscribeTopic(topic, True))

    def unsubscribe_topic(self, topic: str) -> None:
        """Have the handler of a topic called no more.

        Raises:
            ValueError: there is none.
        """
        check_topic(topic)
        if self._delivery is None or topic not in self._handlers:
            raise ValueError(f"No event handler known for topic {topic}.")
        del self._handlers[topic]
        self._session.coordination.wants.post(SubscribeTopic(topic, False))


class Delivery:
    """Brings news to handlers, one after the other."""

    def __init__(self, client: TopicsClient) -> None:
        self._open = client._event
        self._handlers = client._handlers
        self._asynchronous = client.asynchronous
        self._start = client._session.coordination.owner.start
        self._waiting: deque[TopicNews] = deque(maxlen=MOST_WAITING)
        self._running = False

    def news(self, news: TopicNews) -> None:
        """Something was logged. On the loop."""
        if len(self._waiting) == MOST_WAITING:
            logger.warning("Handlers are slower than events: the oldest of %d is dropped", MOST_WAITING)
        self._waiting.append(news)
        if not self._running:
            self._running = True
            self._start(self._deliver(), "deliver events")

    async def _deliver(self) -> None:
        try:
            while self._waiting:
                news = self._waiting.popleft()
                handler = self._handlers.get(news.topic)
                if handler is None:
                    continue
                try:
                    await self._call(handler, news)
                except Exception:
                    logger.exception("The handler of the topic %r failed", news.topic)
        finally:
            self._running = False

    async def _call(self, handler: Handler, news: TopicNews) -> None:
        if self._asynchronous:
            outcome = handler(self._open(news.event))
        else:
            outcome = await asyncio.to_thread(lambda: handler(self._open(news.event)))
        if inspect.isawaitable(outcome):
            await _await(outcome)


async def _await(outcome: Awaitable[Any]) -> None:
    await outcome


def check_topics(topic: object) -> list[str]:
    """One topic or several, as a list."""
    topics = [topic] if isinstance(topic, str) or not isinstance(topic, Collection) else list(topic)
    return [check_topic(one) for one in topics]


def check_topic(topic: object) -> str:
    """Refuse what is no name of a topic."""
    if not isinstance(topic, str) or not topic:
        raise TypeError(f"topic={topic!r} is not a non-empty string")
    return check_text("topic", topic)
