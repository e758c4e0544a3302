"""A notebook with a real kernel on a Jupyter server, for tests that run cells."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

from tests.support.cell_requests import CellOutput, execute_request


class Notebook:
    """Runs cells as a front end does: with the id of the cell in the request."""

    def __init__(self, fetch: Callable[..., Any], server: Any, session: dict[str, Any]) -> None:
        self._fetch = fetch
        self._manager = server.kernel_manager
        self._client: Any = None
        self.path: str = session["path"]
        self.session_id: str = session["id"]
        self.kernel_id: str = session["kernel"]["id"]

    @classmethod
    async def open(cls, fetch: Callable[..., Any], server: Any, path: str = "a.ipynb") -> Notebook:
        """Open a notebook: the server starts a kernel for it."""
        body = {"path": path, "name": path, "type": "notebook", "kernel": {"name": "python3"}}
        response = await fetch("api", "sessions", method="POST", body=json.dumps(body))
        return cls(fetch, server, json.loads(response.body))

    async def run(self, code: str, cell: str | None = "cell-1", timeout: float = 60.0) -> str:
        """Run a cell; what it printed. Fails if it raised."""
        text, error = await self.attempt(code, cell, timeout)
        assert not error, error
        return text

    async def attempt(self, code: str, cell: str | None = "cell-1", timeout: float = 60.0) -> tuple[str, str]:
        """Run a cell; what it printed, and the exception if it raised."""
        client = await self._connected()
        message = execute_request(client.session, code, cell)
        client.shell_channel.send(message)
        return await asyncio.wait_for(self._collect(client, message["header"]["msg_id"]), timeout)

    async def _collect(self, client: Any, request: str) -> tuple[str, str]:
        output = CellOutput(request)
        while not output.add(await client.get_iopub_msg(timeout=None)):
            pass
        return output.said

    async def restart(self) -> None:
        """Restart the kernel."""
        self.disconnect()
        await self._fetch("api", "kernels", self.kernel_id, "restart", method="POST", body="{}")

    async def interrupt(self) -> None:
        """Interrupt the kernel."""
        await self._fetch("api", "kernels", self.kernel_id, "interrupt", method="POST", body="{}")

    async def shut_down(self) -> None:
        """Close the notebook and its kernel."""
        self.disconnect()
        await self._fetch("api", "sessions", self.session_id, method="DELETE")

    async def rename(self, path: str) -> None:
        """Give the notebook another name, as the file browser does."""
        body = json.dumps({"path": path, "name": path})
        await self._fetch("api", "sessions", self.session_id, method="PATCH", body=body)
        self.path = path

    def disconnect(self) -> None:
        """Let go of the kernel; it goes on."""
        if self._client is not None:
            self._client.stop_channels()
            self._client = None

    async def _connected(self) -> Any:
        if self._client is None:
            self._client = self._manager.get_kernel(self.kernel_id).client()
            self._client.start_channels()
            await self._client.wait_for_ready(timeout=60)
        return self._client
