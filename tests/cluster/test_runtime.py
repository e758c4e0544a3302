from __future__ import annotations

import pytest

from nbcluster import LocalCluster
from nbcluster.cluster.observers import Observers
from nbcluster.commands import Adapt, AnyCommand, GetLogs, GetView, Scale, StopAdapting, Subscribe


def test_whoever_watches_is_told_at_once_what_others_did_but_not_that_they_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pokes: list[str] = []
    with LocalCluster(n_workers=1, processes=False, dashboard_address=None) as cluster:
        monkeypatch.setattr(Observers, "poke", lambda _observers: pokes.append("now"))

        async def pokes_of(command: AnyCommand) -> int:
            pokes.clear()
            await cluster.engine.call(command)
            return len(pokes)

        run = cluster._loop_thread.sync
        for command in (Adapt(minimum=1, maximum=2), StopAdapting(), Scale(n=1)):
            assert run(pokes_of, command) == 1
        for question in (GetLogs(), GetView(), Subscribe(interval=1.0)):
            assert run(pokes_of, question) == 0
