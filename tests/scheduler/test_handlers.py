from __future__ import annotations

from typing import Any, get_args

import pytest

from nbcluster import commands
from nbcluster.protocol import coordination as c
from nbcluster.protocol import inspection as i
from nbcluster.protocol import messages as m
from nbcluster.protocol.payload import Payload
from nbcluster.protocol.records import Message
from nbcluster.scheduler.handlers import (
    HANDLERS,
    ClearingFlag,
    SettingFlag,
    blocked_types,
    check_handlers,
    split_blocked,
)


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


def test_questions_are_told_apart_by_what_they_are_about() -> None:
    asked: list[Message] = [
        i.Inspect(1, i.AskWorkers(i.LookAtRuns())),
        i.Inspect(2, i.AskWorkers(i.LookAtVersions([]))),
        i.Inspect(3, i.AskScheduler(i.LookAtVersions([]))),
        i.Inspect(4, i.AskHolders()),
    ]
    allowed, refusals = split_blocked(asked, blocked_types(["versions", "who_has"]))
    assert allowed == asked[:1]
    assert [refusal.id for refusal in refusals if isinstance(refusal, m.CallFailed)] == [2, 3, 4]


def test_setting_an_event_and_clearing_it_are_two_things() -> None:
    setting, clearing = c.SetFlag(1, "x", True), c.SetFlag(2, "x", False)
    assert split_blocked([setting, clearing], blocked_types(["event_clear"]))[0] == [setting]
    assert split_blocked([setting, clearing], blocked_types(["event_set"]))[0] == [clearing]


def test_every_question_to_the_scheduler_has_a_handler() -> None:
    named = {kind for kinds in HANDLERS.values() for kind in kinds}
    assert set(get_args(i.AnyQuestion)) - named == {i.AskWorkers, i.AskScheduler}, "they are told apart by their look"
    assert set(get_args(i.AnyLook)) <= named


OPEN = {c.Withdraw, c.Received, c.RenewLeases, c.OpenQueue, c.LeaveQueue, c.SubscribeTopic}
"""What only ends or keeps up what was granted, or is of no use without what can be closed; and topics."""


def test_all_coordination_that_is_answered_has_a_handler() -> None:
    named = {kind for kinds in HANDLERS.values() for kind in kinds}
    assert set(get_args(c.CoordinationRequest)) - named == {*OPEN, c.SetFlag}


def test_every_message_that_can_be_blocked_can_be_refused() -> None:
    inside = {*get_args(i.AnyQuestion), *get_args(i.AnyLook), SettingFlag, ClearingFlag}
    for name, kinds in HANDLERS.items():
        for kind in kinds - inside:
            is_command = issubclass(kind, commands.Command)
            assert is_command or kind is m.Scatter or {"request", "id"} & set(kind.__struct_fields__), name  # type: ignore[attr-defined]
