"""A message that cannot be sent is news for whoever waits for it, and for nobody else."""

from __future__ import annotations

import asyncio
import logging

import pytest

from nbcluster.client.states import PENDING, FutureState
from nbcluster.client.unsendable import refuse
from nbcluster.errors import CommError, SerializationError
from nbcluster.protocol.calls import Calls
from nbcluster.protocol.messages import DataItem, Locate, ReleaseKeys, Scatter, SubmitTasks, WantKeys
from nbcluster.protocol.payload import Payload
from nbcluster.protocol.records import Message

WHY = UnicodeEncodeError("utf-8", "\udc80", 0, 1, "surrogates not allowed")
DATA = Payload(b"")


@pytest.mark.parametrize(
    "message",
    [
        WantKeys(["a"]),
        SubmitTasks(b"f" * 16, DATA, ["a"], [b""]),
        Scatter([DataItem("a", DATA, 1, "int")]),
    ],
    ids=lambda message: type(message).__name__,
)
def test_the_futures_that_it_is_about_err(message: Message, caplog: pytest.LogCaptureFixture) -> None:
    states = {"a": FutureState("a"), "b": FutureState("b")}
    with caplog.at_level(logging.ERROR, "nbcluster.client"):
        asyncio.run(_refuse(message, states))
    assert isinstance(states["a"].exception(), SerializationError)
    assert "surrogates not allowed" in str(states["a"].exception())
    assert states["b"].status == PENDING
    assert f"A {type(message).__name__} could not be sent" in caplog.text


async def _refuse(message: Message, states: dict[str, FutureState]) -> None:
    refuse(message, WHY, Calls(), states.get)


def test_the_question_that_it_is_fails() -> None:
    async def main() -> None:
        calls = Calls()
        number, answer = calls.open()
        _, open_still = calls.open()
        refuse(Locate(number, ["a"]), CommError("too large"), calls, lambda key: None)
        with pytest.raises(CommError, match="too large"):
            await answer
        assert not open_still.done()

    asyncio.run(main())


def test_others_are_only_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR, "nbcluster.client"):
        asyncio.run(_refuse(ReleaseKeys(["a"]), {"a": (state := FutureState("a"))}))
    assert state.status == PENDING
    assert "what others say goes on" in caplog.text
