"""Every argument of every public callable refuses, at once, what it cannot be: the error has its name and the value.

``CALLS`` says how each callable is called rightly, ``KINDS`` what each argument may be. An argument that is in neither
fails here: who adds one says what it may be, and it has to refuse everything else.
"""

from __future__ import annotations

import asyncio
import inspect
import math
from collections.abc import Callable
from typing import Any

import pytest
from joblib import parallel_config

import nbcluster
from nbcluster.client.executor import OPTIONS as EXECUTOR_OPTIONS
from nbcluster.client.executor import ClientExecutor
from nbcluster.client.joblib_backend import OPTIONS as JOBLIB_OPTIONS
from nbcluster.cluster.keywords import SchedulerOptions
from nbcluster.cluster.member import Member
from nbcluster.cluster.spec import make_spec
from nbcluster.diagnostics import MemorySampler
from tests.contracts.gates import inc

pytestmark = [pytest.mark.differs("bad input"), pytest.mark.filterwarnings("ignore:.* is now called")]

HALF = "\udc80"
THING = object()
NOWHERE = "tcp://127.0.0.1:1"

# --- what an argument may be: here is what it may not be ---

FLAG = (1, 0, "yes", THING)
WHOLE = ("many", 1.5, True, THING, 2**70)
POSITIVE = (*WHOLE, 0, -1)
COUNT = (*WHOLE, -1)
TEXT = (5, b"x", THING, HALF)
KEY = (*TEXT, "")
SECONDS = ("soon", -1, math.nan, True, THING)
MOMENT = ("soon", math.nan, math.inf, True, THING)
KEYS = (5, b"x", THING, HALF, [5])
NAMES = (5.5, True, b"x", THING, HALF, [None])
SEVERAL = (5, "ada", THING)
CLIENT = (5, "me", THING)
PATH = (5, "", "a\0b", THING)
FUNCTION = (5, "f", THING)
FUTURE = (5, THING)
FUTURES = (5, "f", THING, [5])
CHOICE = (5, "nonsense", THING)
RESOURCES: tuple[Any, ...] = ("GPU", [], {"GPU": -1}, {"GPU": "one"}, {1: 1}, {HALF: 1})
NAME: tuple[Any, ...] = (THING, {}, [THING])
ADDRESS = (5, THING)
PORT = (-1, 65536, 1.5, True, THING)
LISTEN: tuple[Any, ...] = (1.5, True, THING, {}, -1, ":many", "localhost:65536")
BYTES = ("much", -1, True, THING)
FRACTION = ("much", -1, 2, THING)
LIMIT = ("much", -1, math.nan, True, 1.5, THING, 10**30)
LEVEL = ("loud", 1.5, THING)
MAPPING: tuple[Any, ...] = (5, "x", [], THING)
PLUGINS = (5, [THING], THING)
PRELOAD = (5, [5], THING, HALF)
HANDLERS = (5, "feed", ["nonsense"], THING)
WORKER_CLASS = (5, "nonsense", int)
SECURITY = (5, "x", THING)
LOOP = (5, THING)
NOT_THERE = (5, THING)
ANYTHING: tuple[Any, ...] = ()
"""Any value has a meaning, or the argument is accepted and changes nothing (``not_here.py`` says so)."""

