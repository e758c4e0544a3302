"""Futures of other clients of this process, as arguments of this one's tasks.

Each client has its own link, and the scheduler reads one sooner than another. So what one submits must not be read
before the tasks that it needs, nor after the other has let go of them. A thread waits for that; on the loop of a client
nobody can, so there what is said next waits in its queue, and the futures are held meanwhile.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nbcluster.client.connected import ConnectedClient


def submit_after(client: ConnectedClient, other: ConnectedClient) -> None:
    """Have what a client submits next read after what another one has submitted so far."""
    theirs = other._session
    if theirs.wants.runs_here:
        client._session.say_after(theirs)
    elif not other.asynchronous:
        other._loop_thread.run(theirs.make_known())


def hold(client: ConnectedClient, foreign: list[Any]) -> None:
    """Keep what is of other clients until the scheduler has read what a client has submitted so far.

    Args:
        foreign: it is emptied.
    """
    session = client._session
    if session.wants.runs_here:
        session.when_known(foreign.clear)
    elif not client.asynchronous:
        client._loop_thread.run(session.make_known())
        foreign.clear()
