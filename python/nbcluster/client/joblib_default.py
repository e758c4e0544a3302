"""joblib's backend ``"nbcluster"``: known to joblib as soon as both have been imported, in whichever order.

Who says ``"dask"``, as with the peer, gets it too, as long as there is a client of ours.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

from nbcluster.client import defaults
from nbcluster.client.import_hooks import WhenImported


def _make(**options: Any) -> Any:
    from nbcluster.client.joblib_backend import NbclusterBackend

    return NbclusterBackend(**options)


def _found(joblib: ModuleType) -> None:
    joblib.register_parallel_backend("nbcluster", _make)
    former = joblib.BACKENDS.get("dask")

    def make_dask(**options: Any) -> Any:
        from nbcluster.client.client import Client

        if not isinstance(options.get("client") or defaults.current(), Client):
            if former is not None:
                return former(**options)
            from joblib._dask import DaskDistributedBackend

            return DaskDistributedBackend(**options)
        return _make(**options)

    joblib.register_parallel_backend("dask", make_dask)


_waiting: list[WhenImported] = []


def register_when_imported() -> None:
    """Tell joblib of the backend, once."""
    if not _waiting:
        _waiting.append(WhenImported("joblib.parallel", _found))
