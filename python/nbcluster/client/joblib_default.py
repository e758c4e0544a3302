"""joblib's backend ``"nbcluster"``: known to joblib as soon as both have been imported, in whichever order."""

from __future__ import annotations

from types import ModuleType
from typing import Any

from nbcluster.client.import_hooks import WhenImported


def _found(joblib: ModuleType) -> None:
    def make(**options: Any) -> Any:
        from nbcluster.client.joblib_backend import NbclusterBackend

        return NbclusterBackend(**options)

    joblib.register_parallel_backend("nbcluster", make)


_waiting: list[WhenImported] = []


def register_when_imported() -> None:
    """Tell joblib of the backend, once."""
    if not _waiting:
        _waiting.append(WhenImported("joblib.parallel", _found))
