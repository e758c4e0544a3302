"""Keywords of clusters that say how scheduler and workers live: checked, and as records that can travel."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

import msgspec

from nbcluster.arguments import check_flag, check_path, check_text, check_whole
from nbcluster.comm.addresses import TcpAddress, parse
from nbcluster.preloading import check_preload
from nbcluster.units import parse_seconds

NOT_HERE = {
    "services": "the peer gave these up long ago: service_kwargs= has options of the dashboard",
    "worker_services": "the peer gave these up long ago: worker_dashboard_address= is the workers' dashboard",
    "nthreads": "give threads_per_worker=",
    "nprocs": "give n_workers=",
    "dashboard": "give dashboard_address=, or None for no dashboard",
    "data": "workers keep results in memory, in memory that they share, and on disk below local_directory=",
    "executor": "each worker runs tasks in threads_per_worker= threads",
    "validate": "the tests of nbcluster check what this would",
}
"""Keywords of the peer that have no meaning here, with what to do instead."""


class Lifetime(msgspec.Struct, frozen=True):
    """How long workers live; seconds."""

    seconds: float
    stagger: float = 0.0
    """Each lives up to so much longer or shorter, or all would end at once."""
    restart: bool = False
    """Whether another takes the place of one whose time is over."""


class SchedulerOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What ``scheduler_kwargs`` may say."""

    http_prefix: str | None = None
    """What the paths of the dashboard begin with."""
    idle_timeout: float | None = None
    """Seconds without any task after which the cluster closes."""
    allowed_failures: int = 3
    """A task errs when more workers than this died while they ran it."""
    preload: list[str] = []
    preload_argv: list[str] = []
    dashboard: bool = True
    plugins: bytes = b""
    """Pickled names and plugins of the scheduler."""
    scheduler_file: str | None = None
    """Where to write how the scheduler is reached."""
    contact_address: str | None = None
    """What clients and workers are told of where it listens, if that is not how they reach it."""


class WorkerOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What else workers are told."""

    lifetime: Lifetime | None = None
    death_timeout: float | None = None
    """Seconds within which a new worker must have joined."""
    preload: list[str] = []
    preload_argv: list[str] = []
    plugins: bytes = b""
    """Pickled names and plugins of workers."""


def unknown(what: str, name: str, known: Collection[str]) -> TypeError:
    """The error for a keyword that there is not."""
    import difflib  # only here: it takes time and memory that those who spell well need not spend

    close = difflib.get_close_matches(name, known, 1)
    hint = f"did you mean {close[0]!r}?" if close else f"it takes {', '.join(sorted(known))}"
    return TypeError(f"{what} got an unexpected keyword argument {name!r}; {hint}")


def check_names(what: str, given: Iterable[str], called: Callable[..., Any]) -> None:
    """Refuse keywords that ``called`` does not take.

    Raises:
        TypeError: names the first, and what it may have meant.
    """
    takes = inspect.signature(called).parameters.values()
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in takes):
        return
    known = [parameter.name for parameter in takes if parameter.default is not parameter.empty]
    for name in given:
        if name not in known:
            raise unknown(what, name, known)


def scheduler_options(given: Mapping[str, Any] | None) -> SchedulerOptions:
    """Accept ``scheduler_kwargs``.

    Raises:
        TypeError, ValueError: names the option, its value and what is allowed.
    """
    if given is None:
        return SchedulerOptions()
    if not isinstance(given, Mapping):
        raise TypeError(f"scheduler_kwargs={given!r} is not a dict of options")
    options: dict[str, Any] = {}
    for name, value in given.items():
        if name not in SchedulerOptions.__struct_fields__:
            raise unknown("scheduler_kwargs", str(name), SchedulerOptions.__struct_fields__)
        options[name] = _scheduler_option(name, value)
    return SchedulerOptions(**options)


def _scheduler_option(name: str, value: Any) -> Any:
    if name in ("preload", "preload_argv"):
        return check_preload(name, value)
    if name == "plugins":
        return pickled_plugins(value, "scheduler")
    if name == "idle_timeout":
        return duration(name, value)
    if name == "allowed_failures":
        return check_whole(name, value, least=0)
    if name == "dashboard":
        return check_flag(name, value)
    if name == "scheduler_file":
        return check_file(name, value)
    if name == "contact_address":
        return check_contact(value)
    return None if value is None else check_text(name, value)


def worker_options(
    lifetime: Any,
    lifetime_stagger: Any,
    lifetime_restart: Any,
    death_timeout: Any,
    preload: Any,
    preload_argv: Any,
    plugins: Any = None,
) -> WorkerOptions:
    """Accept the keywords of the same names; times are seconds, or texts like ``"1 hour"``.

    Raises:
        TypeError, ValueError: names the argument, its value and what is allowed.
    """
    return WorkerOptions(
        lifetime=check_lifetime(lifetime, lifetime_stagger, lifetime_restart),
        death_timeout=duration("death_timeout", death_timeout),
        preload=check_preload("preload", preload),
        preload_argv=check_preload("preload_argv", preload_argv),
        plugins=pickled_plugins(plugins, "worker"),
    )


def check_lifetime(lifetime: Any, lifetime_stagger: Any, lifetime_restart: Any) -> Lifetime | None:
    """Accept the keywords of the same names; times are seconds, or texts like ``"1 hour"``.

    Raises:
        TypeError, ValueError: names the argument, its value and what is allowed.
    """
    stagger = duration("lifetime_stagger", lifetime_stagger) or 0.0
    restart = False if lifetime_restart is None else check_flag("lifetime_restart", lifetime_restart)
    seconds = duration("lifetime", lifetime)
    if seconds is None and (stagger or restart):
        name = "lifetime_stagger" if stagger else "lifetime_restart"
        raise ValueError(f"{name} is given without lifetime=, on which it depends")
    if seconds is not None and stagger >= seconds:
        raise ValueError(f"lifetime_stagger={lifetime_stagger!r} is out of range; give less than lifetime={lifetime!r}")
    return None if seconds is None else Lifetime(seconds, stagger, restart)


def check_plugins(plugins: Any, whose: str) -> list[tuple[str, Any]]:
    """Accept ``plugins``: a list or set of instances of ``WorkerPlugin``, or ``SchedulerPlugin``; each with its name.

    Raises:
        TypeError: it is something else; names the value and what is allowed.
    """
    if plugins is None or plugins == ():
        return []
    from nbcluster.plugins.base import SchedulerPlugin, WorkerPlugin, plugin_name

    wanted: type = SchedulerPlugin if whose == "scheduler" else WorkerPlugin
    if not isinstance(plugins, (list, tuple, set, frozenset)) or not all(
        isinstance(plugin, wanted) for plugin in plugins
    ):
        raise TypeError(f"plugins={plugins!r} is not a list of instances of nbcluster.{wanted.__name__}")
    return [(plugin_name(plugin), plugin) for plugin in plugins]


def pickled_plugins(plugins: Any, whose: str) -> bytes:
    """The same, pickled; empty if there are none."""
    checked = check_plugins(plugins, whose)
    if not checked:
        return b""
    import cloudpickle  # type: ignore[import-untyped]

    pickled: bytes = cloudpickle.dumps(checked)
    return pickled


def check_file(name: str, value: object) -> str | None:
    """Accept a path, or None."""
    if value is None:
        return None
    return os.path.abspath(check_path(name, value))


def check_contact(value: object) -> str | None:
    """Accept ``contact_address``: where others reach a party, or None.

    Raises:
        TypeError, ValueError: names the argument, its value and what is allowed.
    """
    if value is None:
        return None
    if not isinstance(value, str):
        raise TypeError(f"contact_address={value!r} is not an address like 'tcp://myhost:8786'")
    try:
        parsed = parse(value)
    except ValueError as error:
        raise ValueError(f"contact_address={value!r} is not understood: {error}") from None
    if not isinstance(parsed, TcpAddress) or not parsed.port:
        raise ValueError(
            f"contact_address={value!r} is no address that others can reach; give e.g. 'tcp://myhost:8786'"
        )
    return str(parsed)


def check_environment(env: object) -> dict[str, str]:
    """Accept ``env``: environment variables by name; their values are made text.

    Raises:
        TypeError, ValueError: names the argument, its value and what is allowed.
    """
    if env is None:
        return {}
    if not isinstance(env, Mapping):
        raise TypeError(f"env={env!r} is not a dict of environment variables")
    for name, value in env.items():
        if not isinstance(name, str) or not name or "=" in name or "\0" in name or "\0" in str(value):
            raise ValueError(f"env={env!r} has {name!r}: {value!r} in it, which cannot be an environment variable")
    return {name: str(value) for name, value in env.items()}


def duration(name: str, value: Any) -> float | None:
    """Seconds above 0; None, 0 and ``"0"`` mean none."""
    if value is None:
        return None
    if isinstance(value, bool):
        raise TypeError(f"{name}={value!r} is not a number of seconds")
    seconds = parse_seconds(value, name)
    if not 0 <= seconds < float("inf"):
        raise ValueError(f"{name}={value!r} is out of range; give a number of seconds above 0, or None")
    return seconds or None


def processes_of(worker_class: Any, processes: bool | None) -> bool:
    """Whether workers are processes: those of a ``Nanny`` are, those of the class ``Worker`` are threads.

    Raises:
        TypeError, ValueError: it is another class, or ``processes`` contradicts it.
    """
    if worker_class is None:
        return processes is not False
    name = worker_class.rpartition(".")[2] if isinstance(worker_class, str) else getattr(worker_class, "__name__", "")
    ours = isinstance(worker_class, str) or str(getattr(worker_class, "__module__", "")).startswith("nbcluster.")
    if name not in ("Worker", "Nanny") or not ours:
        raise TypeError(
            f"worker_class={worker_class!r} is neither nbcluster.Nanny (processes) nor nbcluster.Worker (threads); "
            "what a class of your own would do, preload= and plugins can"
        )
    if processes is not None and processes is not (name == "Nanny"):
        wanted = "processes" if processes else "threads"
        raise ValueError(f"worker_class={worker_class!r} contradicts processes={processes!r}, which asks for {wanted}")
    return name == "Nanny"
