"""What importing costs: each test imports in a fresh process and looks at what came along."""

from __future__ import annotations

import subprocess
import sys

import pytest

import nbcluster

HEAVY = (
    "bokeh",
    "dask",
    "distributed",
    "ipywidgets",
    "jupyter_server",
    "numpy",
    "pandas",
    "tornado",
    "IPython",
    "traitlets",
)


def imported_by(statement: str) -> set[str]:
    """The top-level packages that are there after a statement."""
    script = f"{statement}\nimport sys\nprint(*{{name.partition('.')[0] for name in sys.modules}})"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


def test_importing_the_package_imports_next_to_nothing() -> None:
    there = imported_by("import nbcluster")
    assert not there & {*HEAVY, "asyncio", "msgspec", "psutil", "cloudpickle", "uvloop"}


@pytest.mark.parametrize(
    "statement",
    [
        "from nbcluster import Client, LocalCluster",
        "from nbcluster import SubprocessCluster, as_completed, wait",
        "import nbcluster.engines.base, nbcluster.engines.registry, nbcluster.engines.native",
        "import nbcluster.worker.main",
        "import nbcluster.cluster.process",
    ],
)
def test_clients_clusters_and_workers_need_nothing_heavy(statement: str) -> None:
    assert not imported_by(statement) & set(HEAVY)


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    script = (
        "import nbcluster\ntry:\n nbcluster.nothing\nexcept AttributeError as error:\n assert 'nothing' in str(error)"
    )
    imported_by(script)


def test_every_public_name_is_there_and_listed() -> None:
    for name in nbcluster.__all__:
        assert getattr(nbcluster, name) is not None
        assert name in dir(nbcluster)
