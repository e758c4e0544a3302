"""``client.upload_file``: modules of the client's that workers import."""

from __future__ import annotations

import importlib
import zipfile
from pathlib import Path
from typing import Any

import pytest


def call(module: str, function: str, *args: Any) -> Any:
    return getattr(importlib.import_module(module), function)(*args)


def written(path: Path, text: str) -> str:
    path.write_text(text)
    return str(path)


def test_a_module_can_be_imported_on_all_workers(client: Any, tmp_path: Path) -> None:
    client.upload_file(written(tmp_path / "nbc_uploaded.py", "def f():\n    return 123\n"))
    for address in client.scheduler_info()["workers"]:
        assert client.submit(call, "nbc_uploaded", "f", workers=[address], pure=False).result() == 123


def test_a_module_can_be_imported_where_the_scheduler_runs(client: Any, tmp_path: Path) -> None:
    path = tmp_path / "nbc_on_scheduler.py"
    for value in (1, 2):
        client.upload_file(written(path, f"def f():\n    return {value}\n"))
        assert client.run_on_scheduler(call, "nbc_on_scheduler", "f") == value


def test_a_changed_module_is_loaded_anew(client: Any, tmp_path: Path) -> None:
    path = tmp_path / "nbc_changing.py"
    for value in (1, 2):
        client.upload_file(written(path, f"def f():\n    return {value}\n"))
        futures = [
            client.submit(call, "nbc_changing", "f", workers=[address], pure=False)
            for address in client.scheduler_info()["workers"]
        ]
        assert client.gather(futures) == [value, value]


@pytest.mark.parametrize("kind", ["zip", "egg"])
def test_modules_in_an_archive_can_be_imported(client: Any, tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"nbc_archive_{kind}.{kind}"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"nbc_package_{kind}/__init__.py", "")
        archive.writestr(f"nbc_package_{kind}/inner.py", "def f(x):\n    return x * 2\n")
    client.upload_file(str(path))
    assert client.submit(call, f"nbc_package_{kind}.inner", "f", 21).result() == 42


def read_beside_the_worker(api: Any, name: str) -> str:
    return (Path(api.get_worker().local_directory) / name).read_text()


def test_any_other_file_is_in_the_directory_of_each_worker(api: Any, client: Any, tmp_path: Path) -> None:
    for text in ("first", "second"):
        client.upload_file(written(tmp_path / "table.csv", text))
        for address in client.scheduler_info()["workers"]:
            read = client.submit(read_beside_the_worker, api, "table.csv", workers=[address], pure=False)
            assert read.result() == text


def test_what_importing_it_raises_is_raised_here(client: Any, tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        client.upload_file(written(tmp_path / "nbc_broken.py", "1 / 0\n"))


def test_a_file_that_is_not_there_is_named(client: Any, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere"):
        client.upload_file(str(tmp_path / "nowhere.py"))


def test_a_worker_that_joins_later_has_the_module_too(api: Any, keywords: Any, tmp_path: Path) -> None:
    with api.Client(**keywords(processes=True, n_workers=1)) as client:
        client.upload_file(written(tmp_path / "nbc_later.py", "def f():\n    return 5\n"))
        client.cluster.scale(2)
        client.wait_for_workers(2)
        assert list(client.run(call, "nbc_later", "f").values()) == [5, 5]


@pytest.mark.differs("functions of uploaded modules")
def test_functions_of_a_changed_module_are_the_new_ones(
    client: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "nbc_functions.py"
    monkeypatch.syspath_prepend(str(tmp_path))
    client.upload_file(written(path, "def f():\n    return 'old'\n"))
    module = importlib.import_module("nbc_functions")
    assert client.submit(module.f, pure=False).result() == "old"
    client.upload_file(written(path, "def f():\n    return 'newer'\n"))
    assert client.submit(importlib.reload(module).f, pure=False).result() == "newer"


@pytest.mark.differs("installing plugins")
def test_a_directory_is_copied_and_can_be_imported(api: Any, client: Any, tmp_path: Path) -> None:
    package = tmp_path / "nbc_directory"
    (package / "tests").mkdir(parents=True)
    written(package / "__init__.py", "")
    written(package / "mod.py", "def f():\n    return 'from a directory'\n")
    written(package / "tests" / "left_out.py", "")
    client.register_plugin(api.UploadDirectory(str(package)))
    assert client.submit(call, "nbc_directory.mod", "f").result() == "from a directory"
    with pytest.raises(ModuleNotFoundError):
        client.submit(importlib.import_module, "nbc_directory.tests.left_out").result()
    with pytest.raises(NotADirectoryError, match="nothing_here"):
        api.UploadDirectory(str(tmp_path / "nothing_here"))
