"""The dashboard process: ``python -m nbcluster.dashboard``, started by the cluster when somebody visits.

It lives as long as its cluster and as there are visitors:

    end of the cluster's pipe, link or process ──▶ ends at once
    no open page for a while ─────────────────────▶ ends; the next visit starts another one
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import sys
import time
from collections.abc import Iterable

from tornado.httpserver import HTTPServer

from nbcluster.comm.loop import new_event_loop
from nbcluster.comm.transports import connect
from nbcluster.dashboard.app import DashboardApplication
from nbcluster.dashboard.cluster_link import ClusterLink, OnPush
from nbcluster.dashboard.feed import Feed
from nbcluster.dashboard.gate import Gate
from nbcluster.dashboard.settings import DashboardSettings, read
from nbcluster.dashboard.source import Source
from nbcluster.errors import CommError
from nbcluster.protocol.messages import ToClient
from nbcluster.types import Role

logger = logging.getLogger("nbcluster.dashboard")

CONNECT_TIMEOUT = 10.0
CHECK_PERIOD = 0.5
"""Seconds between two looks at whether to go on."""
LIFELINE = 0
"""Standard input: after the settings, only its end arrives on it."""


async def serve(settings: DashboardSettings) -> str:
    """Serve until there is no reason to any more; returns why it ended.

    Raises:
        CommError: the cluster cannot be reached.
    """
    parent = os.getppid()

    async def open_link(on_push: OnPush | None) -> ClusterLink:
        connection = await connect(
            settings.cluster_address,
            role=Role.CONTROL,
            token=settings.token,
            incoming=ToClient,
            timeout=CONNECT_TIMEOUT,
        )
        return ClusterLink(connection, on_push)

    link = await open_link(None)
    feed = Feed(link, open_link, Source(utc_offset=time.localtime().tm_gmtoff))
    application = DashboardApplication(feed, Gate(settings.hosts), settings.prefix)
    server = HTTPServer(application)
    server.add_sockets(_sockets(settings))
    application.start()
    pipe_ended = _watch_lifeline()
    try:
        while True:
            if pipe_ended.is_set() or os.getppid() != parent:
                return "its cluster's process ended"
            if link.lost_event.is_set():
                return "its cluster ended"
            if application.idle_seconds > settings.idle_timeout:
                return "nobody looked at it"
            await _either(pipe_ended, link.lost_event, CHECK_PERIOD)
    finally:
        server.stop()
        application.stop()
        await feed.close()
        await server.close_all_connections()
        await link.close()


def main() -> None:
    """Run; what it logs goes to standard error, and so into the cluster's log."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    for noise in ("tornado.access", "bokeh"):  # pages not found and visitors who leave are no news
        logging.getLogger(noise).setLevel(logging.ERROR)
    settings = read(sys.stdin.buffer)
    loop = new_event_loop()
    asyncio.set_event_loop(loop)
    try:
        reason = loop.run_until_complete(serve(settings))
    except CommError as error:
        sys.exit(f"The dashboard could not connect to its cluster: {error}")
    finally:
        loop.close()
    logger.info("The dashboard ends: %s", reason)


def _sockets(settings: DashboardSettings) -> Iterable[socket.socket]:
    descriptors = list(settings.tcp_sockets)
    if settings.unix_socket is not None:
        descriptors.append(settings.unix_socket)
    for descriptor in descriptors:
        inherited = socket.socket(fileno=descriptor)
        inherited.setblocking(False)
        yield inherited


def _watch_lifeline() -> asyncio.Event:
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()

    def readable() -> None:
        if not os.read(LIFELINE, 4096):
            loop.remove_reader(LIFELINE)
            ended.set()

    loop.add_reader(LIFELINE, readable)
    return ended


async def _either(first: asyncio.Event, second: asyncio.Event, timeout: float) -> None:
    waits = [asyncio.ensure_future(event.wait()) for event in (first, second)]
    try:
        await asyncio.wait(waits, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
