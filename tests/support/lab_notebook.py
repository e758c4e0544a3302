"""Notebooks of a Jupyter server in another process, driven without a browser: REST, and the kernel's own sockets."""

from __future__ import annotations

import json
import time
import urllib.request
from types import TracebackType
from typing import Any

from jupyter_client.blocking.client import BlockingKernelClient

from tests.support.cell_requests import CellOutput, execute_request
from tests.support.lab import Lab


def call(lab: Lab, method: str, path: str, body: Any = None) -> Any:
    """One request to the server, below its base URL: JSON there and back."""
    data = _send(lab, path, method, None if body is None else json.dumps(body).encode())
    return json.loads(data) if data else None


def read(lab: Lab, path: str) -> bytes:
    """A page or a file of the server."""
    return _send(lab, path, "GET", None)


def _send(lab: Lab, path: str, method: str, data: bytes | None) -> bytes:
    headers = {"Authorization": f"token {lab.token}", "Content-Type": "application/json"}
    request = urllib.request.Request(lab.url + path, method=method, data=data, headers=headers)
    with urllib.request.urlopen(request, timeout=60) as response:
        content: bytes = response.read()
    return content


def clusters(lab: Lab) -> list[dict[str, Any]]:
    """The clusters of the server."""
    views: list[dict[str, Any]] = call(lab, "GET", "nbcluster/api/v1/clusters")
    return views


class LabNotebook:
    """A notebook with a running kernel. A context manager, which lets go of the kernel and no more."""

    def __init__(self, lab: Lab, path: str = "a.ipynb") -> None:
        self._lab = lab
        body = {"path": path, "name": path, "type": "notebook", "kernel": {"name": "python3"}}
        session = call(lab, "POST", "api/sessions", body)
        self.path = path
        self.session_id: str = session["id"]
        self.kernel_id: str = session["kernel"]["id"]
        self._client: BlockingKernelClient | None = None

    def __enter__(self) -> LabNotebook:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.disconnect()

    def run(self, code: str, cell: str = "cell-1", timeout: float = 60.0) -> str:
        """Run a cell; what it printed. Fails if it raised."""
        request = self.begin(code, cell)
        text, error = self.finish(request, timeout)
        assert not error, error
        return text

    def begin(self, code: str, cell: str = "cell-1") -> str:
        """Send a cell to the kernel, and do not wait."""
        client = self._connected()
        message = execute_request(client.session, code, cell)
        client.shell_channel.send(message)
        request: str = message["header"]["msg_id"]
        return request

    def finish(self, request: str, timeout: float = 60.0) -> tuple[str, str]:
        """Wait for the end of a cell; what it printed, and the exception if it raised."""
        client = self._connected()
        deadline = time.monotonic() + timeout
        output = CellOutput(request)
        while not output.add(client.get_iopub_msg(timeout=max(0.1, deadline - time.monotonic()))):
            pass
        return output.said

    def restart(self) -> None:
        """Restart the kernel."""
        self.disconnect()
        call(self._lab, "POST", f"api/kernels/{self.kernel_id}/restart", {})

    def shut_down(self) -> None:
        """Close the notebook and its kernel."""
        self.disconnect()
        call(self._lab, "DELETE", f"api/sessions/{self.session_id}")

    def disconnect(self) -> None:
        """Let go of the kernel."""
        if self._client is not None:
            self._client.stop_channels()
            self._client = None

    def _connected(self) -> BlockingKernelClient:
        if self._client is None:
            file = self._lab.runtime_dir / f"kernel-{self.kernel_id}.json"
            client = BlockingKernelClient(connection_file=str(file))
            client.load_connection_file()
            client.start_channels(hb=False)  # a busy machine is not a dead kernel
            client.wait_for_ready(timeout=60)
            self._client = client
        return self._client
