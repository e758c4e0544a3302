"""What a worker remembers of the data that came from others, and went to them."""

from __future__ import annotations

import time

from nbcluster.protocol.messages import DataItem
from nbcluster.protocol.payload import Payload
from nbcluster.worker import transfer_log
from nbcluster.worker.transfer_log import TransferLog


def item(key: str, nbytes: int, sent: bytes = b"") -> DataItem:
    return DataItem(key, Payload(sent), nbytes)


def test_a_transfer_is_told_with_its_keys_and_its_bytes() -> None:
    log, began = TransferLog(), time.time() - 2
    log.note("tcp://other", [item("x", 100, b"123"), item("y", 50)], began)
    [entry] = log.entries
    assert (entry["who"], entry["keys"], entry["total"], entry["compressed"]) == (
        "tcp://other",
        {"x": 100, "y": 50},
        150,
        3,
    )
    assert entry["start"] == began <= entry["middle"] <= entry["stop"]
    assert entry["duration"] == entry["stop"] - entry["start"]
    assert entry["bandwidth"] == 150 / entry["duration"]


def test_a_client_has_no_address() -> None:
    log = TransferLog()
    log.note("", [item("x", 1)], time.time())
    assert log.entries[0]["who"] is None


def test_a_transfer_of_nothing_is_none() -> None:
    log = TransferLog()
    log.note("tcp://other", [], time.time())
    assert not log.entries


def test_a_clock_that_goes_back_makes_no_bandwidth_negative() -> None:
    log = TransferLog()
    log.note("tcp://other", [item("x", 1)], time.time() + 3600)
    assert log.entries[0]["bandwidth"] > 0


def test_the_oldest_are_forgotten_and_whoever_looks_has_a_copy() -> None:
    log = TransferLog()
    for number in range(transfer_log.MOST + 1):
        log.note("tcp://other", [item(str(number), 1)], time.time())
    seen = log.entries
    assert len(seen) == transfer_log.MOST
    assert seen[0]["keys"] == {"1": 1}
    log.note("tcp://other", [item("later", 1)], time.time())
    assert "later" not in seen[-1]["keys"]
