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
    "psutil",
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


def test_processes_of_a_cluster_have_imported_nothing_that_only_people_or_addresses_on_the_web_need() -> None:
    there = imported_by("import nbcluster.cluster.process, nbcluster.worker.main, nbcluster.client.dask_default")
    assert not there & {"difflib", "email", "html", "http"}


def modules_after(statement: str) -> set[str]:
    """All modules that are there after a statement."""
    script = f"{statement}\nimport sys\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    return set(done.stdout.split())


def test_who_only_has_a_client_has_no_scheduler_no_worker_and_no_supervisor() -> None:
    there = modules_after("from nbcluster import Client, LocalCluster, SubprocessCluster")
    for package in (
        "scheduler.core",
        "scheduler.server",
        "worker",
        "dashboard",
        "cluster.runtime",
        "supervisor.supervisor",
    ):
        assert not [name for name in there if name.startswith(f"nbcluster.{package}")]


def test_while_the_client_is_imported_the_collector_pauses_and_then_goes_on_if_it_did_before() -> None:
    script = """if True:
        import gc, nbcluster
        phases = []
        gc.callbacks.append(lambda phase, info: phases.append(phase))
        nbcluster.LocalCluster
        assert phases.count("start") <= 1, "one may follow at once"
        assert gc.isenabled()
        gc.disable()
        nbcluster.Client
        assert not gc.isenabled()
    """
    imported_by(script)


def test_who_has_a_client_has_not_imported_what_only_some_uses_of_it_need() -> None:
    there = modules_after("from nbcluster import Client, LocalCluster")
    graphs = {f"nbcluster.client.{name}" for name in ("graph", "graph_futures", "graph_steps", "graph_submission")}
    assert not there & {*graphs, "nbcluster.bandwidth", "nbcluster.protocol.culprit", "html", "json"}


@pytest.mark.skipif(sys.version_info < (3, 11), reason="before that, typing does not have all of it")
def test_msgspec_gets_from_typing_what_it_would_else_import_at_a_high_price() -> None:
    statement = "from nbcluster import Client, LocalCluster"
    assert "typing_extensions" not in imported_by(statement)
    assert "typing_extensions" in imported_by(f"{statement}\nimport typing_extensions"), "it is there for others"
    script = f"""if True:
        {statement}
        import typing, typing_extensions, msgspec._utils as utils
        assert utils.Required is typing_extensions.Required and utils.NotRequired is typing_extensions.NotRequired
        class A: x: typing.Annotated[int, 1]; y: "typing.Required[int]"; z: "int | None" = None
        assert utils.get_type_hints(A) == typing_extensions.get_type_hints(A, include_extras=True)
    """
    imported_by(script)


def test_a_cluster_imports_what_it_and_its_workers_need_before_it_forks() -> None:
    """What a fork has in common with its parent is there once."""
    there = modules_after("import nbcluster.cluster.process as p\nfor name in p._IN_COMMON: __import__(name)")
    worker = modules_after("import nbcluster.worker.main") - there
    assert not [name for name in worker if not name.startswith("nbcluster.") or name.startswith("nbcluster.comm.")]
    assert not [name for name in there if name.startswith(("nbcluster.scheduler.core", "nbcluster.cluster.runtime"))]


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    script = (
        "import nbcluster\ntry:\n nbcluster.nothing\nexcept AttributeError as error:\n assert 'nothing' in str(error)"
    )
    imported_by(script)


def test_every_public_name_is_there_and_listed() -> None:
    for name in nbcluster.__all__:
        assert getattr(nbcluster, name) is not None
        assert name in dir(nbcluster)
