from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from nbcluster.supervisor.interpreter import START_DIRECTORY, THREAD_LIMITS, Interpreter

SHOW = """
import json, os, sys
from nbcluster.supervisor.interpreter import Interpreter
import msgspec
msgspec.json.decode(sys.argv[1], type=Interpreter).enter()
print(json.dumps([sys.path, os.getcwd(), os.environ.get("PYTHONPATH")]))
"""


def enter(interpreter: Interpreter) -> list[object]:
    """What a process sees that was started there and has entered."""
    import msgspec

    done = subprocess.run(
        [interpreter.executable, "-c", SHOW, msgspec.json.encode(interpreter).decode()],
        cwd=START_DIRECTORY,
        env=interpreter.start_environ(),
        capture_output=True,
        check=True,
    )
    answer: list[object] = json.loads(done.stdout)
    return answer


def test_that_of_this_process_is_this_process_over_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLAVOUR", "vanilla")
    here = Interpreter.current({"EXTRA": "1"})
    assert (here.executable, here.cwd, here.sys_path) == (sys.executable, os.getcwd(), sys.path)
    assert (here.environ["FLAVOUR"], here.environ["EXTRA"]) == ("vanilla", "1")


def test_defaults_yield_to_what_the_user_has_set() -> None:
    environ = Interpreter(executable="python", cwd="/", environ={"OMP_NUM_THREADS": "8"}).start_environ()
    assert environ["OMP_NUM_THREADS"] == "8"
    assert {environ[name] for name in THREAD_LIMITS if name != "OMP_NUM_THREADS"} == {"1"}


def test_a_path_that_is_given_is_taken_as_it_is(tmp_path: Path) -> None:
    there = Interpreter(executable=sys.executable, cwd=str(tmp_path), environ=dict(os.environ), sys_path=["", "/x"])
    assert enter(there) == [["", "/x"], str(tmp_path), os.environ.get("PYTHONPATH")]


def test_without_a_path_the_directory_is_searched_first(tmp_path: Path) -> None:
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    there = Interpreter(executable=sys.executable, cwd=str(tmp_path), environ=environ)
    path, cwd, python_path = enter(there)
    assert isinstance(path, list)
    assert path[0] == ""
    assert (cwd, python_path) == (str(tmp_path), None), "how we were found is nobody else's business"
