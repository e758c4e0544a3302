"""Where nbcluster decides otherwise than dask.distributed, one sentence each: what nbcluster does.

A contract test that the peer cannot pass names one of these (``@pytest.mark.differs("…")``) and runs on nbcluster only.
What is not listed here has to be the same.
"""

from __future__ import annotations

DIFFERENCES = {
    "adapt options": "adapt() replaces all options of an earlier adapt(); nothing accumulates.",
    "adaptive log": "The log of adapt() says for each decision what was wanted and why.",
    "as_completed timeout": "A timeout of as_completed says how many futures were not done, and which.",
    "active memory manager": (
        "Only copies that nobody has asked for are spare: replicate() and scatter(broadcast=True) need not be undone."
    ),
    "asynchronous calls": "What a call with asynchronous=True returns can be awaited on any event loop.",
    "bad input": (
        "A wrong argument is refused at once, by an error that names the argument, its value and what is allowed."
    ),
    "blocked handlers": "Each name in blocked_handlers closes every way in which a client can reach that handler.",
    "cancelled again": "A call that was cancelled can be submitted again at once: the new future is computed.",
    "cancelled futures": "The error of a cancelled future says who cancelled it and why, however it ended.",
    "cancelled in time": "A worker that has been told of a cancellation does not start the task any more.",
    "closed clients": "A closed client's futures still tell what is known; all else raises ClosedClientError.",
    "cluster name": "A cluster's name never replaces its class in its repr; an empty name shows as two quotes.",
    "contact address": "The contact_address of a scheduler is what its clients, its workers and its file are told.",
    "dashboard prefix": "The prefix in service_kwargs={'dashboard': {'prefix': '/foo'}} shows in its link too.",
    "deprecated keywords": "ip and diagnostics_port work, with a DeprecationWarning that names the replacement.",
    "encrypted processes": "security=True also encrypts what goes to and from worker processes on the same machine.",
    "explain": "client.explain(future) says why a future is not done; a timeout says so too.",
    "forwarding within a process": "forward_logging() leaves alone what was logged in the client's own process.",
    "executor": (
        "An executor's calls are impure unless it is asked otherwise, map() takes chunksize and buffersize, and "
        "shutdown() takes cancel_futures, all as in concurrent.futures."
    ),
    "failing preloads": (
        "Code of preload= that fails at the start keeps its worker or scheduler from starting, and the error says why."
    ),
    "failing plugins of nannies": "What the setup of a plugin raises is raised by the nanny's plugin_add().",
    "failing plugins": "What a plugin of the scheduler raises over an event is logged, and nobody else hears of it.",
    "first in, first out": (
        "Tasks that need no others run in the order in which they were submitted, whatever fifo_timeout says."
    ),
    "functions are loaded once": (
        "A worker unpickles a function once for all its tasks: what it keeps in its globals or its object stays there."
    ),
    "functions of uploaded modules": "Once a module was uploaded again, tasks call its new functions.",
    "futures of others": "A future of another client may be dropped as soon as it was given as an argument.",
    "futures are keyed by text": "A key is a non-empty string, and nothing else.",
    "given up": "A coroutine that client.sync() has waited for long enough is cancelled.",
    "host with threads": "processes=False works together with host= and interface=: the protocol becomes tcp.",
    "measured beside tasks": "benchmark_hardware() measures at once, whatever the workers' threads are busy with.",
    "memory fractions": (
        "memory_target_fraction and the like are keywords of a cluster; workers that are threads do not pause, for "
        "their memory is that of the process that they share."
    ),
    "memory_limit": (
        "memory_limit goes by type: a float is a fraction, an int is bytes, text is parsed, "
        "None and 0 are no limit, and anything else is refused."
    ),
    "installing plugins": (
        "Plugins that install software or copy directories are plugins of workers, which share one installation."
    ),
    "lost actors": "The calls of an actor that died with its worker say so, and its future errs.",
    "idle clusters": "A cluster that idle_timeout has closed says so, and close() then returns at once.",
    "joblib's dask": 'The backend "dask" of joblib runs on the current client here, if there is one.',
    "legacy keywords": "services and worker_services are refused, with what took their place.",
    "lifetimes": "A worker whose lifetime is over hands on what it holds; with lifetime_restart the next has its name.",
    "logs in order": "get_logs() is chronological.",
    "nannies": "A Nanny's worker is a process that never imports the user's main module; each name is there once.",
    "nested clusters": "A task may start a cluster whose tasks start clusters, at most ten deep.",
    "profiles end": "profile(stop=...) leaves out all that was sampled later.",
    "no dashboard": "dashboard_address=None opens no socket, and the link is empty.",
    "no workers": "With n_workers=0 each worker that is added later has one thread, not all CPUs.",
    "no nannies": (
        "What supervises workers runs no code of the user: run(nanny=True) is refused, and plugins of nannies run in "
        "each worker's process, before those of workers."
    ),
    "other exceptions": "What a task raises that is no Exception makes its future err, as a RemoteError.",
    "own arrays": "Tasks get copies of arrays in a graph, also in threads: what they write there stays theirs.",
    "other machines": "A cluster that other machines can reach has to be encrypted: without security= it is refused.",
    "output of tasks": "What a task prints reaches the terminal or cell that submitted it, and the logs.",
    "progress": "The bars of progress() are plain HTML or, in a terminal, a line on stderr that counts tasks.",
    "metadata of tasks": (
        "The metadata of get_task_metadata() is what the stream of tasks says of each task's latest run."
    ),
    "pickled futures": "A future that is unpickled belongs to the current client, without bind_client().",
    "random numbers": (
        "Functions of random and numpy.random draw from the state of the worker that calls them: "
        "tasks do not repeat each other's numbers."
    ),
    "restart threads": "restart() and restart_workers() start workers afresh that are threads, too.",
    "retire threads": "retire_workers() of a cluster's own workers lowers the number that it keeps up.",
    "retired, not closed": "A worker without a nanny stays, too, when it is retired with close_workers=False.",
    "retiring workers finish": "A worker that retires ends the tasks that it has begun before it goes.",
    "run during a death": "run() answers for a worker that dies of the function too, and says how it died.",
    "profile of the scheduler": "The scheduler is sampled only once somebody has asked for its profile.",
    "scale ends adapting": "scale() ends adapting; the two never fight.",
    "scaling keeps data": "scale() moves results and scattered data to the workers that stay before any worker goes.",
    "scatter without workers": "scatter() that times out because there is no worker says so.",
    "plugins of schedulers": "Plugins are pickled, and set up where worker or scheduler runs.",
    "shuffle methods": "Frames are shuffled, and arrays rechunked, by tasks; shuffle_method='p2p' is refused.",
    "sys.exit in a task": "sys.exit() in a task makes that future err; the worker lives.",
    "tasks run again here": (
        "recreate_task_locally() and recreate_error_locally() fetch all arguments, or have them computed again."
    ),
    "token file": "Besides TLS a cluster asks for its secret; Security(token_file=...) brings it to other machines.",
    "unpicklable argument": "An argument that cannot be pickled is named by the path to the culprit.",
    "the worker's client": (
        "The client that tasks use is never the default one of the user's process; outside tasks there is no worker."
    ),
    "views": (
        "What user code sees of scheduler and workers tells, and changes nothing; what it does not tell is named."
    ),
    "waiting in a task": "A task that waits for other tasks gives its thread to them, so a single thread is enough.",
    "waiting says for what": "A timeout of result() and wait() names the keys that were not done.",
    "a restart drops futures": (
        "A restart drops published datasets, queue items and variables that hold futures, for nobody could have them."
    ),
    "all or none": "publish_dataset() publishes all that it is given, or nothing if a name is taken.",
    "closed queues": (
        "A queue object that was closed says so; the queue is emptied when the last object for it is closed."
    ),
    "events go on": (
        "A handler of a topic that fails is logged and goes on to be called; a message is anything that can be pickled."
    ),
    "locks go with their client": (
        "Locks and leases are free at once when their client is gone, and a lock never expires otherwise."
    ),
    "locks go with their object": "A lock whose object is gone is free, for nobody could release it.",
    "names in reprs": "The repr of a lock, a queue and the like tells its name.",
    "queues lose nothing": (
        "What a queue, variable or dataset holds outlives its clients; what nobody received goes back."
    ),
    "queues take anything": "Queues and variables take anything that can be pickled, with futures anywhere in it.",
    "subscribed at once": "subscribe_topic() and unsubscribe_topic() are in force at once for what this client logs.",
    "workers of a cluster": "cluster.workers has views, which tell how workers are; what they do not tell is named.",
    "worker dashboards": "worker_dashboard_address is served by the cluster's one dashboard process.",
}
