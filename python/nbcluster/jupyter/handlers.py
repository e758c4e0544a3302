"""The REST API over HTTP. Handlers parse, authorise and call; what they call knows no HTTP.

Every method is ``@guarded``: logged in, authorised, and with errors as JSON. The last route takes what no
other does, so that nothing below our prefix is answered by anybody else.
"""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any

import msgspec
from jupyter_server.auth.decorator import authorized
from jupyter_server.base.handlers import APIHandler
from tornado import web

from nbcluster.commands import AnyCommand, GetLogs, Logs, Restart, StopAdapting
from nbcluster.errors import ClusterClosedError, ClusterError
from nbcluster.jupyter.capacity import measure
from nbcluster.jupyter.cluster import ServerCluster, StillStartingError
from nbcluster.jupyter.manager import ClusterManager
from nbcluster.jupyter.models import (
    CLUSTER_ID,
    AdaptBody,
    BodyT,
    ChangeCluster,
    ErrorBody,
    LogsAnswer,
    NewCluster,
    ScaleBody,
    decode_body,
    encode,
)
from nbcluster.jupyter.openapi import PREFIX

AUTH_RESOURCE = "nbcluster"

Method = Callable[..., Awaitable[None]]
Guarded = Callable[..., Awaitable[None] | None]
Route = tuple[str, type[web.RequestHandler], dict[str, Any]]


class Refusal(web.HTTPError):
    """An answer that is no success: a status, a word for programs, a sentence for people."""

    def __init__(self, status: HTTPStatus, word: str, message: str) -> None:
        super().__init__(status)
        self.word = word
        self.message = message


def guarded(method: Method) -> Guarded:
    """Let only those in who are logged in and authorised, and turn what goes wrong below into refusals."""

    @functools.wraps(method)
    async def translating(self: Handler, *args: str) -> None:
        try:
            await method(self, *args)
        except StillStartingError as error:
            raise Refusal(HTTPStatus.SERVICE_UNAVAILABLE, "starting", str(error)) from error
        except ClusterClosedError as error:
            raise Refusal(HTTPStatus.CONFLICT, "closed", str(error)) from error
        except ClusterError as error:
            raise Refusal(HTTPStatus.CONFLICT, "failed", str(error)) from error
        except msgspec.ValidationError as error:
            raise Refusal(HTTPStatus.UNPROCESSABLE_ENTITY, "invalid", str(error)) from error
        except msgspec.DecodeError as error:
            raise Refusal(HTTPStatus.BAD_REQUEST, "no_json", f"the body is not JSON: {error}") from error
        except (ValueError, TypeError) as error:
            raise Refusal(HTTPStatus.UNPROCESSABLE_ENTITY, "invalid", str(error)) from error

    return web.authenticated(authorized(translating))


