"""Metadata: a tree of small values, by path."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from nbcluster.protocol.coordination import GetMetadata, Leaf, MetadataFound, SetMetadata
from nbcluster.scheduler.coordination.tickets import Ticket, Tickets


class Metadata:
    """The tree: branches are dicts, leaves are pickled."""

    def __init__(self, tickets: Tickets) -> None:
        self._tickets = tickets
        self._tree: dict[str, Any] = {}

    def set(self, ticket: Ticket, message: SetMetadata) -> None:
        """Replace what is at a place. A value on the way there gives way to a branch."""
        if not message.path:
            self._tickets.refuse(ticket, ValueError, "the path of metadata must not be empty")
            return
        self.put(message.path, message.leaves)
        self._tickets.answer(ticket, True)

    def put(self, place: list[str], leaves: Iterable[Leaf]) -> None:
        """The same, for the scheduler's own side."""
        _at(self._tree, place[:-1]).pop(place[-1], None)
        for leaf in leaves:
            path = [*place, *leaf.path]
            if leaf.value is None:
                _at(self._tree, path)
            else:
                _at(self._tree, path[:-1])[path[-1]] = leaf.value

    def get(self, ticket: Ticket, message: GetMetadata) -> None:
        """Say what is at a place."""
        self._tickets.say(ticket.client, MetadataFound(ticket.number, self.at(message.path)))

    def at(self, path: list[str]) -> list[Leaf] | None:
        """What is at a place; None if there is nothing."""
        node: Any = self._tree
        for name in path:
            node = node.get(name) if isinstance(node, dict) else None
        return None if node is None else list(_leaves(node))


def _at(tree: dict[str, Any], path: list[str]) -> dict[str, Any]:
    """The branch at a place, grown if it is not there."""
    for name in path:
        branch = tree.get(name)
        if not isinstance(branch, dict):
            branch = tree[name] = {}
        tree = branch
    return tree


def _leaves(node: Any) -> Iterator[Leaf]:
    """All below a node, without recursion: trees may be deep."""
    stack: list[tuple[list[str], Any]] = [([], node)]
    while stack:
        path, node = stack.pop()
        if not isinstance(node, dict):
            yield Leaf(path, node)
        elif not node:
            yield Leaf(path, None)
        else:
            stack += [([*path, name], node[name]) for name in reversed(node)]
