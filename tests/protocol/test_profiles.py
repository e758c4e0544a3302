from __future__ import annotations

import msgspec

from nbcluster.protocol.profiles import CallTree, Frame, Profile, merged, nested

MAIN: Frame = ("main", "app.py", 1)
STEP: Frame = ("step", "app.py", 5)
LOAD: Frame = ("load", "io.py", 9)


def tree(*stacks: list[Frame]) -> CallTree:
    grown = CallTree()
    for stack in stacks:
        grown.add(stack)
    return grown


def test_samples_of_the_same_stack_are_counted() -> None:
    root = nested(tree([MAIN, STEP], [MAIN, STEP], [MAIN, LOAD]).record())
    assert root["count"] == 3
    [main] = root["children"].values()
    assert (main["count"], main["description"]["name"]) == (3, "main")
    assert {child["description"]["name"]: child["count"] for child in main["children"].values()} == {
        "step": 2,
        "load": 1,
    }


def test_a_tree_travels() -> None:
    record = tree([MAIN, STEP], [MAIN, MAIN, LOAD]).record()
    again = msgspec.msgpack.decode(msgspec.msgpack.encode(record), type=Profile)
    assert nested(again) == nested(record)


def test_merged_trees_have_all_samples() -> None:
    one, other = tree([MAIN, STEP], [MAIN]), tree([MAIN, STEP], [LOAD])
    assert nested(merged([one.record(), other.record()])) == nested(
        tree([MAIN, STEP], [MAIN], [MAIN, STEP], [LOAD]).record()
    )


def test_nothing_is_a_root() -> None:
    assert nested(merged([]))["count"] == 0
    assert nested(Profile())["children"] == {}


def test_a_tree_does_not_grow_without_bound() -> None:
    small = CallTree(most=10)
    for line in range(100):
        small.add([MAIN, ("f", "x.py", line)])
    assert len(small) == 10
    assert small.samples == 100
    assert next(iter(nested(small.record())["children"].values()))["count"] == 100
    small.add_all(tree([LOAD], [MAIN]).record())
    assert (len(small), small.samples) == (10, 102)


def test_no_stack_is_too_deep() -> None:
    record = tree([MAIN] * 4000).record()
    assert len(msgspec.msgpack.decode(msgspec.msgpack.encode(record), type=Profile).counts) == 4001
