"""An HTTP client that sends exactly what a test says: any Host, any path, over TCP or a Unix socket."""

from __future__ import annotations

import asyncio
import html
import json
import re
from dataclasses import dataclass
from pathlib import Path

from tornado.httputil import HTTPHeaders

Server = tuple[str, int] | Path


@dataclass(frozen=True)
class Reply:
    """What came back."""

    status: int
    headers: HTTPHeaders
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()


async def request(server: Server, path: str, method: str = "GET", **headers: str) -> Reply:
    """Ask once. Keywords are headers, with `_` for `-`; `Host` is right unless it is given."""
    if isinstance(server, Path):
        reader, writer = await asyncio.open_unix_connection(str(server))
        host = "localhost"
    else:
        reader, writer = await asyncio.open_connection(*server)
        host = f"localhost:{server[1]}"
    fields = {"Host": host, "Connection": "close", **{name.replace("_", "-"): v for name, v in headers.items()}}
    try:
        lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items()), "", ""]
        writer.write("\r\n".join(lines).encode("latin-1"))
        whole = await asyncio.wait_for(reader.read(), 30)
    finally:
        writer.close()
        await writer.wait_closed()
    head, _, body = whole.partition(b"\r\n\r\n")
    first, _, rest = head.decode("latin-1").partition("\r\n")
    return Reply(int(first.split()[1]), HTTPHeaders.parse(rest), body)


def session_token(page: str) -> str:
    """The token of the Bokeh session that a page of plots has opened."""
    found = re.search(r'data-session="([^"]*)"', page)
    assert found, page[:500]
    token: str = json.loads(html.unescape(found.group(1)))["token"]
    return token