KINDS: dict[str, tuple[Any, ...]] = {
    "Adaptive": CHOICE,
    "actor": FLAG,
    "actors": FLAG,
    "address": ADDRESS,
    "align": FLAG,
    "allow_global": FLAG,
    "allow_other_workers": FLAG,
    "allowed_failures": COUNT,
    "asynchronous": FLAG,
    "batch": COUNT[:2] + COUNT[3:],
    "batch_size": POSITIVE,
    "block": FLAG,
    "blocked_handlers": HANDLERS,
    "blocking": FLAG,
    "bokeh_resources": CHOICE,
    "branching_factor": POSITIVE,
    "broadcast": FLAG,
    "c": CLIENT,
    "callback_timeout": SECONDS,
    "cancel_futures": FLAG,
    "cancel_on_interrupt": FLAG,
    "category": CHOICE,
    "check": FLAG,
    "client": CLIENT,
    "close_workers": FLAG,
    "cluster": FLAG,
    "collection": CHOICE,
    "collections": ANYTHING,
    "complete": FLAG,
    "conda_options": SEVERAL,
    "connection_limit": POSITIVE,
    "contact_address": (5, "somewhere", THING),
    "cores": COUNT,
    "count": COUNT,
    "dashboard": FLAG,
    "dashboard_address": LISTEN,
    "data": ANYTHING,
    "death_timeout": SECONDS,
    "default": ANYTHING,
    "deserializers": (5, "x", ["json"]),
    "diagnostics_port": LISTEN,
    "direct": FLAG,
    "direct_to_workers": FLAG,
    "dsk": CHOICE,
    "env": (*MAPPING, {1: 2}, {"a=b": "c"}),
    "environ": MAPPING,
    "errors": CHOICE,
    "exclude": (*SEVERAL, [5]),
    "extensions": (5, {"x": 5}),
    "fifo_timeout": SECONDS,
    "filename": PATH,
    "filepath": PATH,
    "fn": FUNCTION,
    "force": FLAG,
    "format": CHOICE,
    "fs": FUTURES,
    "func": ANYTHING,  # the message says "the first argument"
    "function": FUNCTION,
    "future": FUTURE,
    "futures": FUTURES,
    "group_by": CHOICE,
    "handler": FUNCTION,
    "hash": FLAG,
    "heartbeat_interval": SECONDS,
    "host": (5, THING, HALF),
    "http_prefix": TEXT,
    "idle_timeout": SECONDS,
    "install_fn": FUNCTION,
    "interface": (5, "no-such0", THING),
    "interval": SECONDS,
    "ip": (5, THING, HALF),
    "key": KEY,
    "keys": KEYS,
    "label": TEXT,
    "level": LEVEL,
    "lifetime": SECONDS,
    "lifetime_restart": FLAG,
    "lifetime_stagger": SECONDS,
    "listen_address": (5, "somewhere", THING),
    "load": FLAG,
    "local_directory": PATH,
    "logger_name": TEXT,
    "loop": LOOP,
    "max_leases": POSITIVE,
    "maximum": COUNT[:4] + COUNT[5:],
    "maximum_cores": COUNT,
    "maximum_memory": BYTES,
    "maxsize": COUNT,
    "measure": CHOICE,
    "memory": BYTES,
    "memory_limit": LIMIT,
    "memory_pause_fraction": FRACTION,
    "memory_spill_fraction": FRACTION,
    "memory_target_fraction": FRACTION,
    "memory_terminate_fraction": FRACTION,
    "merge_workers": FLAG,
    "message": FUTURE,
    "minimum": COUNT,
    "minimum_cores": COUNT,
    "minimum_memory": BYTES,
    "mode": CHOICE,
    "msg": TEXT,
    "multi": FLAG,
    "n": COUNT,
    "n_workers": COUNT,
    "name": TEXT,
    "names": NAMES,
    "nanny": FLAG,
    "notebook": FLAG,
    "nthreads": POSITIVE,
    "num_locks": (*POSITIVE, 2),
    "o": ANYTHING,
    "obj": FUTURES,
    "on_error": CHOICE,
    "optimize_graph": FLAG,
    "override": FLAG,
    "packages": (*SEVERAL, [5]),
    "path": (5, "", THING),
    "pip_options": SEVERAL,
    "plot": ("nonsense", 5, THING),
    "plugin": CHOICE,
    "plugins": PLUGINS,
    "port": PORT,
    "preload": PRELOAD,
    "preload_argv": PRELOAD,
    "preload_nanny": PRELOAD,
    "preload_nanny_argv": PRELOAD,
    "priority": ("high", True, THING, math.nan),
    "processes": FLAG,
    "protocol": CHOICE,
    "pure": FLAG,
    "raise_errors": FLAG,
    "raise_for_error": FLAG,
    "reason": TEXT,
    "require_encryption": FLAG,
    "resolve_address": FLAG,
    "resources": RESOURCES,
    "restart_workers": FLAG,
    "retries": COUNT,
    "return_when": CHOICE,
    "role": CHOICE,
    "scheduler": FLAG,
    "scheduler_file": PATH,
    "scheduler_kwargs": (5, "x", [], THING),
    "scheduler_port": PORT,
    "scheduler_rpc": NOT_THERE,
    "scheduler_sync_interval": (*SECONDS, 0),
    "security": SECURITY,
    "separate_thread": FLAG,
    "serializers": (5, "x", ["json"]),
    "server": FLAG,
    "service_kwargs": (5, [], {"x": 1}),
    "services": NOT_THERE,
    "set_as_default": FLAG,
    "setup": FUNCTION,
    "silence_logs": LEVEL,
    "skip": (5, [5]),
    "skip_words": (*SEVERAL, [5]),
    "source": ANYTHING,
    "stacklevel": WHOLE,
    "start": MOMENT,
    "stop": MOMENT,
    "storage_options": MAPPING,
    "summary": FLAG,
    "sync": FLAG,
    "target_duration": SECONDS,
    "threads_per_worker": POSITIVE,
    "timeout": SECONDS,
    "topic": KEY,
    "traverse": FLAG,
    "update_path": FLAG,
    "value": ANYTHING,
    "wait": FLAG,
    "wait_count": POSITIVE,
    "scatter": (5, "x", THING),
    "wait_for_workers": FLAG,
    "wait_for_workers_timeout": SECONDS,
    "with_results": FLAG,
    "width": POSITIVE,
    "worker_class": WORKER_CLASS,
    "worker_dashboard_address": LISTEN,
    "worker_key": FUNCTION,
    "worker_kwargs": (5, "x", [], THING),
    "worker_port": PORT,
    "worker_services": NOT_THERE,
    "workers": NAMES,
    "write_from_scheduler": (*FLAG, True),
    # where a name means something else
    "Adaptive(cluster)": CLIENT,
    "Client(loop)": ANYTHING,
    "Client(name)": TEXT,
    "Client(timeout)": (*SECONDS, None),
    "Client.get(actors)": (5, THING, [THING]),
    "Client.get(keys)": ({},),
    "Client.compute(actors)": (5, THING, [THING]),
    "Client.persist(actors)": (5, THING, [THING]),
    "Client.futures_of(futures)": ANYTHING,
    "Client.gather(futures)": ANYTHING,  # what is no future stays as it is
    "Client.get_dataset(name)": NAME,
    "Client.get_metadata(keys)": NAME,
    "Client.log_event(msg)": ANYTHING,
    "Client.log_event(topic)": (5, "", THING, HALF),
    "Client.map(key)": (5, "", THING, HALF),
    "Client.profile(key)": TEXT,
    "Client.publish_dataset(name)": NAME,
    "Client.retire_workers(names)": NAMES,
    "Client.scheduler_info(n_workers)": WHOLE,
    "Client.set_metadata(key)": NAME,
    "Client.unpublish_dataset(name)": NAME,
    "Client.wait_for_workers(n_workers)": POSITIVE[:4],
    "Cluster.wait_for_workers(n_workers)": POSITIVE[:4],
    "LocalCluster(start)": ANYTHING,  # it has no effect, and a warning says so
    "Cluster.get_logs(workers)": (5.5, b"x", THING, HALF, [None]),
    "Executor.map(chunksize)": POSITIVE,
    "Executor.map(buffersize)": POSITIVE,
    "Nanny(name)": (True, 1.5, THING, HALF, 2**70),
    "Worker(name)": (True, 1.5, THING, HALF, 2**70),
    **{f"{kind}(name)": (*NAME, HALF) for kind in ("Event", "Lock", "Queue", "Semaphore", "Variable")},
    "MultiLock(names)": (5, "ada", THING, [THING], [HALF]),
    "Client.replicate(n)": POSITIVE,
    "as_completed(loop)": ANYTHING,
    "get_client(timeout)": SECONDS,
}

