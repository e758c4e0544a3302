from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from typing import Any

import psutil
import pytest

from nbcluster.jupyter.extension import NbclusterExtension

Fetch = Callable[..., Any]


async def post(fetch: Fetch, *path: str, **body: Any) -> Any:
    return json.loads((await fetch(*path, method="POST", body=json.dumps(body))).body)


async def test_every_live_kernel_has_an_owner(app: NbclusterExtension, jp_fetch: Fetch) -> None:
    kernels = app.kernels
    assert await kernels.owners() == {}
    bare = (await post(jp_fetch, "api", "kernels", name="echo"))["id"]
    owner = (await kernels.owners())[bare]
    assert (owner.kind, owner.path, owner.kernel_id, owner.kernel_name) == ("kernel", "", bare, "echo")
    assert bare in kernels
    # A console on the kernel makes it no notebook's; a notebook does, whichever came first.
    for kind, path, expected in (("console", "c", "kernel"), ("notebook", "n.ipynb", "notebook")):
        await post(jp_fetch, "api", "sessions", path=path, name=path, type=kind, kernel={"id": bare})
        assert (await kernels.owners())[bare].kind == expected
    assert (await kernels.owners())[bare].path == "n.ipynb"
    await jp_fetch("api", "kernels", bare, method="DELETE")
    assert await kernels.owners() == {}
    assert bare not in kernels


async def test_a_kernels_process_is_known(app: NbclusterExtension, jp_fetch: Fetch) -> None:
    kernel = (await post(jp_fetch, "api", "kernels", name="echo"))["id"]
    pid = app.kernels.pid(kernel)
    assert pid is not None
    assert psutil.Process(pid).ppid() == os.getpid()
    assert app.kernels.pid("none") is None


async def test_the_interpreter_of_a_kernel_comes_from_its_specification(
    app: NbclusterExtension, jp_kernel_dir: Any
) -> None:
    specs: dict[str, dict[str, Any]] = {
        "elsewhere": {"argv": [sys.executable, "-m", "x"], "language": "python", "env": {"A": "1"}},
        "gone": {"argv": ["/no/such/python"], "language": "python"},
        "other": {"argv": ["/bin/sh"], "language": "shell"},
    }
    for name, spec in specs.items():
        _write_spec(jp_kernel_dir / name, {"display_name": name, **spec})
    assert await app.kernels.interpreter("elsewhere") == (sys.executable, {"A": "1"})
    for name in ("gone", "other", "missing"):
        with pytest.raises(ValueError, match=name):
            await app.kernels.interpreter(name)


def _write_spec(folder: Any, spec: dict[str, Any]) -> None:
    folder.mkdir()
    (folder / "kernel.json").write_text(json.dumps(spec))
