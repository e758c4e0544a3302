"""``nbcluster worker ADDRESS``: extra workers for a running cluster, in processes that are restarted when they die."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack

from nbcluster.cluster.servers import Nanny
from nbcluster.comm.loop import new_event_loop
from nbcluster.comm.security import Security
from nbcluster.errors import NbclusterError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit code."""
    options = _parser().parse_args(arguments)
    loop = new_event_loop()
    try:
        return loop.run_until_complete(_work(options))
    except (NbclusterError, TypeError, ValueError) as error:
        print(f"nbcluster: {error}", file=sys.stderr)
        return 1
    finally:
        loop.close()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="nbcluster", description="A task cluster that lives in Jupyter.")
    commands = parser.add_subparsers(dest="command", required=True)
    worker = commands.add_parser("worker", help="attach workers to a cluster that runs")
    worker.add_argument("address", help="the scheduler's, as cluster.scheduler_address says")
    worker.add_argument("--nworkers", type=int, default=1, metavar="N", help="how many processes (1)")
    worker.add_argument("--nthreads", type=int, metavar="N", help="tasks that each runs at once (one per CPU)")
    worker.add_argument("--name", help="of the worker; with several, each has a number after it")
    worker.add_argument("--memory-limit", default="auto", help="of each: '1GiB', '25%%', '0' for none ('auto')")
    worker.add_argument("--resources", default="", help="what each offers, as 'GPU=1 X=2'")
    worker.add_argument("--local-directory", help="where each puts what it has no room for in memory")
    worker.add_argument("--death-timeout", help="seconds within which the scheduler must answer")
    worker.add_argument("--preload", action="append", help="a module or file to run first; may be repeated")
    worker.add_argument("--host", help="the address of this machine by which other workers reach it")
    worker.add_argument("--tls-ca-file", help="PEM file of the authority, for tls:// addresses")
    worker.add_argument("--tls-cert", help="PEM file of the worker's certificate")
    worker.add_argument("--tls-key", help="PEM file of its key")
    worker.add_argument("--token-file", help="0600 file with the secret of a cluster on another machine")
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


async def _work(options: argparse.Namespace) -> int:
    credentials = {
        "tls_ca_file": options.tls_ca_file,
        "tls_worker_cert": options.tls_cert,
        "tls_worker_key": options.tls_key,
        "token_file": options.token_file,
    }
    security = Security(**credentials) if any(credentials.values()) else None
    if options.nworkers < 1:
        raise ValueError(f"--nworkers={options.nworkers} is out of range; give a whole number of at least 1")
    names = [options.name] * options.nworkers
    if options.name is not None and options.nworkers > 1:
        names = [f"{options.name}-{number}" for number in range(options.nworkers)]
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    async with AsyncExitStack() as stack:
        nannies = [
            Nanny(
                options.address,
                nthreads=options.nthreads,
                name=name,
                memory_limit=options.memory_limit,
                resources=_resources(options.resources),
                local_directory=options.local_directory,
                death_timeout=options.death_timeout,
                preload=options.preload,
                host=options.host,
                security=security,
            )
            for name in names
        ]
        for nanny in nannies:
            await stack.enter_async_context(nanny)
            print(f"worker {nanny.name} has joined {options.address}", flush=True)
        ends = [asyncio.ensure_future(one) for one in (stopped.wait(), *(nanny.finished() for nanny in nannies))]
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        for end in ends:
            end.cancel()
    return 0
