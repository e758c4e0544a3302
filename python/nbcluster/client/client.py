"""The client: submit work to a cluster, and get results back."""

from __future__ import annotations

from nbcluster.client.benchmarking import BenchmarkingClient
from nbcluster.client.computing import ComputingClient
from nbcluster.client.dumping import DumpingClient
from nbcluster.client.future import Future
from nbcluster.client.joblib_default import register_when_imported
from nbcluster.client.plugins import PluginClient
from nbcluster.client.profiling import ProfilingClient
from nbcluster.client.publishing import PublishingClient
from nbcluster.client.recreating import RecreatingClient
from nbcluster.client.submitting import SubmittingClient
from nbcluster.client.topics import TopicsClient
from nbcluster.protocol.serialize import rebuild_when_loaded, set_future_factory
from nbcluster.types import Key


class Client(
    SubmittingClient,
    ComputingClient,
    BenchmarkingClient,
    DumpingClient,
    ProfilingClient,
    PluginClient,
    RecreatingClient,
    PublishingClient,
    TopicsClient,
):
    """Connects to a cluster, submits functions to it and gathers their results.

    Without an address it starts a cluster on this machine (in a notebook: attaches to the one that the
    Jupyter server keeps for it), and passes all other keywords on to ``LocalCluster``. It becomes the default
    client.

    Args:
        address: a scheduler's address, e.g. ``"tcp://127.0.0.1:8786"``, or a cluster object.
        timeout: seconds to wait for the connection, and for ``scheduler_file``.
        scheduler_file: a file that tells where the scheduler is: see ``write_scheduler_file``.
        security: for a ``tls://`` address, a ``Security`` object or a dictionary of its arguments; by default that of
            the cluster object. True makes temporary credentials for a new cluster.
        set_as_default: make this the client that is used where none is named.
        asynchronous: use it with ``await``, on the running event loop.
        name: shows up in logs.
        extensions: what to make for this client, by name: each is called with the client; see ``client.extensions``.
        cancel_on_interrupt: cancel what a cell has submitted and is pending when the cell is interrupted while it
            waits. By default in notebooks only; in a script, True means all that is pending.
        kwargs: for ``LocalCluster``; not allowed together with an address.

    ``loop``, ``heartbeat_interval``, ``serializers``, ``deserializers``, ``direct_to_workers`` and ``connection_limit``
    are checked and change nothing: there is one loop per process, links need no heartbeat, data is pickled, and large
    results always come straight from the workers.

    Raises:
        ValueError: keywords together with an address.
        TypeError: ``address`` is neither an address nor a cluster.
        CommError: nobody answers there; says what to check.

    Example:
        >>> client = Client(n_workers=2, threads_per_worker=1)
        >>> client.submit(pow, 2, 10).result()
        1024
        >>> client.close()
    """


def _rebuild_future(key: Key) -> Future:
    return Future(key)


set_future_factory(_rebuild_future)
rebuild_when_loaded(Future)
register_when_imported()
