"""What the peer has and nbcluster does not, with a reason each.

``"Client.submit(key)"`` is a keyword, ``"Client.submit"`` a member, ``"rpc"`` a name. A name stands for its members and
keywords as well.
"""

from __future__ import annotations

NOT_HERE: dict[str, str] = {
    "Client(connection_limit)": "It is checked and changes nothing: there is one link per worker.",
    "Client(deserializers)": "It is checked and changes nothing: data is pickled.",
    "Client(direct_to_workers)": "It is checked and changes nothing: large results come straight from workers.",
    "Client(heartbeat_interval)": "It is checked and changes nothing: links end when the other side is gone.",
    "Client(loop)": "It is accepted and changes nothing: there is one loop per process.",
    "Client(serializers)": "It is checked and changes nothing: data is pickled.",
    "Client.start": "A client has started once it is made.",
    "Client.sync": "The peer's own way to run a coroutine on its event loop.",
    "Future(_id)": "Inside: the peer's own way to make futures.",
    "Future(state)": "Inside: the peer's own way to make futures.",
    "Future.substitute": "Inside: how the peer puts futures into graphs.",
    "LocalCluster.called_from_running_loop": "Inside: how the peer finds out how it is used.",
    "LocalCluster.start_worker": "It only raises an error in the peer.",
    "LocalCluster.sync": "The peer's own way to run a coroutine on its event loop.",
    "CompatibleExecutor": "It only raises an error in the peer: Client.get_executor() took its place.",
    "SSHCluster": "More than one machine is the business of an existing engine.",
    "SpecCluster": "Clusters are made by LocalCluster and SubprocessCluster; other kinds run on an existing engine.",
    "connect": "The peer's own wire protocol.",
    "rpc": "The peer's own wire protocol.",
    "sync": "The peer's own way to run a coroutine on its event loop.",
}
