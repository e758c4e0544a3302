"""Parts of a cluster that are looked at where they run."""

from __future__ import annotations

import pickle

import pytest

from nbcluster.resident import Resident
from nbcluster.types import Address


class Lighthouse(Resident):
    _called = "the lighthouse"

    def __init__(self, address: Address) -> None:
        self.height = 40
        self._address = address

    def __repr__(self) -> str:
        return f"<Lighthouse at {self.address}>"

    @property
    def address(self) -> Address:
        return self._address


def test_it_tells_the_parts_of_its_address() -> None:
    there = Lighthouse("tcp://192.0.2.7:8786")
    assert (there.ip, there.port) == ("192.0.2.7", 8786)


def test_what_is_not_there_is_answered_by_what_is() -> None:
    with pytest.raises(AttributeError) as caught:
        Lighthouse("inproc://1").depth  # noqa: B018
    assert str(caught.value) == (
        "the lighthouse has no 'depth' to be looked at from here; there are address, height, ip, port"
    )


def test_it_is_not_sent_elsewhere() -> None:
    with pytest.raises(TypeError, match="<Lighthouse at inproc://1> stays where it runs; return what it tells"):
        pickle.dumps(Lighthouse("inproc://1"))