class Handler(APIHandler):
    """What all of them share."""

    auth_resource = AUTH_RESOURCE

    def initialize(self, manager: ClusterManager) -> None:
        """Called by Tornado with what the route says."""
        self.manager = manager

    async def prepare(self) -> None:  # type: ignore[override]  # as in the base class of our base class
        """Count only what people do as activity: an open page must not keep the server from being culled."""
        self._track_activity = self.request.method not in ("GET", "HEAD")
        await super().prepare()

    def cluster(self, cluster_id: str) -> ServerCluster:
        """The cluster of an id that a route has matched."""
        try:
            return self.manager.get(cluster_id)
        except KeyError:
            raise Refusal(HTTPStatus.NOT_FOUND, "not_found", f"there is no cluster {cluster_id}") from None

    def body(self, kind: type[BodyT]) -> BodyT:
        """The request's body."""
        return decode_body(self.request.body, kind)

    def answer(self, answer: Any) -> None:
        """Finish with an object."""
        self.finish(encode(answer))

    async def carry_out(self, cluster: ServerCluster, command: AnyCommand) -> None:
        """Pass a command on, and answer with how the cluster looks after it."""
        await cluster.call(command)
        self.answer(cluster.view)

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Called by Tornado for every answer that is no success."""
        status = HTTPStatus(status_code)
        word, message = status.phrase.lower().replace(" ", "_"), status.description or status.phrase
        error = kwargs.get("exc_info", (None, None, None))[1]
        if isinstance(error, Refusal):
            word, message = error.word, error.message
        elif isinstance(error, web.HTTPError) and error.log_message:
            message = error.get_message() or message
        self.answer(ErrorBody(message=message, reason=word))


class ClustersHandler(Handler):
    """All clusters."""

    @guarded
    async def get(self) -> None:
        """List them."""
        self.answer(self.manager.list_clusters())

    @guarded
    async def post(self) -> None:
        """Make another one; it starts while we answer."""
        cluster = await self.manager.new(self.body(NewCluster))
        self.set_status(HTTPStatus.CREATED)
        self.set_header("Location", f"{self.request.path.rstrip('/')}/{cluster.id}")
        self.answer(cluster.view)


class ClusterHandler(Handler):
    """One cluster."""

    @guarded
    async def get(self, cluster_id: str) -> None:
        """Look at it."""
        self.answer(self.cluster(cluster_id).view)

    @guarded
    async def patch(self, cluster_id: str) -> None:
        """Rename it, or keep it."""
        self.cluster(cluster_id)
        wanted = self.body(ChangeCluster)
        name = None if wanted.name is msgspec.UNSET else wanted.name
        keep = None if wanted.keep is msgspec.UNSET else wanted.keep
        self.answer(self.manager.change(cluster_id, name=name, keep=keep).view)

    @guarded
    async def delete(self, cluster_id: str) -> None:
        """Shut it down."""
        self.cluster(cluster_id)
        await self.manager.remove(cluster_id)
        self.set_status(HTTPStatus.NO_CONTENT)
        self.finish()


class ScaleHandler(Handler):
    """How many workers one cluster has."""

    @guarded
    async def post(self, cluster_id: str) -> None:
        """Choose."""
        await self.carry_out(self.cluster(cluster_id), self.body(ScaleBody).command())


class AdaptHandler(Handler):
    """Whether the number of workers follows the work."""

    @guarded
    async def post(self, cluster_id: str) -> None:
        """Let it."""
        await self.carry_out(self.cluster(cluster_id), self.body(AdaptBody).command())

    @guarded
    async def delete(self, cluster_id: str) -> None:
        """Stop that."""
        await self.carry_out(self.cluster(cluster_id), StopAdapting())


class RestartHandler(Handler):
    """Starting afresh."""

    @guarded
    async def post(self, cluster_id: str) -> None:
        """Do so."""
        await self.carry_out(self.cluster(cluster_id), Restart())


class LogsHandler(Handler):
    """What a cluster and its workers wrote."""

    @guarded
    async def get(self, cluster_id: str) -> None:
        """Read it."""
        cluster = self.cluster(cluster_id)
        after = self._number("after", 0)
        worker = self.get_query_argument("worker", None)
        command = GetLogs(
            after=after,
            limit=self._number("limit", GetLogs().limit),
            worker=int(worker) if worker is not None and worker.isdecimal() else worker,
            level=self.get_query_argument("level", None),
        )
        logs = await cluster.logs(command)
        lines = logs.lines if isinstance(logs, Logs) else []
        self.answer(LogsAnswer(lines=lines, last=lines[-1].number if lines else after))

    def _number(self, name: str, default: int) -> int:
        text = self.get_query_argument(name, None)
        if text is None:
            return default
        if not text.isdecimal():
            raise ValueError(f"{name}={text!r} is not a whole number")
        return int(text)


class CapacityHandler(Handler):
    """What this machine and its administrator allow."""

    @guarded
    async def get(self) -> None:
        """Say it."""
        self.answer(measure(self.manager.max_workers, self.manager.max_memory))


class NothingHandler(Handler):
    """Whatever else is asked for below our prefix."""

    async def _nothing(self, path: str) -> None:
        raise Refusal(HTTPStatus.NOT_FOUND, "not_found", "there is nothing here; openapi.json has what there is")

    get = guarded(_nothing)
    head = guarded(_nothing)
    post = guarded(_nothing)
    put = guarded(_nothing)
    patch = guarded(_nothing)
    delete = guarded(_nothing)


def routes(manager: ClusterManager) -> list[Route]:
    """The API's routes, below the server's base_url."""
    one = f"{PREFIX}/clusters/({CLUSTER_ID})"
    table: list[tuple[str, type[Handler]]] = [
        (f"{PREFIX}/clusters", ClustersHandler),
        (one, ClusterHandler),
        (f"{one}/scale", ScaleHandler),
        (f"{one}/adapt", AdaptHandler),
        (f"{one}/restart", RestartHandler),
        (f"{one}/logs", LogsHandler),
        (f"{PREFIX}/capacity", CapacityHandler),
        (f"{PREFIX}(/.*)?", NothingHandler),
    ]
    return [(pattern, handler, {"manager": manager}) for pattern, handler in table]
