"""Where threads spend their time: call trees, grown from samples of their stacks.

    tree = CallTree()
    tree.add([("main", "app.py", 10), ("step", "app.py", 42)])      # the outermost call first
    CallTree.of(tree.record()).add_all(other.record())

A tree is kept as columns: for each node its parent, its frame and how many samples passed through it. So it is small,
travels as it is, and no depth of recursion is too deep for it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from msgspec import field

from nbcluster.protocol.records import Record

Frame = tuple[str, str, int]
"""A function's name, its file, and the line that it was at."""

MOST_NODES = 5000
"""Of one tree; what would make more counts for the node above."""


class Profile(Record, frozen=True, tag=True):
    """A call tree. Node 0 is the root, the parent of all threads."""

    parents: list[int] = field(default_factory=lambda: [0])
    counts: list[int] = field(default_factory=lambda: [0])
    """Samples that passed through the node."""
    frames: list[int] = field(default_factory=lambda: [0])
    """Each node's frame, as an index of ``table``; the root's means nothing."""
    table: list[Frame] = field(default_factory=list)


class CallTree:
    """A call tree that grows."""

    __slots__ = ("_children", "_counts", "_frames", "_most")

    def __init__(self, most: int = MOST_NODES) -> None:
        self._most = most
        self._children: dict[tuple[int, Frame], int] = {}
        self._counts = [0]
        self._frames: list[tuple[int, Frame]] = [(0, ("", "", 0))]

    @property
    def samples(self) -> int:
        """How many samples it was grown from."""
        return self._counts[0]

    def __len__(self) -> int:
        return len(self._counts)

    def add(self, stack: Iterable[Frame], count: int = 1) -> None:
        """Add a sample: its frames, the outermost call first."""
        children, counts = self._children, self._counts
        node = 0
        counts[0] += count
        for frame in stack:
            child = children.get((node, frame))
            if child is None:
                child = self._node(node, frame)
                if child is None:
                    return
            counts[child] += count
            node = child

    def _node(self, parent: int, frame: Frame) -> int | None:
        if len(self._counts) >= self._most:
            return None
        number = self._children[parent, frame] = len(self._counts)
        self._counts.append(0)
        self._frames.append((parent, frame))
        return number

    def add_all(self, other: Profile) -> None:
        """Add all samples of another tree."""
        mine: list[int | None] = [0]
        self._counts[0] += other.counts[0]
        table = [(name, file, line) for name, file, line in other.table]
        for number in range(1, len(other.counts)):
            parent = mine[other.parents[number]]
            node = None
            if parent is not None:
                frame = table[other.frames[number]]
                node = self._children.get((parent, frame))
                if node is None:
                    node = self._node(parent, frame)
                if node is not None:
                    self._counts[node] += other.counts[number]
            mine.append(node)

    def record(self) -> Profile:
        """The tree as it is now, to be sent."""
        table: dict[Frame, int] = {}
        frames = [0]
        for _, frame in self._frames[1:]:
            frames.append(table.setdefault(frame, len(table)))
        return Profile([parent for parent, _ in self._frames], list(self._counts), frames, list(table))


def merged(profiles: Iterable[Profile]) -> Profile:
    """One tree of many."""
    tree = CallTree()
    for profile in profiles:
        tree.add_all(profile)
    return tree.record()


def nested(profile: Profile) -> dict[str, Any]:
    """The tree as nested dicts, in the form that dask.distributed has for it."""
    root: dict[str, Any] = {
        "identifier": "root",
        "description": {"filename": "", "name": "", "line_number": 0, "line": ""},
        "children": {},
        "count": profile.counts[0],
    }
    nodes = [root]
    for number in range(1, len(profile.counts)):
        name, file, line = profile.table[profile.frames[number]]
        identifier = f"{name};{file};{line}"
        node = {
            "identifier": identifier,
            "description": {"filename": file, "name": name, "line_number": line, "line": ""},
            "children": {},
            "count": profile.counts[number],
        }
        nodes[profile.parents[number]]["children"][identifier] = node
        nodes.append(node)
    return root
