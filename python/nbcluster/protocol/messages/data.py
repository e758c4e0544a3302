"""Pieces of data, and where they are: parts of messages of several links."""

from __future__ import annotations

from nbcluster.protocol.payload import Payload
from nbcluster.protocol.records import Record
from nbcluster.types import Address, Key


class DataItem(Record, frozen=True):
    """A piece of data on its way: scattered by a client, or fetched by a peer."""

    key: Key
    payload: Payload
    nbytes: int = 0
    type_name: str = ""
    stamp: int = 0
    """In ``PutData``: tells one meaning of a key from the next, for the scheduler."""


class Location(Record, frozen=True):
    """Where a result is: here, or with these workers."""

    key: Key
    payload: Payload | None
    holders: list[Address]
    nbytes: int


class MissingData(Record, frozen=True):
    """``holder`` was said to hold ``key``, and does not answer or does not have it."""

    key: Key
    holder: Address
