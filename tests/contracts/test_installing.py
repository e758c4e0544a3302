"""Software, files and settings that plugins bring to the workers."""

from __future__ import annotations

import importlib
import os
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from tests.contracts.gates import Tally, inc

VARIABLE = "NBCLUSTER_TEST_INSTALLED"


def wheel(folder: Path, name: str, version: str) -> str:
    """A file that pip can install, of one module."""
    path = folder / f"{name}-{version}-py3-none-any.whl"
    about = f"{name}-{version}.dist-info"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{name}.py", f"version = {version!r}\n")
        archive.writestr(f"{about}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        archive.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{about}/RECORD", f"{name}.py,,\n{about}/METADATA,,\n{about}/WHEEL,,\n{about}/RECORD,,\n")
    return str(path)


def version_of(module: str, folder: str) -> Any:
    sys.path.insert(0, folder)
    try:
        importlib.invalidate_caches()
        return importlib.import_module(module).version
    finally:
        sys.path.remove(folder)


def own_process(client: Any) -> set[int]:
    return set(client.run(os.getpid).values())


# --- installing ---


def test_a_package_is_installed_by_pip_for_the_workers(api: Any, keywords: Any, tmp_path: Path) -> None:
    package = wheel(tmp_path, "nbc_installed", "1.5")
    target = str(tmp_path / "target")
    options = ["--no-index", "--no-deps", "--upgrade", "--target", target]
    with api.Client(**keywords(processes=True, n_workers=1)) as client:
        before = own_process(client)
        client.register_plugin(api.PipInstall([package], pip_options=options, restart_workers=True))
        client.wait_for_workers(1)
        assert client.submit(version_of, "nbc_installed", target).result() == "1.5"
        assert not own_process(client) & before


def test_what_pip_says_when_it_fails_is_raised(api: Any, keywords: Any) -> None:
    with api.Client(**keywords(n_workers=1)) as client:
        with pytest.raises(RuntimeError, match="pip install failed with"):
            client.register_plugin(api.PipInstall(["/no/such/package"], ["--no-index", "--no-deps"]))
        assert client.submit(inc, 1).result() == 2


