from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from nbcluster.comm.credentials import process_start
from nbcluster.errors import ClusterClosedError, ClusterError, NotOurServerError
from nbcluster.jupyter import connection_file, discovery
from nbcluster.jupyter.channel_messages import Refused
from nbcluster.jupyter.connection_file import ENVIRONMENT_VARIABLE, ConnectionFile
from nbcluster.jupyter.discovery import find_server

PARENT = os.getppid()
OTHER = os.getpid()
"""A process that lives and is not our parent."""


@pytest.fixture(autouse=True)
def _a_kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """This process, as if it were a kernel that its parent had started."""
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setenv("JPY_PARENT_PID", str(PARENT))
    monkeypatch.delenv(ENVIRONMENT_VARIABLE, raising=False)
    monkeypatch.setattr(discovery, "own_kernel_id", lambda: "k1")


def write(pid: int, where: str = "unix:///run/x.sock") -> Path:
    return connection_file.write(
        ConnectionFile(pid=pid, started=process_start(pid) or 0.0, address=where, token="ab" * 32)
    )


def found(explicit: Path | None = None) -> str | None:
    endpoint = find_server(explicit)
    return None if endpoint is None else endpoint.address


def test_nothing_is_found_where_there_is_no_server() -> None:
    assert find_server() is None


def test_the_parents_file_is_found() -> None:
    write(PARENT)
    endpoint = find_server()
    assert endpoint is not None
    assert (endpoint.address, endpoint.token, endpoint.kernel_id) == (
        "unix:///run/x.sock",
        b"\xab" * 32,
        "k1",
    )
    assert "ab" * 4 not in repr(endpoint)
    assert repr(endpoint.token) not in repr(endpoint)


def test_the_environments_file_comes_first_and_an_explicit_one_before_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {}
    for name in ("explicit", "inherited"):
        files[name] = write(PARENT, f"unix:///{name}").rename(tmp_path / f"{name}.json")
    write(PARENT, "unix:///pattern")
    assert found() == "unix:///pattern"
    monkeypatch.setenv(ENVIRONMENT_VARIABLE, str(files["inherited"]))
    assert found() == "unix:///inherited"
    assert found(files["explicit"]) == "unix:///explicit"


def test_an_inherited_file_that_is_gone_does_not_hide_the_parents_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write(PARENT)
    monkeypatch.setenv(ENVIRONMENT_VARIABLE, "/nowhere/nbcluster-1.json")
    assert found() is not None


def test_a_file_of_a_server_that_is_not_our_parent_is_not_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a kernel of nbconvert sees, in a terminal of Jupyter: the variable, and another parent."""
    path = write(OTHER)
    monkeypatch.setenv(ENVIRONMENT_VARIABLE, str(path))
    assert find_server() is None
    assert find_server(path) is None


def test_an_ancestor_does_not_count_when_the_parent_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    write(PARENT)
    monkeypatch.setenv("JPY_PARENT_PID", str(OTHER))
    assert find_server() is None


def test_behind_a_wrapper_that_hides_the_parent_its_file_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    write(PARENT)
    monkeypatch.delenv("JPY_PARENT_PID")
    assert found() is not None


def test_what_is_no_kernel_finds_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    write(PARENT)
    monkeypatch.setattr(discovery, "own_kernel_id", lambda: None)
    assert find_server() is None


def test_plain_python_and_plain_ipython_are_no_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    assert discovery.own_kernel_id() is None
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: None))
    assert discovery.own_kernel_id() is None
    terminal = SimpleNamespace(get_ipython=lambda: SimpleNamespace())
    monkeypatch.setitem(sys.modules, "IPython", terminal)
    assert discovery.own_kernel_id() is None


def test_it_is_imported_without_a_jupyter_server() -> None:
    """In kernels there need be none, and what is never imported costs nothing."""
    code = """
import sys
for name in ("jupyter_server", "jupyter_events", "tornado.web", "bokeh", "ipykernel", "IPython"):
    sys.modules[name] = None
import nbcluster.jupyter.discovery
"""
    subprocess.run([sys.executable, "-c", code], check=True, env=_environment())


def test_finding_out_in_a_plain_script_that_there_is_no_server() -> None:
    code = "from nbcluster.jupyter.discovery import find_server; print(find_server())"
    answer = subprocess.run(
        [sys.executable, "-c", code], check=True, env=_environment(), capture_output=True, text=True
    )
    assert answer.stdout.strip() == "None"


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}


def kernel(parent: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    shell = SimpleNamespace(kernel=SimpleNamespace(get_parent=lambda channel: parent))
    monkeypatch.setattr(discovery, "_kernel", lambda: shell.kernel)


def test_a_cell_goes_by_its_id_else_by_its_code(monkeypatch: pytest.MonkeyPatch) -> None:
    kernel({"metadata": {"cellId": "x-1"}, "content": {"code": "a"}}, monkeypatch)
    assert discovery.cell_identity() == "cell-x-1"
    names = []
    for parent in (
        {"metadata": {}, "content": {"code": "a"}},
        {"metadata": {"cellId": ""}, "content": {"code": "a"}},
        {"content": {"code": "b"}},
        {},
    ):
        kernel(parent, monkeypatch)
        names.append(discovery.cell_identity())
    assert names[0] == names[1]
    assert len(set(names)) == 3
    assert all(name.startswith("code-") for name in names)


def test_a_refusal_becomes_the_exception_that_it_names() -> None:
    kinds = {
        "LookupError": NotOurServerError,
        "ValueError": ValueError,
        "TypeError": TypeError,
        "ClusterClosedError": ClusterClosedError,
        "Callable": ClusterError,
        "FromTheFuture": ClusterError,
    }
    for kind, expected in kinds.items():
        error = discovery._exception(Refused(1, kind, "why"))
        assert type(error) is expected
        assert str(error) == "why"