# --- how each is called ---

OBJECTS: dict[str, tuple[type, Callable[[Any], Any]]] = {
    "ActorFuture": (nbcluster.ActorFuture, lambda client: client.submit(dict, actor=True).result().keys()),
    "Client": (nbcluster.Client, lambda client: client),
    "Cluster": (nbcluster.LocalCluster, lambda client: client.cluster),
    "Event": (nbcluster.Event, lambda client: nbcluster.Event(client=client)),
    "Executor": (ClientExecutor, lambda client: client.get_executor()),
    "Future": (nbcluster.Future, lambda client: client.submit(inc, 1)),
    "Lock": (nbcluster.Lock, lambda client: nbcluster.Lock(client=client)),
    "MemorySampler": (MemorySampler, lambda client: MemorySampler()),
    "MultiLock": (nbcluster.MultiLock, lambda client: nbcluster.MultiLock(["one"], client=client)),
    "Queue": (nbcluster.Queue, lambda client: nbcluster.Queue(client=client)),
    "Security": (nbcluster.Security, lambda client: nbcluster.Security()),
    "Semaphore": (nbcluster.Semaphore, lambda client: nbcluster.Semaphore(client=client)),
    "Variable": (nbcluster.Variable, lambda client: nbcluster.Variable(client=client)),
    "as_completed": (nbcluster.as_completed, lambda client: nbcluster.as_completed([client.submit(inc, 1)])),
}
"""Objects whose methods are called."""

