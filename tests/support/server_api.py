"""The server's REST API as tests ask it: what really is, whatever a page shows."""

from __future__ import annotations

import json
import urllib.request
from typing import Any

from tests.support.lab import Lab


class ServerApi:
    """Asks with the server's token, not through the browser."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab

    def get(self, path: str) -> Any:
        """GET below the API's root."""
        request = urllib.request.Request(
            f"{self._lab.url}nbcluster/api/v1/{path}", headers={"Authorization": f"token {self._lab.token}"}
        )
        with urllib.request.urlopen(request, timeout=20) as answer:
            return json.load(answer)

    def delete(self, path: str) -> None:
        """DELETE below the API's root."""
        request = urllib.request.Request(
            f"{self._lab.url}nbcluster/api/v1/{path}",
            method="DELETE",
            headers={"Authorization": f"token {self._lab.token}"},
        )
        urllib.request.urlopen(request, timeout=20).close()

    def clusters(self, notebook: str | None = None) -> list[dict[str, Any]]:
        """All clusters, or those of one notebook."""
        views: list[dict[str, Any]] = self.get("clusters")
        return [view for view in views if notebook is None or (view["owner"] or {}).get("path") == notebook]

    def cluster(self, notebook: str) -> dict[str, Any]:
        """The one cluster of a notebook."""
        (view,) = self.clusters(notebook)
        return view
