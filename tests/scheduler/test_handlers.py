from __future__ import annotations

from typing import Any

import pytest

from nbcluster import commands
from nbcluster.protocol import messages as m
from nbcluster.protocol.payload import Payload
from nbcluster.scheduler.handlers import HANDLERS, blocked_types, check_handlers, split_blocked


def test_names_are_checked_and_sorted() -> None:
    assert check_handlers(None) == []
    assert check_handlers(("run_function", "feed", "feed")) == ["feed", "run_function"]


@pytest.mark.parametrize(
    ("names", "error"), [(["nothing"], ValueError), ("feed", TypeError), ([5], TypeError), (5, TypeError)], ids=repr
)
def test_what_is_no_handler_is_named_with_those_that_there_are(names: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match=r"blocked_handlers=.*feed, .*run_function"):
        check_handlers(names)


def test_a_blocked_command_is_answered_with_a_refusal_and_the_rest_stays_in_order() -> None:
    asked = [
        m.WantKeys(["a"]),
        m.Call(1, commands.Restart()),
        m.Call(2, commands.GetView()),
        m.ReleaseKeys(["a"]),
    ]
    allowed, refusals = split_blocked(asked, blocked_types(["restart"]))
    assert allowed == [asked[0], asked[2], asked[3]]
    [refusal] = refusals
    assert isinstance(refusal, m.CallFailed)
    assert (refusal.id, refusal.kind) == (1, "BlockedHandlerError")
    assert refusal.message.startswith("The 'restart' handler has been explicitly disallowed in Scheduler")


def test_blocked_data_is_cancelled_whatever_its_key_means_by_then() -> None:
    scatter = m.Scatter([m.DataItem("x", Payload(b"1"))])
    allowed, [refusal] = split_blocked([scatter], blocked_types(["scatter"]))
    assert allowed == []
    assert isinstance(refusal, m.KeysCancelled)
    assert (refusal.keys, refusal.reason) == (["x"], "handler-blocked")


def test_every_message_that_can_be_blocked_can_be_refused() -> None:
    for name, kinds in HANDLERS.items():
        for kind in kinds:
            is_command = issubclass(kind, commands.Command)
            assert is_command or kind is m.Scatter or {"request", "id"} & set(kind.__struct_fields__), name  # type: ignore[attr-defined]