FOR_WORKERS = [
    name
    for name in make_spec.__kwdefaults__ or {}
    if name.startswith(("memory_", "lifetime", "death", "preload")) or name in ("resources", "env", "plugins")
]
MORE = {
    "LocalCluster": [*FOR_WORKERS, "local_directory"],
    "SubprocessCluster": [*FOR_WORKERS, "local_directory"],
    "Nanny": [name for name in Member.__init__.__kwdefaults__ or {} if name not in ("port", "scheduler_file")],
    "Scheduler": [*SchedulerOptions.__struct_fields__],
    "Client.get_executor": [*EXECUTOR_OPTIONS],
}
"""Arguments that a signature leaves to ``**kwargs``."""

INSIDE = {
    **dict.fromkeys(("Actor", "ActorFuture", "BaseActorFuture"), "the package makes them"),
    **dict.fromkeys(("NannyPlugin", "SchedulerPlugin", "WorkerPlugin"), "the package calls them"),
    **dict.fromkeys(("Cluster.adapts_by", "Cluster.renderer", "Cluster.soon"), "the package calls them"),
    "Status": "an enumeration",
    "print": "Python's own, with the same arguments",
    "get_worker": "it takes none",
    "get_task_metadata": "it takes none",
    "rejoin": "it takes none",
    "secede": "it takes none",
}
"""What nobody calls with arguments of his own."""


RIGHT: dict[str, Any] = {
    **dict.fromkeys(("function", "handler", "setup", "fn", "install_fn"), int),
    **dict.fromkeys(("futures", "collections", "fs", "obj", "workers"), ()),
    **dict.fromkeys(("name", "topic", "key", "keys", "message"), "x"),
    **dict.fromkeys(("filename", "filepath"), __file__),
    **dict.fromkeys(("value", "msg", "data", "n_workers"), 1),
    "path": ".",
    "packages": ["x"],
    "dsk": {"x": 1},
    "role": "client",
    "o": None,
    "scheduler_file": "x",
    "plugin": nbcluster.WorkerPlugin(),
}
"""What arguments that have no default are given while another one is wrong."""

FIRST: dict[str, tuple[Any, ...]] = {
    "Client.map": (inc, [1]),
    "Client.publish_dataset": (1,),
    "Client.run": (int,),
    "Client.run_on_scheduler": (int,),
    "Client.submit": (inc, 1),
    "Client.sync": (asyncio.sleep, 0),
    "Nanny": (NOWHERE,),
    "Worker": (NOWHERE,),
}
"""What is given by position."""


def names() -> list[str]:
    """All public callables that take arguments, by name."""
    found = []
    for name in nbcluster.__all__:
        thing = getattr(nbcluster, name)
        if callable(thing) and name not in INSIDE and not _is_error(thing):
            found.append(name)
    for name, (kind, _) in OBJECTS.items():
        found += [f"{name}.{member}" for member in dir(kind) if member[0] != "_" and _arguments(getattr(kind, member))]
    return [name for name in [*found, "scheduler_kwargs", "joblib"] if name not in INSIDE]


