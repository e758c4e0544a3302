"""How a worker gets into a cluster: at which address it listens, and with which secret."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from nbcluster.cluster import membership
from nbcluster.cluster.membership import Entry, Place, find_entry, new_name
from nbcluster.comm.credentials import ClusterDirectory

NEAR = "tcp://127.0.0.1:65010"
FAR = "tcp://192.0.2.1:65010"
MACHINE = "192.0.2.7"
ANYWHERE = Place()
"""Nobody has said where."""


@pytest.fixture(autouse=True)
def _on_a_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(membership, "machine_address", lambda: MACHINE)


@pytest.fixture
def directory() -> Iterator[ClusterDirectory]:
    with ClusterDirectory() as directory:
        for address in (NEAR, FAR, "inproc://c1"):
            directory.publish(address)
        yield directory


def entry(address: str, place: Place = ANYWHERE) -> Entry:
    return asyncio.run(find_entry(address, None, place, lambda error: None))


def test_a_worker_near_its_scheduler_listens_where_only_this_machine_reaches_it(directory: ClusterDirectory) -> None:
    found = entry(NEAR)
    assert (found.scheduler, found.token, found.tls) == (NEAR, directory.token, None)
    assert (found.listen, found.contact) == ("tcp://127.0.0.1:0", "")


def test_a_worker_far_from_its_scheduler_listens_where_other_machines_reach_it(directory: ClusterDirectory) -> None:
    assert entry(FAR).listen == f"tcp://{MACHINE}:0"


def test_in_one_process_it_is_reached_there_unless_somebody_says_where_it_is_to_listen(
    directory: ClusterDirectory,
) -> None:
    assert entry("inproc://c1").listen == "inproc://"
    assert entry("inproc://c1", Place(ports=[9000])).listen == "tcp://127.0.0.1:0"
    assert entry("inproc://c1", Place(protocol="tcp")).listen == "tcp://127.0.0.1:0"


def test_a_contact_address_is_told_to_its_peers(directory: ClusterDirectory) -> None:
    found = entry(NEAR, Place(contact="tcp://192.0.2.9:0"))
    assert (found.listen, found.contact) == ("tcp://127.0.0.1:0", "tcp://192.0.2.9:0")


@pytest.mark.parametrize(
    ("address", "place", "says"),
    [
        ("tls://192.0.2.1:1", ANYWHERE, "needs TLS credentials"),
        (NEAR, Place(protocol="tls"), "protocol='tls' does not go with the scheduler .*; give 'tcp'"),
        ("inproc://c1", Place(protocol="tls"), "give 'inproc' or 'tcp'"),
        ("inproc://c1", Place(host="127.0.0.1", protocol="inproc"), "has no host, port and contact_address"),
        (NEAR, Place(contact="tls://192.0.2.9:0"), "contact_address='tls://192.0.2.9:0' does not go with"),
        (NEAR, Place(contact="unix:///socket"), "contact_address='unix:///socket' does not go with"),
    ],
)
def test_a_place_where_others_would_not_find_it_is_refused(address: str, place: Place, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        entry(address, place)


def test_an_address_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="nonsense"):
        entry("nonsense")


def test_an_entry_shows_no_secret() -> None:
    assert "secret" not in repr(Entry(NEAR, b"secret", None, "inproc://"))


def test_every_worker_that_was_given_no_name_gets_one_of_its_own() -> None:
    assert len({new_name() for _ in range(100)}) == 100
