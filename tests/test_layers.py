"""Who may import whom: the layers of the package, over the imports in its source.

Rules
1. Imports go down: to a lower layer, or within the same unit.
2. Units of one layer do not know each other; scheduler, worker and client never do.
3. Composition roots put the parts together: they may import anything, and only they know each other.
4. What people look at (``jupyter``, ``widgets``, ``dashboard``) sees only what is listed for it.

Imports for type checkers only are not imports. Every exception is named, with its reason.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent / "python"
PACKAGE = "nbcluster"

LAYERS: list[set[str]] = [
    {"vocabulary"},
    {"protocol", "engine contract"},
    {"plugins"},
    {"comm", "store", "scheduler core", "worker core"},
    {"scheduler shell", "worker shell", "supervisor", "engine control"},
    {"client", "cluster"},
    {"widgets", "dashboard"},
    {"diagnostics", "jupyter"},
]
ROOTS = "composition roots"

VOCABULARY = {
    "arguments",
    "bandwidth",
    "beats",
    "capacity",
    "commands",
    "config",
    "dask_settings",
    "deadlines",
    "emptied",
    "story",
    "errors",
    "garbage",
    "lean",
    "markup",
    "page_policy",
    "preloading",
    "process_memory",
    "resident",
    "snapshot",
    "surroundings",
    "task_output",
    "types",
    "units",
    "versions",
}
SHELLS = {
    "scheduler": {
        "errands",
        "facade",
        "groups",
        "guests",
        "inspecting",
        "plugins",
        "server",
        "sessions",
        "side_calls",
        "tidying",
        "views",
    },
    "worker": {
        "actors",
        "context",
        "coroutines",
        "current",
        "deliveries",
        "executor",
        "folders",
        "functions",
        "idle_sharing",
        "inspecting",
        "limits",
        "links",
        "log_forwarding",
        "metrics",
        "output",
        "own_reading",
        "performer",
        "plugins",
        "ports",
        "pressure",
        "run_queue",
        "runner",
        "seats",
        "server",
        "side_calls",
        "spilling",
        "transfer",
        "transfer_log",
        "views",
    },
}
ENGINES = {"": "engine contract", "base": "engine contract", "registry": "engine contract", "control": "engine control"}
COMPOSITION_ROOTS = {
    "": "the package itself: public names, imported when they are used",
    "__main__": "the command line",
    "cli": "the command line: workers from elsewhere",
    "cluster.local": "LocalCluster: an engine in this process, or a Jupyter server's",
    "cluster.member": "what Worker and Nanny have in common",
    "cluster.process": "a cluster in a process of its own",
    "cluster.runtime": "scheduler, workers, logs and dashboard, put together",
    "cluster.nanny": "Nanny: a worker of a running cluster, and what keeps it up",
    "cluster.servers": "Worker and Scheduler: parts of a cluster one by one",
    "cluster.subprocess": "SubprocessCluster: an engine in a process of its own",
    "engines.attached": "the engine of a cluster that a Jupyter server keeps",
    "engines.in_process": "the engine of a cluster in this process",
    "engines.native": "the engines of clusters in other processes",
    "start": "begins a process of whatever module the command line names",
    "in_task": "the client of a worker's tasks",
    "worker.main": "a worker in a process of its own",
    "engines.showing": "how clusters show themselves: the port that widgets fill",
}
EXCEPTIONS = {
    ("client.profiling", "dashboard.report"): "figures of profiles and task streams, for those who ask for them",
    ("client.destination", "cluster.local"): "Client() without an address is short for Client(LocalCluster())",
    ("cluster.making", "cluster.nanny"): "cluster.worker_spec names the classes of workers",
    ("cluster.making", "cluster.servers"): "cluster.worker_spec names the classes of workers",
    ("cluster.base", "client.client"): "cluster.get_client() gives a client",
    ("cluster.base", "client.observing"): "what a client says of its cluster, the cluster says of itself",
    ("cluster.base", "client.defaults"): "cluster.get_client() gives the current client if it is one of this cluster",
    ("dashboard.activation", ""): "it looks up where the package lies, for the path of the process that it starts",
}
SEES = {
    "jupyter": {
        *VOCABULARY,
        "comm",  # the control channel between kernels and server is a link like any other
        "protocol",  # and so are its messages
        "engines.base",
        "engines.registry",
    },
    "widgets": {*VOCABULARY, "engines.base"},
    "dashboard": {*VOCABULARY, "comm", "protocol"},  # a process of its own, with a control link to the cluster
}
FOREIGN = {
    "IPython": {"widgets"},
    "bokeh": {"dashboard"},
    "dask": {"client"},
    "distributed": set[str](),
    "ipykernel": {"jupyter"},
    "ipywidgets": {"widgets"},
    "joblib": {"client"},
    "jupyter_core": {"jupyter"},
    "jupyter_server": {"jupyter"},
    "tornado": {"dashboard", "jupyter"},
    "traitlets": {"jupyter", "widgets"},
}
"""Packages that only some of ours may import."""

PURE = {"scheduler core", "worker core"}
IMPURE = {"asyncio", "logging", "os", "random", "socket", "subprocess", "threading", "time", "uuid"}
"""What a pure machine has no use for: I/O, clocks, chance, threads."""


class Import:
    def __init__(self, importer: str, imported: str) -> None:
        self.importer, self.imported = importer, imported

    def __repr__(self) -> str:
        return f"{self.importer or PACKAGE} imports {self.imported or PACKAGE}"


def modules() -> dict[str, Path]:
    """All modules by their name below the package; the package itself is ``""``."""
    found = {}
    for path in sorted((ROOT / PACKAGE).rglob("*.py")):
        parts = path.relative_to(ROOT / PACKAGE).with_suffix("").parts
        found[".".join(parts).removesuffix("__init__").rstrip(".")] = path
    return found


MODULES = modules()


def unit(module: str) -> str:
    """The part of the package that a module belongs to."""
    if module in COMPOSITION_ROOTS:
        return ROOTS
    if module in VOCABULARY:
        return "vocabulary"
    package, _, rest = module.partition(".")
    if package in SHELLS:
        return f"{package} shell" if rest in SHELLS[package] else f"{package} core"
    return ENGINES[rest] if package == "engines" else package


def level(name: str) -> int:
    for number, units in enumerate(LAYERS):
        if name in units:
            return number
    raise AssertionError(f"{name!r} is in no layer; put it into one")


def _names(path: Path) -> Iterator[str]:
    """The absolute names of all that a file imports, wherever it does so."""
    tree = ast.parse(path.read_text())
    for_checkers = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for statement in node.body
        for inner in ast.walk(statement)
    }
    for node in ast.walk(tree):
        if node in for_checkers:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path} has a relative import"
            assert node.module is not None
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _own_module(name: str) -> str:
    """The module of ours behind an imported name, which may be something in it."""
    module = name.removeprefix(PACKAGE).lstrip(".")
    while module not in MODULES:
        module = module.rpartition(".")[0]
    return module


def is_empty(module: str) -> bool:
    """True for a package that is nothing but a folder: to import something from it is to import that thing."""
    return MODULES[module].name == "__init__.py" and not MODULES[module].read_text().strip()


def own_imports() -> list[Import]:
    found = []
    for module, path in MODULES.items():
        for name in _names(path):
            if name.split(".")[0] == PACKAGE and name != f"{PACKAGE}.__version__":
                imported = _own_module(name)
                if imported != module and not is_empty(imported):
                    found.append(Import(module, imported))
    return found


OWN_IMPORTS = own_imports()


def _allowed(one: Import) -> bool:
    importer, imported = unit(one.importer), unit(one.imported)
    if importer in (ROOTS, imported) or (one.importer, one.imported) in EXCEPTIONS:
        return True
    return imported != ROOTS and level(imported) < level(importer)


def test_every_module_is_in_a_layer() -> None:
    for module in MODULES:
        if unit(module) != ROOTS and not is_empty(module):
            level(unit(module))


def test_imports_go_down() -> None:
    assert [one for one in OWN_IMPORTS if not _allowed(one)] == []


def test_scheduler_worker_and_client_never_import_each_other() -> None:
    three = {"scheduler", "worker", "client"}
    packages = [(one, one.importer.split(".")[0], one.imported.split(".")[0]) for one in OWN_IMPORTS]
    assert [one for one, a, b in packages if a in three and b in three and a != b] == []


@pytest.mark.parametrize("viewer", sorted(SEES))
def test_what_people_look_at_sees_only_what_is_listed(viewer: str) -> None:
    def seen(one: Import) -> bool:
        return one.imported in SEES[viewer] or one.imported.split(".")[0] in {viewer, *SEES[viewer]}

    looked_at = [one for one in OWN_IMPORTS if unit(one.importer) == viewer]
    assert [one for one in looked_at if not seen(one) and (one.importer, one.imported) not in EXCEPTIONS] == []


def test_pure_machines_have_no_clock_and_no_io() -> None:
    impure = [
        f"{module} imports {name}"
        for module, path in MODULES.items()
        if unit(module) in PURE
        for name in _names(path)
        if name.split(".")[0] in IMPURE
    ]
    assert impure == []


def test_large_packages_stay_where_they_belong() -> None:
    strays = [
        f"{module} imports {name}"
        for module, path in MODULES.items()
        for name in _names(path)
        if (users := FOREIGN.get(name.split(".")[0])) is not None and module.split(".")[0] not in users
    ]
    assert strays == []


def test_every_exception_is_still_needed() -> None:
    pairs = {(one.importer, one.imported) for one in OWN_IMPORTS}
    assert set(EXCEPTIONS) <= pairs
    assert set(COMPOSITION_ROOTS) <= set(MODULES)
    for package, names in SHELLS.items():
        assert {f"{package}.{name}" for name in names} <= set(MODULES)


def test_nothing_but_the_standard_library_is_imported_by_accident() -> None:
    declared = {"cloudpickle", "cryptography", "msgspec", "psutil", "uvloop", "xxhash", "numpy", *FOREIGN}
    foreign = {name.split(".")[0] for path in MODULES.values() for name in _names(path)}
    assert foreign - set(sys.stdlib_module_names) - {PACKAGE} <= declared
