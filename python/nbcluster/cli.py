"""``nbcluster worker ADDRESS``: extra workers for a running cluster, in processes that are restarted when they die."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from nbcluster.capacity import cpu_count
from nbcluster.cluster.member import Member
from nbcluster.cluster.nanny import Nanny
from nbcluster.cluster.servers import Worker
from nbcluster.cluster.sizing import choose_size
from nbcluster.comm.loop import new_event_loop
from nbcluster.comm.security import Security
from nbcluster.comm.signals import heeded
from nbcluster.errors import NbclusterError, TimeoutError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    end = given.index("--") if "--" in given else len(given)
    options = _parser().parse_args(given[:end], argparse.Namespace(preload_argv=given[end + 1 :]))
    loop = new_event_loop()
    try:
        with _pid_file(options.pid_file):
            return loop.run_until_complete(_work(options))
    except (NbclusterError, TimeoutError, TypeError, ValueError) as error:
        print(f"nbcluster: {error}", file=sys.stderr)
        return 1
    finally:
        loop.close()


@contextlib.contextmanager
def _pid_file(path: str | None) -> Iterator[None]:
    if path is None:
        yield
        return
    Path(path).write_text(str(os.getpid()))
    try:
        yield
    finally:
        Path(path).unlink(missing_ok=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="nbcluster", description="A task cluster that lives in Jupyter.")
    commands = parser.add_subparsers(dest="command", required=True)
    worker = commands.add_parser(
        "worker",
        help="attach workers to a cluster that runs",
        epilog="What follows '--' are further arguments of what is preloaded.",
    )
    add = worker.add_argument
    add("address", nargs="?", help="the scheduler's, as cluster.scheduler_address says")
    add("--scheduler-file", help="a file that tells the address, instead; it is waited for")
    add("--nworkers", default="1", metavar="N", help="how many processes (1); 'auto' suits the CPUs, -1 is one per CPU")
    add("--nthreads", type=int, metavar="N", help="tasks that each runs at once (the CPUs are split evenly)")
    add("--name", help="of the worker; with several, each has a number after it")
    add("--memory-limit", default="auto", help="of each: '1GiB', '25%%', '0' for none ('auto')")
    add("--resources", default="", help="what each offers, as 'GPU=1 X=2'")
    add("--local-directory", help="where each puts what it has no room for in memory")
    add("--death-timeout", help="seconds within which each must have joined, or '1 min' (it waits for a scheduler)")
    add("--lifetime", help="seconds, or '1 hour', after which each goes; what it holds moves first")
    add("--lifetime-stagger", help="so much longer or shorter, at random")
    add("--lifetime-restart", action="store_true", default=None, help="another takes the place of one that goes")
    add("--preload", action="append", help="a module or file to run first; may be repeated")
    add("--preload-nanny", action="append", help="the same for this process, which watches over the workers")
    add("--no-nanny", action="store_true", help="be the worker, in this very process; it is not restarted")
    add("--host", help="the address of this machine at which each listens for other workers")
    add("--interface", help="a network interface, instead")
    add("--worker-port", help="a port, or '9000:9010', of which each takes the first that is free")
    add("--listen-address", help="host and port at once, as 'tcp://127.0.0.1:9000'")
    add("--contact-address", help="how other workers reach it, if not there")
    add("--protocol", help="that of the scheduler's address")
    add("--dashboard-address", help="where to serve the cluster's dashboard (nowhere)")
    add("--pid-file", help="where to write this process's id; the file goes when it ends")
    add("--tls-ca-file", help="PEM file of the authority, for tls:// addresses")
    add("--tls-cert", help="PEM file of the worker's certificate")
    add("--tls-key", help="PEM file of its key")
    add("--token-file", help="0600 file with the secret of a cluster on another machine")
    return parser


def _resources(text: str) -> dict[str, float]:
    found = {}
    for part in text.replace(",", " ").split():
        name, equals, amount = part.partition("=")
        try:
            found[name] = float(amount)
        except ValueError:
            equals = ""
        if not equals or not name:
            raise ValueError(f"--resources={text!r} is not understood; give e.g. 'GPU=1 X=2'")
    return found


def _size(options: argparse.Namespace) -> tuple[int, int]:
    """How many workers, and threads of each."""
    cpus = cpu_count()
    if options.nworkers == "auto":
        size = choose_size(cpus, True, None, options.nthreads)
        return size.n_workers, size.threads_per_worker
    try:
        wanted = int(options.nworkers)
    except ValueError:
        wanted = 0
    n_workers = cpus + 1 + wanted if wanted < 0 else wanted
    if n_workers < 1:
        allowed = f"give a whole number of at least 1, 'auto', or -1 to -{cpus}"
        raise ValueError(f"--nworkers={options.nworkers} is out of range; {allowed}")
    return n_workers, max(1, cpus // n_workers) if options.nthreads is None else options.nthreads


def _members(options: argparse.Namespace) -> list[Member]:
    credentials = {
        "tls_ca_file": options.tls_ca_file,
        "tls_worker_cert": options.tls_cert,
        "tls_worker_key": options.tls_key,
        "token_file": options.token_file,
    }
    n_workers, nthreads = _size(options)
    given = [
        *("scheduler_file", "memory_limit", "local_directory", "death_timeout", "preload", "preload_argv", "host"),
        *("lifetime", "lifetime_stagger", "lifetime_restart", "interface", "contact_address", "protocol"),
    ]
    keywords = {name: getattr(options, name) for name in given}
    keywords["nthreads"] = nthreads
    keywords["resources"] = _resources(options.resources)
    keywords["security"] = Security(**credentials) if any(credentials.values()) else None
    if not options.no_nanny:
        keywords |= {name: getattr(options, name) for name in ("worker_port", "listen_address", "preload_nanny")}
    elif n_workers > 1 or options.listen_address or options.preload_nanny:
        raise ValueError("--no-nanny goes with one worker, and without --listen-address and --preload-nanny")
    else:
        keywords["port"] = options.worker_port
    if n_workers > 1 and (options.listen_address or options.contact_address):
        raise ValueError(f"--nworkers={options.nworkers} goes without --listen-address and --contact-address")
    names = [options.name] * n_workers
    if options.name is not None and n_workers > 1:
        names = [f"{options.name}-{number}" for number in range(n_workers)]
    kind: type[Member] = Worker if options.no_nanny else Nanny
    dashboards = [options.dashboard_address] + [None] * (n_workers - 1)
    return [
        kind(options.address, name=name, dashboard_address=dashboard, **keywords)
        for name, dashboard in zip(names, dashboards, strict=True)
    ]


async def _work(options: argparse.Namespace) -> int:
    stopped = asyncio.Event()
    with heeded({signal.SIGINT: stopped.set, signal.SIGTERM: stopped.set}):
        return await _live_until(stopped, _members(options))


async def _live_until(stopped: asyncio.Event, members: Sequence[Member]) -> int:
    told, working = asyncio.ensure_future(stopped.wait()), asyncio.ensure_future(_live(members))
    ends: list[asyncio.Future[Any]] = [told, working]
    await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
    told.cancel()
    working.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await working
    return 0


async def _live(members: Sequence[Member]) -> None:
    """Have all of them join, and wait until they have ended."""
    async with contextlib.AsyncExitStack() as stack:
        for member in members:
            await stack.enter_async_context(member)
            print(f"worker {member.name} has joined {member.scheduler_address}", flush=True)
        await asyncio.gather(*(member.finished() for member in members))
