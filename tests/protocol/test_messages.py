"""The vocabulary as a whole: each message has its direction, and one module."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest

import nbcluster.protocol
from nbcluster.protocol import delivery, joining, messages
from nbcluster.protocol.records import Message, Record

DIRECTIONS = {
    "from_client": messages.ClientMessage,
    "to_client": messages.ToClient,
    "from_worker": messages.WorkerMessage,
    "to_worker": messages.ToWorker,
    "between_peers": messages.PeerRequest | messages.PeerReply,
}
"""By the module that says what may go that way."""

PASSED_ON = {messages.TaskOutput: "to_client", messages.Stopping: "to_worker"}
"""What goes a second way beside that of its module."""


def classes_of(module: str) -> list[type[Any]]:
    """The records that are written down in a module of the protocol."""
    found = import_module(f"nbcluster.protocol.{module}")
    return [value for value in vars(found).values() if isinstance(value, type) and value.__module__ == found.__name__]


def modules() -> list[str]:
    folder = Path(nbcluster.protocol.__path__[0])
    return [".".join(path.relative_to(folder).with_suffix("").parts) for path in sorted(folder.rglob("[a-z]*.py"))]


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_a_message_stands_in_the_module_of_its_direction(direction: str) -> None:
    written = {each for each in classes_of(f"messages.{direction}") if issubclass(each, Message)}
    assert written <= set(get_args(DIRECTIONS[direction]))
    for other, union in DIRECTIONS.items():
        if other != direction:
            assert {each for each in written & set(get_args(union)) if PASSED_ON.get(each) != other} == set()


def test_every_message_of_the_protocol_may_be_said_to_somebody() -> None:
    elsewhere = joining.Joining, delivery.SenderRequest, delivery.SenderReply  # links of their own
    said = {message for union in (*DIRECTIONS.values(), *elsewhere) for message in get_args(union)}
    unsaid = [
        each for module in modules() for each in classes_of(module) if issubclass(each, Message) and each not in said
    ]
    assert unsaid == [Message]


def test_the_package_offers_all_that_its_modules_define() -> None:
    written = {
        each.__name__ for module in [*DIRECTIONS, "data"] for each in classes_of(f"messages.{module}")
    }  # beside these it offers the unions and constants
    assert written <= set(messages.__all__)
    assert {name for name in messages.__all__ if isinstance(getattr(messages, name), type)} == written


def test_messages_and_their_parts_cannot_be_changed() -> None:
    for module in modules():
        for each in classes_of(module):
            if issubclass(each, Message | Record):
                assert each.__struct_config__.frozen, each


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_messages_of_one_direction_have_names_of_their_own(direction: str) -> None:
    msgspec.msgpack.Decoder(DIRECTIONS[direction])  # refuses two with one tag
