"""What is brought to a client, without a scheduler and without workers."""

from __future__ import annotations

import asyncio

import pytest

from nbcluster.errors import SharedDataGoneError
from nbcluster.protocol import messages as m
from nbcluster.protocol.payload import Frame, Payload
from tests.support.client_stage import RESULT, Stage, staged
from tests.support.eventually import soon


@staged
async def test_payloads_that_came_along_are_at_hand(stage: Stage) -> None:
    states = stage.want("a", "b")
    stage.hear_done("a", "b")
    assert await stage.session.results.collect(states, stop_early=True) == {"a": RESULT, "b": RESULT}


@staged
async def test_others_are_fetched_from_who_holds_them(stage: Stage) -> None:
    states = stage.want("a", "b", "c")
    stage.peers.held["w0"] = {"a": Payload(b"a")}
    stage.peers.held["w1"] = {"b": Payload(b"b")}
    stage.hear_done("a", "b", "c", payload=None)
    collecting = asyncio.ensure_future(stage.session.results.collect(states, stop_early=True))
    await soon(lambda: stage.link.said(m.Locate))
    [locate] = stage.link.said(m.Locate)
    assert locate.keys == ["a", "b", "c"]
    places = [
        m.Location("a", None, ["w0"], 8),
        m.Location("b", None, ["w1", "w2"], 8),
        m.Location("c", Payload(b"c"), [], 8),
    ]
    stage.link.hear(m.Located(locate.request, places))
    assert await collecting == {"a": Payload(b"a"), "b": Payload(b"b"), "c": Payload(b"c")}


@staged
async def test_what_cannot_be_fetched_is_reported_and_waited_for_again(stage: Stage) -> None:
    states = stage.want("a", "b")
    stage.peers.held["w1"] = {}
    stage.hear_done("a", "b", payload=None)
    collecting = asyncio.ensure_future(stage.session.results.collect(states, stop_early=True))
    await soon(lambda: stage.link.said(m.Locate))
    request = stage.link.said(m.Locate)[0].request
    places = [m.Location("a", None, ["w-gone"], 8), m.Location("b", None, ["w1"], 8)]
    stage.link.hear(m.Located(request, places))
    await soon(lambda: stage.link.said(m.ReportMissing))
    [report] = stage.link.said(m.ReportMissing)
    assert sorted((item.key, item.holder) for item in report.missing) == [("a", "w-gone"), ("b", "w1")]
    stage.link.hear(m.KeysPending(["a", "b"]))
    for locate in stage.link.said(m.Locate)[1:]:
        stage.link.hear(m.Located(locate.request, []))
    stage.hear_done("a", "b")
    assert await collecting == {"a": RESULT, "b": RESULT}


class Somewhere:
    """A buffer in shared memory that may be gone."""

    nbytes = 4
    lost = False
    elsewhere = False

    def __init__(self, gone: bool) -> None:
        self.gone = gone
        self.opened = 0

    def name(self) -> int:
        return 1

    def open(self) -> memoryview:
        self.opened += 1
        if self.gone:
            raise SharedDataGoneError("it is gone")
        return memoryview(b"data")


def shared(gone: bool) -> Payload:
    return Payload(b"x", (Frame(None, shared=Somewhere(gone)),))


@staged
async def test_what_is_gone_from_shared_memory_is_looked_for_again(stage: Stage) -> None:
    states = stage.want("pushed", "located", "held")
    stage.hear_done("pushed", payload=shared(gone=True))
    stage.hear_done("located", "held", payload=None)
    stage.peers.held["w0"] = {"held": shared(gone=True)}
    collecting = asyncio.ensure_future(stage.session.results.collect(states, stop_early=True))
    await soon(lambda: len(stage.link.said(m.Locate)) == 1)
    places = [m.Location("located", shared(gone=True), [], 8), m.Location("held", None, ["w0"], 8)]
    stage.link.hear(m.Located(stage.link.said(m.Locate)[0].request, places))
    await soon(lambda: len(stage.link.said(m.Locate)) == 2)
    again = stage.link.said(m.Locate)[1]
    assert sorted(again.keys) == ["held", "located", "pushed"]
    stage.link.hear(m.Located(again.request, [m.Location(key, RESULT, [], 8) for key in again.keys]))
    assert await collecting == dict.fromkeys(again.keys, RESULT)


@staged
async def test_what_turns_out_to_be_shared_is_not_asked_for_again(stage: Stage) -> None:
    states = stage.want("located", "held", "large")
    stage.hear_done("located", "held", "large", payload=None)
    part = Payload(b"x", (Frame(None, shared=Somewhere(gone=False)), Frame(b"beside it")))
    stage.peers.held["w0"] = {"held": shared(gone=False), "large": part}
    for asked in (["located", "held", "large"], ["large"]):
        before = len(stage.link.said(m.Locate))
        collecting = asyncio.ensure_future(stage.session.results.collect(states, stop_early=True))
        await soon(lambda: len(stage.link.said(m.Locate)) == before + 1)  # noqa: B023 (it is called in this round)
        locate = stage.link.said(m.Locate)[-1]
        assert locate.keys == asked, "of what came as bytes, nothing is kept"
        places = [m.Location("located", shared(gone=False), [], 8)]
        places += [m.Location(key, None, ["w0"], 8) for key in ("held", "large")]
        stage.link.hear(m.Located(locate.request, [place for place in places if place.key in asked]))
        collected = await collecting
        assert {key: bytes(payload.frames[0].open()) for key, payload in collected.items()} == dict.fromkeys(
            ("located", "held", "large"), b"data"
        )


@staged
async def test_what_remains_gone_is_an_error_and_no_endless_search(stage: Stage) -> None:
    states = stage.want("a")
    stage.hear_done("a", payload=None)
    collecting = asyncio.ensure_future(stage.session.results.collect(states, stop_early=True))
    answered = 0
    while not collecting.done():
        for locate in stage.link.said(m.Locate)[answered:]:
            answered += 1
            stage.link.hear(m.Located(locate.request, [m.Location("a", shared(gone=True), [], 8)]))
        await asyncio.sleep(0)
    with pytest.raises(SharedDataGoneError):
        await collecting


@staged
async def test_collecting_stops_at_the_first_failure_if_it_should(stage: Stage) -> None:
    slow, bad = stage.want("slow", "bad")
    collecting = asyncio.ensure_future(stage.session.results.collect([slow, bad], stop_early=True))
    await asyncio.sleep(0)
    stage.link.hear(m.KeyErred("bad", m.Lost(""), "bad"))
    assert await collecting == {}
    assert await stage.session.results.collect([slow, bad], stop_early=True) == {}


@staged
async def test_or_goes_on_without_what_failed(stage: Stage) -> None:
    slow, bad = stage.want("slow", "bad")
    collecting = asyncio.ensure_future(stage.session.results.collect([slow, bad], stop_early=False))
    await asyncio.sleep(0)
    stage.link.hear(m.KeyErred("bad", m.Lost(""), "bad"))
    stage.hear_done("slow")
    assert await collecting == {"slow": RESULT}