@pytest.fixture
def conda(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A conda that only notes how it is called: a program, and a module of that name."""
    log = tmp_path / "conda.log"
    program = tmp_path / "bin" / "conda"
    program.parent.mkdir()
    program.write_text(
        f"#!{sys.executable}\nimport sys\nopen({str(log)!r}, 'a').write(' '.join(sys.argv[1:]) + '\\n')\n"
        "sys.exit('no such package' if 'missing' in sys.argv else 0)\n"
    )
    program.chmod(0o755)
    package = tmp_path / "modules" / "conda" / "cli"
    package.mkdir(parents=True)
    (package / "python_api.py").write_text(
        "import subprocess\n"
        "class Commands:\n    INSTALL = 'install'\n"
        "def run_command(command, arguments):\n"
        f"    ended = subprocess.run([{str(program)!r}, command, *arguments], capture_output=True)\n"
        "    return ended.stdout, ended.stderr, ended.returncode\n"
    )
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.delenv("CONDA_EXE", raising=False)
    monkeypatch.syspath_prepend(str(tmp_path / "modules"))
    yield log
    for name in [name for name in sys.modules if name == "conda" or name.startswith("conda.")]:
        del sys.modules[name]


def test_packages_are_installed_by_conda_for_the_workers(api: Any, keywords: Any, conda: Path) -> None:
    with api.Client(**keywords(n_workers=1)) as client:
        plugin = api.CondaInstall(packages=["ada", "bob=2"], conda_options=["--update-deps"], restart_workers=False)
        client.register_plugin(plugin)
        for call in conda.read_text().splitlines():
            words = call.split()
            assert words[0] == "install"
            assert words.index("--update-deps") < words.index("ada") < words.index("bob=2")
        with pytest.raises(RuntimeError, match=r"conda install failed with '?no such package"):
            client.register_plugin(api.CondaInstall(["missing"]))


def test_what_a_function_installs_is_there_before_the_next_task(api: Any, keywords: Any, tmp_path: Path) -> None:
    installed, started = Tally(tmp_path / "installed"), Tally(tmp_path / "started")

    class Starting(api.WorkerPlugin):  # type: ignore[misc]
        def setup(self, worker: Any) -> None:
            started.add()

    with api.Client(**keywords(processes=True, n_workers=1)) as client:
        client.register_plugin(Starting())
        before, starts = own_process(client), started.count
        client.register_plugin(api.InstallPlugin(installed.add, restart_workers=False))
        assert client.submit(lambda: installed.count).result() >= 1
        assert (own_process(client), started.count) == (before, starts)
        client.register_plugin(api.InstallPlugin(installed.add, restart_workers=True))
        client.wait_for_workers(1)
        assert not own_process(client) & before
        assert started.count == starts + 1


# --- settings ---


def test_environment_variables_are_set_in_fresh_processes(api: Any, keywords: Any) -> None:
    with api.Client(**keywords(processes=True, n_workers=1)) as client:
        before = own_process(client)
        client.register_plugin(api.Environ(environ={VARIABLE: 5}))
        client.wait_for_workers(1)
        assert client.submit(os.getenv, VARIABLE).result() == "5"
        assert not own_process(client) & before
        client.cluster.scale(2)
        client.wait_for_workers(2)
        assert set(client.run(os.getenv, VARIABLE).values()) == {"5"}


# --- files ---


def folder_of_modules(tmp_path: Path) -> str:
    folder = tmp_path / "nbc_folder"
    for part in ("inside", "drafts", "old"):
        (folder / part).mkdir(parents=True)
        (folder / part / "__init__.py").write_text("")
    (folder / "nbc_top.py").write_text("value = 'from a folder'\n")
    (folder / "nbc_spare.bak").write_text("")
    (folder / "inside" / "nbc_below.py").write_text("")
    return str(folder)


def in_uploads(module: str) -> list[str]:
    """Runs in a worker: what lies beside a module."""
    folder = Path(str(importlib.import_module(module).__file__)).parent
    return sorted(path.name for path in folder.iterdir() if path.name != "__pycache__")


def test_a_directory_is_copied_to_workers_that_then_start_afresh(api: Any, keywords: Any, tmp_path: Path) -> None:
    plugin = api.UploadDirectory(
        folder_of_modules(tmp_path),
        restart_workers=True,
        update_path=True,
        skip_words=("drafts", "old"),
        skip=(lambda name: name.endswith(".bak"),),
        mode="workers",
    )
    with api.Client(**keywords(processes=True, n_workers=1)) as client:
        before = own_process(client)
        client.register_plugin(plugin)
        client.wait_for_workers(1)
        assert not own_process(client) & before
        assert client.submit(in_uploads, "nbc_top").result() == ["inside", "nbc_top.py"]


@pytest.mark.parametrize("mode", ["scheduler", "all"])
def test_a_directory_is_copied_to_where_the_scheduler_runs(api: Any, keywords: Any, tmp_path: Path, mode: str) -> None:
    folder, module = tmp_path / f"for_{mode}_{api.__name__}", f"nbc_{mode}_{api.__name__}"
    folder.mkdir()
    (folder / f"{module}.py").write_text("value = 7\n")

    def value_of(module: str) -> Any:
        return importlib.import_module(module).value

    with api.Client(**keywords(processes=True, n_workers=1)) as client:
        afresh = mode == "all"
        client.register_plugin(api.UploadDirectory(str(folder), update_path=True, mode=mode, restart_workers=afresh))
        assert client.run_on_scheduler(value_of, module) == 7
        if mode == "all":
            assert client.submit(value_of, module).result() == 7
        else:
            with pytest.raises(ModuleNotFoundError):
                client.submit(value_of, module).result()


@pytest.mark.parametrize("how", ["plugin", "upload_file"])
def test_a_file_is_copied_and_imported_or_only_copied(api: Any, client: Any, tmp_path: Path, how: str) -> None:
    for load in (False, True):
        imports = Tally(tmp_path / f"imports {load}")
        path = tmp_path / f"nbc_{api.__name__}_{how}_{load}.py"
        path.write_text(f"with open({imports.path!r}, 'ab') as file:\n    file.write(b'.')\nvalue = 5\n")
        if how == "plugin":
            client.register_plugin(api.UploadFile(filepath=str(path), load=load), name=f"file {load}")
        else:
            client.upload_file(str(path), load=load)
        assert (imports.count > 0) is load
        assert set(client.run(_value, path.stem).values()) == {5}
        assert imports.count > 0


def _value(module: str) -> Any:
    return importlib.import_module(module).value


# --- what is refused ---


@pytest.mark.differs("bad input")
@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda api: api.PipInstall("numpy"), TypeError, "packages='numpy' is not a list of names"),
        (lambda api: api.PipInstall([]), ValueError, r"packages=\[\] names nothing to install"),
        (lambda api: api.PipInstall([5]), TypeError, r"packages=\[5\] is not a list of names"),
        (lambda api: api.PipInstall(["a"], "--pre"), TypeError, "pip_options='--pre' is not a list of arguments"),
        (lambda api: api.PipInstall(["a"], restart_workers=1), TypeError, "restart_workers=1 is neither"),
        (lambda api: api.CondaInstall("numpy"), TypeError, "packages='numpy' is not a list of names"),
        (lambda api: api.CondaInstall(["a"], "-c"), TypeError, "conda_options='-c' is not a list of arguments"),
        (lambda api: api.InstallPlugin("pip"), TypeError, "install_fn='pip' is not callable"),
        (lambda api: api.InstallPlugin(print, "no"), TypeError, "restart_workers='no' is neither"),
        (lambda api: api.Environ("A=1"), TypeError, "environ='A=1' is not a dict of variables"),
        (lambda api: api.Environ({"A=1": 2}), ValueError, r"environ\['A=1'\]='2' cannot be an environment variable"),
        (lambda api: api.Environ({5: 2}), ValueError, r"environ\[5\]='2' cannot be"),
        (lambda api: api.Environ({"A": "\0"}), ValueError, r"environ\['A'\]=.* cannot be"),
        (lambda api: api.UploadFile(5), TypeError, "filepath=5 is not a path"),
        (lambda api: api.UploadFile("/no/such/file"), FileNotFoundError, "/no/such/file"),
        (lambda api: api.UploadFile("/", load="yes"), TypeError, "load='yes' is neither"),
        (lambda api: api.UploadDirectory(5), TypeError, "path=5 is not a path"),
        (lambda api: api.UploadDirectory("/no/such"), NotADirectoryError, "path='/no/such' is no directory"),
        (lambda api: api.UploadDirectory(".", skip_words="tests"), TypeError, "skip_words='tests' is not a list"),
        (lambda api: api.UploadDirectory(".", skip=print), TypeError, "skip=<.*print> is not a list of functions"),
        (lambda api: api.UploadDirectory(".", skip=["a"]), TypeError, r"skip=\['a'\] is not a list of functions"),
        (lambda api: api.UploadDirectory(".", update_path=0), TypeError, "update_path=0 is neither"),
        (lambda api: api.UploadDirectory(".", restart_workers=""), TypeError, "restart_workers='' is neither"),
        (
            lambda api: api.UploadDirectory(".", mode="some"),
            ValueError,
            "mode='some' is not allowed; there are",
        ),
    ],
)
def test_what_plugins_are_made_with_is_checked_at_once(api: Any, make: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        make(api)


def test_a_conda_that_is_not_there_is_named(api: Any, keywords: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONDA_EXE", "/no/such/conda")
    with (
        api.Client(**keywords(n_workers=1)) as client,
        pytest.raises(RuntimeError, match=r"conda install failed.*(conda could not be found|conda cannot be started)"),
    ):
        client.register_plugin(api.CondaInstall(["ada"]))
