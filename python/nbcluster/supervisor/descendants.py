"""The processes that tasks leave behind: finding them, and ending all of them.

A worker's children belong to it. When it dies they are handed to the zygote, which is the subreaper, and then
nothing in the process tree says any more whose they were. What still does:

- the session: a worker is the leader of its own, and children stay in it unless they ask to leave;
- a mark: a variable in the environment of every program that a worker starts, and the name of a piece of
  memory (the flight recorder) in the maps of every process that a worker forks without starting a program.

Ending a tree of processes that still fork is a race, so all are stopped first, again and again until a look
finds no new one, and only then killed. Linux only: all of this reads ``/proc``.
"""

from __future__ import annotations

import os
import secrets
import signal
import time
from collections.abc import Callable, Iterable
from typing import NamedTuple

MARK_VARIABLE = "NBCLUSTER_WORKER"
"""Names the worker in the environment of what it starts."""

_FREEZING = 2.0
"""Seconds after which even processes that do not stop (stuck in the kernel) are killed."""


class Process(NamedTuple):
    """A process at one moment."""

    pid: int
    parent: int
    session: int
    state: str


Table = dict[int, Process]
Roots = Callable[[Table], Iterable[int]]
"""Picks, from a look at all processes, those to end together with their descendants."""


def look() -> Table:
    """All processes of this machine (or container)."""
    table: Table = {}
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/stat", "rb") as file:
                text = file.read()
        except OSError:
            continue  # gone while we looked
        # What stands in brackets is the program's name, and may hold anything.
        fields = text[text.rindex(b")") + 2 :].split(None, 4)
        pid = int(name)
        table[pid] = Process(pid, int(fields[1]), int(fields[3]), fields[0].decode())
    return table


def descendants(table: Table, roots: Iterable[int]) -> set[int]:
    """The roots that exist, and all that descend from them."""
    children: dict[int, list[int]] = {}
    for process in table.values():
        children.setdefault(process.parent, []).append(process.pid)
    found: set[int] = set()
    todo = [pid for pid in roots if pid in table]
    while todo:
        pid = todo.pop()
        if pid not in found:
            found.add(pid)
            todo.extend(children.get(pid, ()))
    return found


def new_mark() -> str:
    """A mark for all workers of one starter; :func:`worker_mark` makes those of single ones from it."""
    return f"nbcluster-{secrets.token_hex(8)}-"


def worker_mark(mark: str, id: int) -> str:
    """The mark of one worker: no worker's is the beginning of another's."""
    return f"{mark}{id}."


def bears_mark(pid: int, mark: str) -> bool:
    """True if a worker of this mark started this process, however far down and however disguised."""
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            if f"{MARK_VARIABLE}={mark}".encode() in file.read():
                return True
        with open(f"/proc/{pid}/maps", "rb") as file:
            return mark.encode() in file.read()
    except OSError:
        return False  # gone, or not ours to look at


def marked(mark: str) -> Roots:
    """All processes with this mark, wherever in the tree they are; but not the one who asks."""
    return lambda table: [pid for pid in table if pid != os.getpid() and bears_mark(pid, mark)]


def end_all(roots: Roots) -> set[int]:
    """Stop, then kill, what ``roots`` picks and all that descends from it; returns their pids.

    They are dead or dying when this returns. Zombies among them are not reaped.
    """
    frozen: set[int] = set()
    deadline = time.monotonic() + _FREEZING
    while True:
        table = look()
        targets = descendants(table, [*roots(table), *frozen]) - {os.getpid()}
        targets = {pid for pid in targets if table[pid].state not in "ZX"}
        new = targets - frozen
        for pid in new:
            _signal(pid, signal.SIGSTOP)
        frozen |= new
        running = [pid for pid in targets if table[pid].state not in "Tt"]
        if not running or time.monotonic() > deadline:
            break
        time.sleep(0.0005)
    for pid in frozen:
        _signal(pid, signal.SIGKILL)
    return frozen


def _signal(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except (ProcessLookupError, PermissionError):
        pass  # gone, or it became another user's (sudo): not ours to end
