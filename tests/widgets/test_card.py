from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace

from nbcluster.comm.loop import LoopThread
from nbcluster.commands import Scale
from nbcluster.snapshot import ClusterView, OwnerView, TaskCounts
from nbcluster.types import Status
from nbcluster.widgets import remote
from nbcluster.widgets.card import Card, card_of
from nbcluster.widgets.server import ServerInfo
from tests.support.eventually import soon
from tests.widgets.conftest import ID, Scene, make_engine

OnStage = Callable[[Callable[[Scene], Any]], None]


def turn_to(scene: Scene, name: str) -> None:
    """What a click on a tab does."""
    scene.card.tabs.selected_index = scene.card.tabs.titles.index(name)


def test_the_card_shows_what_the_cluster_is_and_does(on_stage: OnStage) -> None:
    async def play(scene: Scene) -> None:
        scene.engine.change(tasks=TaskCounts(memory=2, processing=1, queued=4, erred=1, done=3))
        await soon(lambda: 'data-finished="2"' in scene.html())
        shown = scene.html()
        assert ">analysis<" in shown
        assert ">Running<" in shown
        assert "3 of 8" in shown
        for group in ("2 finished", "1 failed", "1 running", "4 waiting"):
            assert f">{group}<" in shown

    on_stage(play)