def _is_error(thing: Any) -> bool:
    return isinstance(thing, type) and issubclass(thing, BaseException)


def _arguments(function: Any) -> list[str]:
    """Those that somebody gives by name."""
    if not callable(function):
        return []
    kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return [name for name, p in inspect.signature(function).parameters.items() if p.kind in kinds and name != "self"]


def call_of(name: str, client: Any) -> tuple[Callable[..., Any], list[str]]:
    """How to call it with one argument that is wrong, and which arguments there are."""
    if name == "scheduler_kwargs":
        return lambda **wrong: nbcluster.LocalCluster(scheduler_kwargs=wrong), _of_all(name)
    if name == "joblib":
        return lambda **wrong: parallel_config("nbcluster", **wrong), _of_all(name)
    owner, _, member = name.partition(".")
    function = getattr(OBJECTS[owner][1](client), member) if member else getattr(nbcluster, name)
    arguments = [*dict.fromkeys([*_arguments(function), *MORE.get(name, ())])]
    parameters = inspect.signature(function).parameters
    needed = [one for one in arguments if one in parameters and parameters[one].default is inspect.Parameter.empty]
    right = {**RIGHT, "client": client, "cluster": client.cluster, "future": client.submit(inc, 1), "func": inc}

    def call(**wrong: Any) -> Any:
        first = () if wrong.keys() & {"address", "scheduler_file", "func", "function"} else FIRST.get(name, ())
        given = {} if first else {one: right[one] for one in needed if one in right}
        result = function(*first, **{**given, **wrong})
        if hasattr(result, "gen"):  # a context manager: it begins when it is entered
            with result:
                pass
        return result

    return call, arguments


def kinds_of(name: str, argument: str) -> tuple[Any, ...]:
    """What it may not be."""
    kinds = KINDS.get(f"{name}({argument})", KINDS.get(argument))
    assert kinds is not None, f"{name}({argument}=): say in KINDS what it may not be"
    return kinds


@pytest.mark.parametrize("name", names())
def test_every_argument_refuses_what_it_cannot_be(client: Any, name: str) -> None:
    call, arguments = call_of(name, client)
    faults = [fault for one in arguments for value in kinds_of(name, one) if (fault := fault_of(call, one, value))]
    assert not faults, "\n".join([name, *faults])
    assert client.submit(inc, 1).result(timeout=30) == 2


def fault_of(call: Callable[..., Any], argument: str, value: Any) -> str:
    """What is wrong with how a wrong value is refused; nothing, as it should be."""
    try:
        call(**{argument: value})
    except (TypeError, ValueError) as error:
        named = f"{argument}={value!r}" in str(error) or (argument in str(error) and _inside(value) in str(error))
        return "" if named else f"{argument}={value!r} is refused by {error!r}"
    except Exception as error:
        return f"{argument}={value!r} gives {error!r}"
    return f"{argument}={value!r} is accepted"


def _inside(value: Any) -> str:
    """What an error names if it names an element."""
    if isinstance(value, dict) and value:
        return repr(next(iter(value)))
    return repr(value[0] if isinstance(value, list) and value else value)


def test_what_may_be_anything_is_named_once() -> None:
    called = {(name, one) for name in names() for one in _of_all(name)}
    known = {f"{name}({one})" for name, one in called} | {one for _, one in called}
    assert set(KINDS) <= known, f"no argument is called {sorted(set(KINDS) - known)}"


def _of_all(name: str) -> list[str]:
    if name == "scheduler_kwargs":
        return [*SchedulerOptions.__struct_fields__]
    if name == "joblib":
        return ["client", "scatter", "wait_for_workers_timeout", *sorted(JOBLIB_OPTIONS)]
    owner, _, member = name.partition(".")
    function = getattr(OBJECTS[owner][0], member) if member else getattr(nbcluster, name)
    return [*_arguments(function), *MORE.get(name, ())]
