from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from nbcluster.supervisor.channel import Channel, Exited, Kill, Ready, Spawn, ToSupervisor, ToZygote


@pytest.fixture
def ends() -> Iterator[tuple[Channel, Channel]]:
    left, right = socket.socketpair()
    left.setblocking(False)
    supervisor, zygote = Channel(left, ToSupervisor), Channel(right, ToZygote)
    yield supervisor, zygote
    supervisor.close()
    zygote.close()


def spawn(id: int, size: int = 0) -> Spawn:
    return Spawn(id=id, name="w", mark="m", config=b"x" * size, token=b"t")


def receive(channel: Channel, count: int) -> list[Any]:
    found: list[Any] = []
    while len(found) < count:
        received = channel.receive()
        assert received is not None
        found += received
    return found


def test_messages_arrive_in_order_and_typed(ends: tuple[Channel, Channel]) -> None:
    supervisor, zygote = ends
    messages = [spawn(1), Kill(id=1), Kill(id=2)]
    for message in messages:
        assert supervisor.send(message)
    assert [message for message, _ in receive(zygote, 3)] == messages
    zygote.send(Ready())
    zygote.send(Exited(id=1, code=-9, max_rss=5))
    assert [message for message, _ in receive(supervisor, 2)] == [Ready(), Exited(id=1, code=-9, max_rss=5)]
    assert supervisor.receive() == []


def test_descriptors_arrive_with_their_message(ends: tuple[Channel, Channel]) -> None:
    supervisor, zygote = ends
    pipes = [os.pipe() for _ in range(3)]
    for i, (_, write) in enumerate(pipes):
        supervisor.send(spawn(i), [write])
        supervisor.send(Kill(id=i))
        os.close(write)
    received = receive(zygote, 6)
    assert [len(descriptors) for _, descriptors in received] == [1, 0, 1, 0, 1, 0]
    for message, descriptors in received:
        for fd in descriptors:
            os.write(fd, str(message.id).encode())
            os.close(fd)
    for i, (read, _) in enumerate(pipes):
        assert os.read(read, 10) == str(i).encode()
        os.close(read)


def test_what_the_socket_does_not_take_waits_with_its_descriptors(ends: tuple[Channel, Channel]) -> None:
    supervisor, zygote = ends
    read, write = os.pipe()
    assert not supervisor.send(spawn(1, size=1_000_000))
    assert not supervisor.send(spawn(2), [write])
    os.close(write)
    found: list[Any] = []
    while len(found) < 2:
        supervisor.flush()
        found += zygote.receive() or []
    (first, none), (second, (fd,)) = found
    assert (len(first.config), none, second.id) == (1_000_000, [], 2)
    os.write(fd, b"there")
    os.close(fd)
    assert os.read(read, 10) == b"there"
    os.close(read)


def test_the_end_is_told_once_all_was_read(ends: tuple[Channel, Channel]) -> None:
    supervisor, zygote = ends
    supervisor.send(Kill(id=1))
    supervisor.close()
    supervisor.close()
    assert receive(zygote, 1) == [(Kill(id=1), [])]
    assert zygote.receive() is None
