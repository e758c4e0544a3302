"""What a process runs on, and which versions of the packages that matter between processes it has."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable

REQUIRED = ("nbcluster", "msgspec", "cloudpickle", "tornado")
"""Must be the same everywhere."""
OPTIONAL = ("dask", "numpy", "pandas", "pyarrow", "uvloop")
"""Should be the same everywhere, where they are used."""


def host() -> dict[str, str]:
    """The interpreter and the machine."""
    import platform  # here, because workers begin lean
    import struct

    version = sys.version_info
    return {
        "python": f"{version.major}.{version.minor}.{version.micro}.{version.releaselevel}.{version.serial}",
        "python-bits": str(8 * struct.calcsize("P")),
        "OS": platform.system(),
        "OS-release": platform.release(),
        "machine": platform.machine(),
        "processor": platform.processor(),
        "byteorder": sys.byteorder,
        "pid": str(os.getpid()),
    }


def packages(others: Iterable[str] = ()) -> dict[str, str | None]:
    """Versions by package; None for one that is not installed. Nothing is imported to find out."""
    found: dict[str, str | None] = {"python": host()["python"]}
    for name in (*REQUIRED, *OPTIONAL, *others):
        found[name] = _version(name)
    return found


def _version(name: str) -> str | None:
    import importlib.metadata

    module = sys.modules.get(name)
    version = getattr(module, "__version__", None)
    if isinstance(version, str):
        return version
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return _of_import_name(name)


def _of_import_name(name: str) -> str | None:
    """The version of the distribution that an import name comes from: ``sklearn`` is scikit-learn's."""
    import importlib.metadata

    for distribution in importlib.metadata.packages_distributions().get(name, ()):
        return importlib.metadata.version(distribution)
    return None
