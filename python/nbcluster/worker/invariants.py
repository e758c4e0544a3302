"""What is true of a worker's state after every event. For tests and simulations."""

from __future__ import annotations

from nbcluster.types import Address
from nbcluster.worker.state import READY, WAITING, KeyFetch, WorkerState


def check(state: WorkerState) -> None:
    """Raise an ``AssertionError`` that says what does not hold."""
    _check_runs(state)
    queued, asked = _check_peers(state)
    _check_fetches(state, queued, asked)


def _check_runs(state: WorkerState) -> None:
    assert {run.task.key: run for run in state.runs.values()} == state.by_key, "one run per key"
    for run_id, run in state.runs.items():
        assert run.task.run_id == run_id, f"{run} is filed under {run_id}"
        assert run.state in (WAITING, READY), f"{run} has ended and is still there"
        assert (run.state == WAITING) == bool(run.waiting_on), f"{run} waits for {run.waiting_on}"
        for fetch in run.waiting_on or ():
            assert run in fetch.waiters, f"{run} waits for {fetch}, which does not know it"
        assert set(run.inputs or ()) == {dependency.key for dependency in run.task.dependencies}


def _check_peers(state: WorkerState) -> tuple[dict[KeyFetch, Address], dict[KeyFetch, Address]]:
    queued: dict[KeyFetch, Address] = {}
    asked: dict[KeyFetch, Address] = {}
    for holder, peer in state.peers.items():
        assert peer.asked, f"{holder} is not asked for anything"
        for fetches, where in ((peer.asked.values(), asked), (peer.queued, queued)):
            for fetch in fetches:
                assert fetch not in queued, f"{fetch} is queued twice"
                assert fetch not in asked, f"{fetch} is asked for twice"
                where[fetch] = holder
        for key, fetch in peer.asked.items():
            assert fetch.key == key, f"{fetch} is filed under {key}"
    return queued, asked


def _check_fetches(state: WorkerState, queued: dict[KeyFetch, Address], asked: dict[KeyFetch, Address]) -> None:
    attached = {fetch for fetch in (*queued, *asked) if not fetch.detached}
    assert attached == set(state.fetches.values()), "every fetch is queued or asked for"
    for key, fetch in state.fetches.items():
        assert fetch.key == key, f"{fetch} is filed under {key}"
        assert key not in state.held, f"{key} is here and is being fetched"
    for fetch, holder in (*queued.items(), *asked.items()):
        assert fetch.holder == holder, f"{fetch} is with {holder}"
        assert fetch.asked == (fetch in asked), f"{fetch} does not know where it stands"
        assert fetch.wanted or fetch.asked, f"nobody wants {fetch}"
        for run in fetch.waiters:
            assert state.runs.get(run.task.run_id) is run, f"{fetch} is for {run}, which is gone"
            assert fetch in (run.waiting_on or ()), f"{run} does not wait for {fetch}"