def test_views_are_drawn_at_most_once_a_second_and_the_latest_is_not_lost(
    on_stage: OnStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def play(scene: Scene) -> None:
        monkeypatch.setattr(remote, "INTERVAL", 1.0)
        drawn: list[str] = []
        scene.card._tasks.observe(lambda change: drawn.append(change["new"]), "value")
        began = time.monotonic()
        for done in range(1, 201):
            scene.engine.change(tasks=TaskCounts(memory=done))
            await asyncio.sleep(0)
        await soon(lambda: 'data-finished="200"' in scene.html())
        assert len(drawn) <= 1 + (time.monotonic() - began)

    on_stage(play)


def test_nothing_is_sent_when_nothing_changed(on_stage: OnStage) -> None:
    async def play(scene: Scene) -> None:
        sent: list[Any] = []
        for widget in (scene.card._title, scene.card._figures, scene.card._tasks):
            widget.observe(sent.append, "value")
        scene.card._draw(scene.engine.view)
        scene.card._draw(replace(scene.engine.view, time=scene.engine.view.time + 1))
        assert sent == []

    on_stage(play)


def test_what_was_refused_stays_until_it_is_dismissed(on_stage: OnStage) -> None:
    async def play(scene: Scene) -> None:
        async def refuse(command: Any) -> None:
            raise ValueError("n=3 is more than the administrator <allows>")

        scene.engine.call = refuse  # type: ignore[method-assign]
        scene.card.scaling.slider.widget.value = 3
        await soon(lambda: "Not scaled: n=3" in scene.html())
        assert "&lt;allows&gt;" in scene.html()
        assert scene.card.scaling.slider.value == 2, "the slider goes back to what the cluster has"
        scene.engine.change(tasks=TaskCounts(memory=1))
        await soon(lambda: 'data-finished="1"' in scene.html())
        assert "Not scaled" in scene.html()
        scene.card.dismiss.click()
        await soon(lambda: "Not scaled" not in scene.html())

    on_stage(play)


def test_the_same_refusal_is_said_once(on_stage: OnStage) -> None:
    async def play(scene: Scene) -> None:
        async def refuse(command: Any) -> None:
            raise ValueError("no")

        scene.engine.call = refuse  # type: ignore[method-assign]
        for _ in range(2):
            scene.card.scaling.slider.widget.value = 3
            await soon(lambda: scene.card.scaling.slider.value == 2)
        assert list(scene.card.orders.failures) == ["Not scaled: no"]

    on_stage(play)


def test_an_engine_that_breaks_is_reported_by_the_kind_of_its_error(on_stage: OnStage) -> None:
    async def play(scene: Scene) -> None:
        async def refuse(command: Any) -> None:
            raise KeyError("w7")

        scene.engine.call = refuse  # type: ignore[method-assign]
        scene.card.scaling.slider.widget.value = 3
        await soon(lambda: "Not scaled: KeyError: &#x27;w7&#x27;" in scene.html())

    on_stage(play)


def test_the_card_says_what_it_is_waiting_for(on_stage: OnStage) -> None:
    async def play(scene: Scene) -> None:
        asked, go = asyncio.Event(), asyncio.Event()
        call = scene.engine.call

        async def slow(command: Any) -> Any:
            asked.set()
            await go.wait()
            return await call(command)

        scene.engine.call = slow  # type: ignore[method-assign]
        scene.card.scaling.slider.widget.value = 5
        await asked.wait()
        assert "Scaling…" in scene.html()
        scene.engine.change(tasks=TaskCounts(memory=1))
        assert scene.card.scaling.slider.value == 5, "an older view does not move the slider back"
        go.set()
        await soon(lambda: "Scaling…" not in scene.html())
        assert scene.card.scaling.slider.value == 5

    on_stage(play)


def test_a_command_that_nobody_answers_is_given_up(on_stage: OnStage, monkeypatch: pytest.MonkeyPatch) -> None:
    async def play(scene: Scene) -> None:
        monkeypatch.setattr("nbcluster.widgets.remote.PATIENCE", 0.01)

        async def hang(command: Any) -> None:
            await asyncio.Event().wait()

        scene.engine.call = hang  # type: ignore[method-assign]
        scene.card.scaling.slider.widget.value = 5
        await soon(lambda: "did not answer within 0.01 s" in scene.html())
        assert scene.card.scaling.slider.value == 2

    on_stage(play)


def test_a_card_stops_when_its_cluster_is_closed(on_stage: OnStage) -> None:
    async def play(scene: Scene) -> None:
        await scene.engine.close()
        await soon(lambda: ">Closed<" in scene.html())
        assert "Run the cell again" in scene.html()
        assert scene.engine._subscribers == []
        assert not scene.card.alive
        card = scene.card
        controls = (card.scaling.slider, card.scaling.adapt, card.scaling.minimum, card.scaling.maximum)
        assert all(control.widget.disabled for control in controls)
        assert all(button.disabled for button in card.actions.buttons.values())

    on_stage(play)


def test_a_failed_cluster_says_why(on_stage: OnStage) -> None:
    async def play(scene: Scene) -> None:
        scene.engine.die("The scheduler was killed by SIGKILL")
        await soon(lambda: "The scheduler was killed by SIGKILL" in scene.html())
        assert ">Failed<" in scene.html()

    on_stage(play)


def test_a_lease_counts_down(on_stage: OnStage) -> None:
    async def play(scene: Scene) -> None:
        owner = OwnerView(kind="notebook", path="a/b.ipynb", alive=False, lease=time.time() + 100)
        scene.engine.change(owner=owner)
        await soon(lambda: "ends in 1:3" in scene.html())
        first = scene.card._title.value
        await soon(lambda: scene.card._title.value != first, "the countdown goes on by itself")
        assert ">b.ipynb<" in scene.html()

    on_stage(play)


def test_only_the_tab_in_sight_is_drawn(on_stage: OnStage) -> None:
    async def play(scene: Scene) -> None:
        assert scene.card._workers.value == ""
        turn_to(scene, "Workers")
        await soon(lambda: 'data-testid="nbcluster-worker"' in scene.html())
        turn_to(scene, "Info")
        await soon(lambda: "client = Client(&#x27;tcp://" in scene.html())

    on_stage(play)


def test_the_dashboard_is_loaded_when_somebody_looks_at_it(on_stage: OnStage) -> None:
    async def play(scene: Scene) -> None:
        scene.engine.change(dashboard_link="http://127.0.0.1:8787/status")
        assert "<iframe" not in scene.card._dashboard.value
        turn_to(scene, "Dashboard")
        await soon(lambda: "<iframe" in scene.html())
        assert 'src="http://127.0.0.1:8787/status?theme=dark"' in scene.html()
        assert 'href="http://127.0.0.1:8787/status"' in scene.html()

    on_stage(play)


def test_a_server_says_where_its_dashboard_is() -> None:
    async def main() -> str:
        engine = make_engine()
        await engine.start()
        link = f"/user/jo/nbcluster/dashboard/{ID}/status"
        card = Card(ID, engine, asyncio.get_running_loop(), ServerInfo(ID, link))
        card.tabs.selected_index = card.tabs.titles.index("Dashboard")
        card._turned()
        html: str = card._dashboard.value
        return html

    assert f'src="/user/jo/nbcluster/dashboard/{ID}/status?theme=light"' in asyncio.run(main())


def test_a_cluster_has_one_card_however_often_it_is_shown(on_stage: OnStage) -> None:
    async def play(scene: Scene) -> None:
        again = card_of(scene.engine, asyncio.get_running_loop())
        assert again is scene.card
        await asyncio.sleep(0)
        assert len(scene.engine._subscribers) == 1

    on_stage(play)


def test_a_card_follows_the_cluster_through_a_newer_handle(on_stage: OnStage) -> None:
    async def play(scene: Scene) -> None:
        newer = make_engine()
        await newer.start()
        assert card_of(newer, asyncio.get_running_loop()) is scene.card
        await soon(lambda: newer._subscribers)
        assert scene.engine._subscribers == []
        scene.card.scaling.slider.widget.value = 4
        await soon(lambda: Scale(n=4) in newer.commands)
        assert Scale(n=4) not in scene.commands

    on_stage(play)


def test_a_card_whose_widgets_were_closed_is_made_anew(on_stage: OnStage) -> None:
    async def play(scene: Scene) -> None:
        scene.card.widget.close()
        assert card_of(scene.engine, asyncio.get_running_loop()) is not scene.card

    on_stage(play)


def test_controls_work_from_many_threads_while_views_come_in() -> None:
    loop_thread = LoopThread()
    loop_thread.start()
    try:

        async def begin() -> tuple[Any, Card]:
            engine = make_engine()
            await engine.start()
            return engine, Card(ID, engine, asyncio.get_running_loop())

        engine, card = loop_thread.sync(begin)
        card.start()
        stop = threading.Event()

        async def change(n: int) -> None:
            engine.change(tasks=TaskCounts(memory=n))

        def chatter() -> None:
            n = 0
            while not stop.is_set():
                n += 1
                loop_thread.sync(change, n)

        def person(n: int) -> None:
            card.scaling.slider.widget.value = n

        talker = threading.Thread(target=chatter)
        talker.start()
        people = [threading.Thread(target=person, args=(n,)) for n in (3, 4, 5, 6, 7)]
        for each in people:
            each.start()
        for each in people:
            each.join()
        person(1)

        async def told() -> None:
            await soon(lambda: Scale(n=1) in engine.commands and not card.orders.doing)

        loop_thread.sync(told)
        stop.set()
        talker.join()
        assert engine.commands[-1] == Scale(n=1)
        assert card.scaling.slider.value == 1
    finally:
        loop_thread.stop()


def test_a_card_whose_event_loop_has_ended_still_answers() -> None:
    async def begin() -> Card:
        engine = make_engine()
        await engine.start()
        return Card(ID, engine, asyncio.get_running_loop())

    card = asyncio.run(begin())
    card.scaling.slider.widget.value = 4
    assert "Not scaled: the event loop on which this cluster was made has ended" in card._failures.value


@pytest.mark.parametrize("status", list(Status))
def test_every_state_can_be_shown(status: Status) -> None:
    async def main() -> str:
        engine = make_engine()
        engine._view = ClusterView(id=ID, name="x", status=status)
        card = Card(ID, engine, asyncio.get_running_loop())
        html: str = card._title.value
        return html

    assert 'data-testid="nbcluster-status"' in asyncio.run(main())


def test_importing_nbcluster_and_its_widgets_imports_no_ipywidgets() -> None:
    code = "import sys, nbcluster, nbcluster.widgets; sys.exit('ipywidgets' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
