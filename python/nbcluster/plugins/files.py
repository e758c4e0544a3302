"""Files of the user's where workers and scheduler run: modules to import, archives of them, directories.

The scheduler may run in a process of the user's, who has modules of his own there: these go before what was uploaded.
"""

from __future__ import annotations

import importlib
import importlib.util
import io
import os
import pkgutil
import sys
import tempfile
import threading
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from nbcluster.arguments import check_flag, check_path, check_several, check_text
from nbcluster.plugins.base import ClusterPlugin

MODES = ("workers", "scheduler", "all")
ARCHIVES = {".egg", ".pyz", ".zip"}

_importing = threading.Lock()
"""Workers that are threads share modules and ``sys.path``."""
_uploads: set[str] = set()
"""The folders from which uploaded modules of this process can be imported."""


class UploadFile(ClusterPlugin):
    """Copies a file to every worker. A module (``.py``) or an archive of modules (``.zip``, ``.egg``) can be imported.

    Args:
        filepath: a file of the client's.
        load: import what is in it; what was imported before is loaded anew.

    Example:
        >>> client.register_plugin(UploadFile("helpers.py"))  # doctest: +SKIP
    """

    def __init__(self, filepath: str | os.PathLike[str], load: bool = True) -> None:
        path = as_path("filepath", filepath)
        self.filename = path.name
        self.load = check_flag("load", load)
        self.data = path.read_bytes()
        self.name = f"upload-file-{self.filename}"
        self.on_scheduler = False

    def __repr__(self) -> str:
        return f"<UploadFile: {self.filename}>"

    def setup(self, worker: Any) -> None:
        """Write the file, and import it."""
        with _importing:
            path = _folder(worker.shared_directory) / self.filename
            _write(path, self.data)
            if worker.local_directory:
                _write(Path(worker.local_directory) / self.filename, self.data)
            if self.load:
                import_file(path)
        worker.forget_functions()

    def start(self, scheduler: Any) -> None:
        """The same, where the scheduler runs."""
        with _importing:
            path = _folder(scheduler.local_directory, first=False) / self.filename
            _write(path, self.data)
            if self.load and not _is_of_another(path):
                import_file(path)


class UploadDirectory(ClusterPlugin):
    """Copies a directory to every worker.

    Args:
        path: a directory of the client's. It becomes a directory of the same name on the workers.
        restart_workers: start all workers afresh once it is there.
        update_path: have what is in it importable; without it only the directory itself is, as a package.
        skip_words: names of files and directories to leave out.
        skip: functions that are given a path and say whether to leave it out.
        mode: where to: ``"workers"``, ``"scheduler"`` or ``"all"``.

    Raises:
        TypeError, ValueError: names the argument, its value and what is allowed.

    Example:
        >>> client.register_plugin(UploadDirectory("mypackage"))  # doctest: +SKIP
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        restart_workers: bool = False,
        update_path: bool = False,
        skip_words: Iterable[str] = (".git", ".github", ".pytest_cache", "tests", "docs"),
        skip: Iterable[Callable[[str], bool]] = (lambda name: os.path.splitext(name)[1] == ".pyc",),
        mode: str = "workers",
    ) -> None:
        if mode not in MODES:
            raise ValueError(f"mode={mode!r} is not allowed; there are {', '.join(map(repr, MODES))}")
        self.on_workers, self.on_scheduler = mode != "scheduler", mode != "workers"
        root = as_path("path", path).expanduser().resolve()
        if not root.is_dir():
            raise NotADirectoryError(f"path={os.fspath(path)!r} is no directory")
        self.path = root.name
        self.restart = check_flag("restart_workers", restart_workers)
        self.update_path = check_flag("update_path", update_path)
        self.name = f"upload-directory-{root.name}"
        words = {check_text("skip_words", word) for word in check_several("skip_words", skip_words, "names")}
        if not isinstance(skip, Iterable) or not all(callable(predicate) for predicate in skip):
            raise TypeError(f"skip={skip!r} is not a list of functions that are given a path")
        predicates = list(skip)
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
            for file in sorted(root.rglob("*")):
                inside = file.relative_to(root)
                if file.is_dir() or words & set(inside.parts) or any(predicate(str(file)) for predicate in predicates):
                    continue
                archive.write(file, Path(root.name) / inside)
        self.data = packed.getvalue()

    def __repr__(self) -> str:
        return f"<UploadDirectory: {self.path}>"

    def setup(self, worker: Any) -> None:
        """Write the files."""
        self._unpack(worker.shared_directory, first=True)

    def start(self, scheduler: Any) -> None:
        """The same, where the scheduler runs."""
        self._unpack(scheduler.local_directory, first=False)

    def _unpack(self, shared: str, *, first: bool) -> None:
        with _importing:
            folder = _folder(shared, first=first)
            with zipfile.ZipFile(io.BytesIO(self.data)) as archive:
                for member in archive.namelist():
                    _write(folder / member, archive.read(member))
            if self.update_path:
                _add_to_path(folder / self.path, first=first)
            importlib.invalidate_caches()


def as_path(name: str, value: object) -> Path:
    """A path that was given as the argument of this name."""
    return Path(check_path(name, value))


def _folder(shared: str, *, first: bool = True) -> Path:
    """Where uploads are that workers, or a scheduler, import modules from.

    Args:
        shared: the folder that they have in common; empty if there is none.
        first: modules there go before others of their names.
    """
    base = Path(shared or tempfile.mkdtemp(prefix="nbcluster-"))
    folder = base / "uploads"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    _add_to_path(folder, first=first)
    return folder


def _add_to_path(folder: Path, *, first: bool = True) -> None:
    text = str(folder)
    if text not in sys.path:
        behind = (place for place, other in enumerate(sys.path) if other in _uploads)  # the latest upload counts
        sys.path.insert(0 if first else next(behind, len(sys.path)), text)
    _uploads.add(text)


def _is_of_another(path: Path) -> bool:
    """True if this process has a module of that name from elsewhere."""
    loaded = sys.modules.get(path.stem)
    where = None if loaded is None else getattr(loaded, "__file__", None)
    return loaded is not None and (where is None or _uploads.isdisjoint(map(str, Path(where).parents)))


def _write(path: Path, data: bytes) -> None:
    """Write a file that other workers may be reading, or writing too."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def import_file(path: Path) -> list[Any]:
    """Import the module in a file, or those in an archive; those that were imported before are loaded anew.

    Returns:
        The modules; none if the file is of another kind.
    """
    kind = path.suffix.lower()
    if kind == ".py":
        names = [path.stem]
        Path(importlib.util.cache_from_source(str(path))).unlink(missing_ok=True)  # it may look up to date
    elif kind in ARCHIVES:
        sys.path_importer_cache.pop(str(path), None)  # what it remembers of the former file
        _add_to_path(path)
        names = [module.name for module in pkgutil.iter_modules([str(path)])]
    else:
        return []
    importlib.invalidate_caches()
    modules = []
    for name in names:
        loaded = sys.modules.get(name)
        if loaded is not None and kind != ".py":  # its parts are to be loaded anew as well
            for part in [part for part in sys.modules if part == name or part.startswith(f"{name}.")]:
                del sys.modules[part]
            loaded = None
        modules.append(importlib.import_module(name) if loaded is None else importlib.reload(loaded))
    return modules
