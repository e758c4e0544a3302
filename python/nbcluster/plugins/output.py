"""What workers print outside of tasks."""

from __future__ import annotations

from typing import Any

from nbcluster.plugins.base import WorkerPlugin


class ForwardOutput(WorkerPlugin):
    """Has all clients print what workers print outside of tasks: in ``client.run``, in plugins, in their own threads.

    What tasks print needs no plugin: it reaches whoever submitted them anyway. Nor do workers that are threads: what
    these print appears in their process.

    Example:
        >>> results = client.register_plugin(ForwardOutput())
    """

    name = "forward-output"

    def setup(self, worker: Any) -> None:
        """Begin."""
        worker.forward_output(True)

    def teardown(self, worker: Any) -> None:
        """End."""
        worker.forward_output(False)
