"""Cells as a front end runs them: the request to the kernel, with the cell's id, and what comes back."""

from __future__ import annotations

from typing import Any


def execute_request(session: Any, code: str, cell: str | None) -> Any:
    """The message that has a kernel run code; ``session`` is that of a kernel's client."""
    content = {
        "code": code,
        "silent": False,
        "store_history": True,
        "user_expressions": {},
        "allow_stdin": False,
        "stop_on_error": True,
    }
    message = session.msg("execute_request", content)
    message["metadata"] = {"cellId": cell} if cell else {}
    return message


class CellOutput:
    """What a cell printed, and the exception if it raised.

    Args:
        request: the id of the message that had it run.
    """

    def __init__(self, request: str) -> None:
        self.printed = ""
        self.error = ""
        self._request = request

    def add(self, message: Any) -> bool:
        """Take in a message of the kernel's. True if it says that the cell is through."""
        if message["parent_header"].get("msg_id") != self._request:
            return False
        content = message["content"]
        if message["msg_type"] == "stream":
            self.printed += content["text"]
        elif message["msg_type"] == "error":
            self.error = f"{content['ename']}: {content['evalue']}"
        return bool(message["msg_type"] == "status" and content["execution_state"] == "idle")

    @property
    def said(self) -> tuple[str, str]:
        """Both, for whoever waited."""
        return self.printed.strip(), self.error
