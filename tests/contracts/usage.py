"""Which test uses what of the public API: a plugin for pytest, loaded by ``python -m tools.compare_api`` only.

Each access to a public member of nbcluster from a file in this folder is noted with the test that runs, and each call
with the keywords that it gives. What nbcluster does inside does not count, nor does what a test merely imports.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import json
import os
import sys
from collections import defaultdict
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import nbcluster
from tests.contracts.peer_api import peer_api

HERE = str(Path(__file__).parent)
REFUSALS = "test_bad_input_everywhere.py"
"""Shows of each argument what it may not be, and of none what it does: that is for others to show."""

Used = dict[str, dict[str, set[str]]]
"""Tests by keyword by name; the keyword ``""`` is the name itself."""

used: Used = defaultdict(lambda: defaultdict(set))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--usage", type=Path, required=True, help="where to write which test uses what, as JSON")


def pytest_sessionstart(session: pytest.Session) -> None:
    members: dict[str, set[str]] = defaultdict(set)
    for name in peer_api():
        owner, _, member = name.partition(".")
        if hasattr(nbcluster, owner):
            members[owner] |= {member} if member else set()
    for owner, names in members.items():
        thing = getattr(nbcluster, owner)
        if not inspect.isclass(thing):
            setattr(nbcluster, owner, _noting(owner, thing))
        elif not issubclass(thing, BaseException):
            _watch_class(owner, thing, names)
    _watch_module(set(members))


def pytest_sessionfinish(session: pytest.Session) -> None:
    path: Path = session.config.getoption("--usage")
    path.write_text(
        json.dumps({name: {key: sorted(tests) for key, tests in by_key.items()} for name, by_key in used.items()})
    )


def _from_a_test() -> str | None:
    """The test that runs, if it is its own code that asks: also in a task, whose code has forgotten its file."""
    frame = sys._getframe(2)
    while frame.f_code.co_filename == __file__ and frame.f_back is not None:
        frame = frame.f_back
    if not (frame.f_globals.get("__file__") or "").startswith(HERE):
        return None
    test = os.environ.get("PYTEST_CURRENT_TEST", "").partition(" ")[0]
    if REFUSALS in test:
        return None
    return test.partition("[")[0] or None


def _note(name: str, test: str, function: Any = None, args: Any = (), keywords: Any = None) -> None:
    used[name][""].add(test)
    if function is None:
        return
    others = ""  # the name under which a function has all keywords that it does not name
    try:
        signature = inspect.signature(function)
        given = signature.bind(*args, **keywords).arguments
        others = next((p.name for p in signature.parameters.values() if p.kind is p.VAR_KEYWORD), "")
    except (TypeError, ValueError):
        given = dict(keywords)
    for key, value in given.items():
        keys = value if key == others else [key]
        for one in keys:
            used[name][one].add(test)
        if name == "Client.register_plugin" or key == "plugins":
            for plugin in value if isinstance(value, (list, tuple)) else [value]:
                _note_hooks(plugin, test)


def _note_hooks(plugin: Any, test: str) -> None:
    """A plugin that a test hands in shows the hooks that it has."""
    for kind in ("SchedulerPlugin", "WorkerPlugin", "NannyPlugin"):
        if isinstance(plugin, getattr(nbcluster, kind)):
            for name in peer_api():
                owner, _, hook = name.partition(".")
                own = next((vars(c)[hook] for c in type(plugin).__mro__ if hook in vars(c) and _is_a_tests(c)), None)
                if owner == kind and own is not None:
                    used[name][""].add(test)
                    for keyword in inspect.signature(own).parameters if callable(own) else ():
                        used[name][keyword].add(test)


def _is_a_tests(cls: type) -> bool:
    return cls is not object and cls.__module__.partition(".")[0] != "nbcluster"


def _noting(name: str, function: Any) -> Any:
    looks_at_its_caller = "stacklevel" in inspect.signature(function).parameters

    @functools.wraps(function)
    def noting(*args: Any, **keywords: Any) -> Any:
        test = _from_a_test()
        if test is not None:
            _note(name, test, function, args, keywords)
        level = keywords.get("stacklevel", 1)
        if looks_at_its_caller and type(level) is int and level < 100:
            keywords["stacklevel"] = level + 1
        return function(*args, **keywords)

    return noting


class _NotingLookup:
    """A method that a statement calls: it is noted when it is looked up, and finds the test as its caller."""

    def __init__(self, name: str, function: Any) -> None:
        self._name = name
        self._function = function

    def __get__(self, instance: Any, owner: type) -> Any:
        test = _from_a_test() if instance is not None else None
        if test is not None:
            _note(self._name, test)
        return self._function.__get__(instance, owner)


def _watch_module(names: set[str]) -> None:
    """Note which names are taken from the package."""

    class Watched(ModuleType):
        def __getattribute__(self, name: str) -> Any:
            test = _from_a_test() if name in names else None
            if test is not None:
                _note(name, test)
            return super().__getattribute__(name)

        def __reduce__(self) -> tuple[Any, ...]:
            return importlib.import_module, (nbcluster.__name__,)

    nbcluster.__class__ = Watched


def _watch_class(owner: str, cls: Any, names: set[str]) -> None:
    """Note what is asked of its objects, and with which keywords they are made."""
    for name in names:
        if name.startswith("_") and inspect.isfunction(inspect.getattr_static(cls, name, None)):
            for one in (cls, *(other for other in cls.__subclasses__() if name in vars(other))):
                setattr(one, name, _NotingLookup(f"{owner}.{name}", inspect.getattr_static(one, name)))
    for name in names:
        if isinstance(inspect.getattr_static(cls, name, None), classmethod):
            setattr(cls, name, staticmethod(_noting(f"{owner}.{name}", getattr(cls, name))))
    original_init = cls.__init__

    @functools.wraps(original_init)
    def init(self: Any, *args: Any, **keywords: Any) -> None:
        test = _from_a_test()
        if test is not None and type(self) is cls:
            _note(owner, test, original_init, (self, *args), keywords)
        original_init(self, *args, **keywords)

    def get(self: Any, name: str) -> Any:
        value = super(cls, self).__getattribute__(name)
        if name not in names or name.startswith("_"):
            return value
        test = _from_a_test()
        if test is None:
            return value
        _note(f"{owner}.{name}", test)
        return _noting(f"{owner}.{name}", value) if inspect.ismethod(value) else value

    cls.__init__ = init
    cls.__getattribute__ = get
