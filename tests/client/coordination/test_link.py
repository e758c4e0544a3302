"""Requests to the scheduler's coordination, without a scheduler: asked, answered, given up at any moment."""

from __future__ import annotations

import asyncio

import pytest

from nbcluster.client.coordination.link import Request
from nbcluster.errors import CancelledError, ClosedClientError
from nbcluster.protocol import coordination as c
from nbcluster.protocol.payload import Payload
from tests.support.client_stage import Stage, staged
from tests.support.eventually import soon


def acquire(number: int) -> c.AcquireLease:
    return c.AcquireLease(number, "lock", 1, True, True)


def get(number: int) -> c.GetItems:
    return c.GetItems(number, "q", 0, 1, True)


async def asked(stage: Stage, request: Request, timeout: float | None = None) -> asyncio.Future[object]:
    """A request that has been sent."""
    asking = asyncio.ensure_future(request.ask(acquire, timeout))
    await soon(lambda: stage.link.said(c.AcquireLease))
    return asking


@staged
async def test_a_request_is_answered_by_its_number(stage: Stage) -> None:
    link = stage.session.coordination
    first, second = Request(link), Request(link)
    asking = [asyncio.ensure_future(one.ask(get, None)) for one in (first, second)]
    await soon(lambda: len(stage.link.said(c.GetItems)) == 2)
    one, two = (message.request for message in stage.link.said(c.GetItems))
    stage.link.hear(c.HandedOver(two, [Payload(b"2")]), c.HandedOver(one, [Payload(b"1")]))
    assert [(await answer).items for answer in asking] == [[Payload(b"1")], [Payload(b"2")]]


@staged
async def test_what_was_handed_over_is_confirmed_once_it_is_received(stage: Stage) -> None:
    request = Request(stage.session.coordination)
    asking = await asked(stage, request)
    stage.link.hear(c.Replied(request.number or 0, True))
    await asking
    request.settle()
    request.abandon()
    await soon(lambda: stage.link.said(c.Received))
    assert stage.link.said(c.Received) == [c.Received(request.number or 0)]
    assert not stage.link.said(c.Withdraw), "it has been received: there is nothing to give back"


@staged
async def test_after_its_timeout_it_is_withdrawn_and_takes_what_the_scheduler_says_then(stage: Stage) -> None:
    request = Request(stage.session.coordination)
    asking = await asked(stage, request, timeout=0.001)
    await soon(lambda: stage.link.said(c.Withdraw))
    [withdraw] = stage.link.said(c.Withdraw)
    assert (withdraw.request, withdraw.give_back) == (request.number, False)
    assert not asking.done()
    stage.link.hear(c.Replied(withdraw.request, False))
    assert await asking == c.Replied(withdraw.request, False)


@staged
async def test_whoever_gives_up_gives_back_whatever_was_granted_meanwhile(stage: Stage) -> None:
    request = Request(stage.session.coordination)
    asking = await asked(stage, request)
    request.abandon()
    request.abandon()
    await soon(lambda: stage.link.said(c.Withdraw))
    assert stage.link.said(c.Withdraw) == [c.Withdraw(request.number or 0, True)]
    assert await asking is None
    stage.link.hear(c.LeaseGranted(request.number or 0, 30.0))  # it was on its way: nobody waits for it


@staged
async def test_a_request_that_was_given_up_before_it_was_made_is_not_made(stage: Stage) -> None:
    request = Request(stage.session.coordination)
    request.abandon()
    with pytest.raises(CancelledError, match="given up before it was made"):
        await request.ask(acquire, None)
    assert stage.link.sent == []


@staged
async def test_leases_are_renewed_until_they_are_let_go_of(stage: Stage) -> None:
    link, request = stage.session.coordination, Request(stage.session.coordination)
    asking = await asked(stage, request)
    lease = request.number or 0
    stage.link.hear(c.LeaseGranted(lease, 0.001))
    await asking
    await soon(lambda: len(stage.link.said(c.RenewLeases)) >= 2)
    assert stage.link.said(c.RenewLeases)[0] == c.RenewLeases([lease])
    link.give_back(lease)
    await soon(lambda: stage.link.said(c.Withdraw))
    await soon(lambda: link._renewing is None)
    assert stage.link.said(c.Withdraw) == [c.Withdraw(lease, True)]


@staged
async def test_news_of_topics_go_to_whoever_listens(stage: Stage) -> None:
    heard: list[c.TopicNews] = []
    stage.session.coordination.on_news = heard.append
    news = c.TopicNews("x", c.LoggedEvent(1.0, Payload(b"1")))
    stage.link.hear(news)
    assert heard == [news]


@staged
async def test_what_is_only_told_is_sent_in_order_and_its_answer_dropped(stage: Stage) -> None:
    link = stage.session.coordination
    link.tell(lambda number: c.SetFlag(number, "f", True))
    link.tell(lambda number: c.SetFlag(number, "f", False))
    await soon(lambda: len(stage.link.said(c.SetFlag)) == 2)
    assert [message.value for message in stage.link.said(c.SetFlag)] == [True, False]
    stage.link.hear(*(c.Replied(message.request, True) for message in stage.link.said(c.SetFlag)))


@staged
async def test_without_a_scheduler_waiting_ends_and_telling_is_no_error(stage: Stage) -> None:
    link, request = stage.session.coordination, Request(stage.session.coordination)
    asking = await asked(stage, request)
    stage.link.lose()
    with pytest.raises(ClosedClientError):
        await asking
    link.post(c.RenewLeases([1]))
    link.tell(lambda number: c.SetFlag(number, "f", True))
    request.abandon()
