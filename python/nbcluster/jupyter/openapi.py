"""The REST API as an OpenAPI 3.1 document, made from the very types that the handlers decode and answer.

``python -m nbcluster.jupyter.openapi`` writes it to ``openapi.json`` beside this file; tests hold the file
against this module, and both against the live server.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec

from nbcluster.jupyter.events import EVENT_SCHEMA
from nbcluster.jupyter.models import (
    CLUSTER_ID,
    AdaptBody,
    Capacity,
    ChangeCluster,
    ErrorBody,
    LogsAnswer,
    NewCluster,
    ScaleBody,
)
from nbcluster.snapshot import SCHEMA_VERSION, ClusterView

PREFIX = "/nbcluster/api/v1"
FILE = Path(__file__).with_name("openapi.json")
_REF = "#/components/schemas/{name}"

_ERRORS = {
    "400": "The body is not JSON.",
    "403": "Not logged in, not authorised, or the XSRF token is missing.",
    "404": "There is no such cluster.",
    "409": "The cluster is closing, closed or failed.",
    "422": "A field is unknown, of the wrong type or out of range.",
    "503": "The cluster is still starting; try again when it is running.",
}


def document() -> dict[str, Any]:
    """The whole document."""
    kinds = (ClusterView, NewCluster, ChangeCluster, ScaleBody, AdaptBody, LogsAnswer, Capacity, ErrorBody)
    _, schemas = msgspec.json.schema_components(kinds, ref_template=_REF)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "nbcluster",
            "version": str(SCHEMA_VERSION),
            "description": "The clusters of one Jupyter server. All paths are below the server's base_url. "
            "Changes arrive as Jupyter events of the schema under `x-jupyter-events`.",
        },
        "paths": _paths(),
        "components": {"schemas": dict(sorted(schemas.items()))},
        "x-jupyter-events": [EVENT_SCHEMA],
    }


def _paths() -> dict[str, Any]:
    view = _answer("The cluster, after the change.", _ref("ClusterView"))
    one = [_parameter("id", "path", {"type": "string", "pattern": f"^{CLUSTER_ID}$"}, required=True)]
    command_errors = ("403", "404", "409", "503")
    change_errors = ("400", "403", "404", "409", "422", "503")
    return {
        f"{PREFIX}/clusters": {
            "get": _operation(
                "List all clusters, oldest first",
                {"200": _answer("The clusters.", {"type": "array", "items": _ref("ClusterView")})},
                ("403",),
            ),
            "post": _operation(
                "Start a cluster; answers at once, with status `starting`",
                {
                    "201": {
                        **_answer("The cluster.", _ref("ClusterView")),
                        "headers": {"Location": {"description": "Its address here.", "schema": {"type": "string"}}},
                    }
                },
                ("400", "403", "422"),
                body="NewCluster",
            ),
        },
        f"{PREFIX}/clusters/{{id}}": {
            "parameters": one,
            "get": _operation(
                "Look at one cluster", {"200": _answer("The cluster.", _ref("ClusterView"))}, ("403", "404")
            ),
            "patch": _operation(
                "Rename a cluster, or keep it when its owner is gone",
                {"200": view},
                ("400", "403", "404", "422"),
                body="ChangeCluster",
            ),
            "delete": _operation(
                "Shut a cluster down; answers when nothing of it is left",
                {"204": {"description": "It is gone."}},
                ("403", "404"),
            ),
        },
        f"{PREFIX}/clusters/{{id}}/scale": {
            "parameters": one,
            "post": _operation("Have n workers, and stop adapting", {"200": view}, change_errors, body="ScaleBody"),
        },
        f"{PREFIX}/clusters/{{id}}/adapt": {
            "parameters": one,
            "post": _operation(
                "Let the number of workers follow the work", {"200": view}, change_errors, body="AdaptBody"
            ),
            "delete": _operation("Stop adapting; the workers there are stay", {"200": view}, command_errors),
        },
        f"{PREFIX}/clusters/{{id}}/restart": {
            "parameters": one,
            "post": _operation("Forget all tasks and start all workers afresh", {"200": view}, command_errors),
        },
        f"{PREFIX}/clusters/{{id}}/logs": {
            "parameters": one,
            "get": {
                **_operation(
                    "Read the log",
                    {"200": _answer("The lines, oldest first.", _ref("LogsAnswer"))},
                    ("403", "404", "409", "422"),
                ),
                "parameters": [
                    _parameter("worker", "query", {"type": "string"}, text="Only this worker's lines."),
                    _parameter(
                        "after",
                        "query",
                        {"type": "integer", "minimum": 0},
                        text="Only lines after this number.",
                    ),
                    _parameter("level", "query", {"type": "string"}, text="This level and worse."),
                    _parameter(
                        "limit",
                        "query",
                        {"type": "integer", "minimum": 1},
                        text="At most so many.",
                    ),
                ],
            },
        },
        f"{PREFIX}/capacity": {
            "get": _operation(
                "What this machine and its administrator allow, and why",
                {"200": _answer("The limits.", _ref("Capacity"))},
                ("403",),
            ),
        },
    }


def _operation(
    summary: str, answers: dict[str, Any], errors: tuple[str, ...], body: str | None = None
) -> dict[str, Any]:
    operation: dict[str, Any] = {"summary": summary}
    if body:
        operation["requestBody"] = {"content": {"application/json": {"schema": _ref(body)}}}
    operation["responses"] = answers | {code: _answer(_ERRORS[code], _ref("ErrorBody")) for code in errors}
    return operation


def _answer(description: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"schema": schema}}}


def _parameter(name: str, place: str, schema: dict[str, Any], required: bool = False, text: str = "") -> dict[str, Any]:
    parameter = {"name": name, "in": place, "required": required, "schema": schema}
    return {**parameter, "description": text} if text else parameter


def _ref(name: str) -> dict[str, Any]:
    return {"$ref": _REF.format(name=name)}


def text() -> str:
    """The document as it is kept in the file."""
    return json.dumps(document(), indent=2) + "\n"


if __name__ == "__main__":
    FILE.write_text(text(), encoding="utf-8")
