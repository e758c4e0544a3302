"""All that a cluster knows, in a file: for those who look into what went wrong."""

from __future__ import annotations

import gzip
import importlib
import io
import time
from collections.abc import Collection
from pathlib import Path
from typing import Any

import msgspec

from nbcluster.arguments import check_choice, check_optional_flag, check_path, check_several, check_text
from nbcluster.client.inspecting import InspectingClient
from nbcluster.protocol import inspection as i

_SUFFIX = {"msgpack": ".msgpack.gz", "yaml": ".yaml"}


class DumpingClient(InspectingClient):
    """Writes the state of a cluster into files."""

    def dump_cluster_state(
        self,
        filename: str = "dask-cluster-dump",
        write_from_scheduler: bool | None = None,
        exclude: Collection[str] = (),
        format: str = "msgpack",
        **storage_options: Any,
    ) -> Any:
        """Write all that the scheduler and the workers know of tasks, data and what happened to them into a file.

        Args:
            filename: the file, without its suffix: ``.msgpack.gz`` or ``.yaml`` is added; or a URL for fsspec.
            write_from_scheduler: only False and None: the file is always written here.
            exclude: names of fields to leave out, for example ``["story"]``.
            format: ``"msgpack"`` (compressed by gzip) or ``"yaml"``.
            storage_options: for fsspec.

        Raises:
            ValueError: there is no such format, or the file is to be written from the scheduler.
        """
        check_choice("format", format, *_SUFFIX)
        if check_optional_flag("write_from_scheduler", write_from_scheduler):
            raise ValueError("write_from_scheduler=True is not allowed; the file is always written by the client")
        left_out = frozenset(check_text("exclude", name) for name in check_several("exclude", exclude, "names"))
        yaml = importlib.import_module("yaml") if format == "yaml" else None
        path = check_path("filename", filename)
        if not path.endswith(_SUFFIX[format]):
            path += _SUFFIX[format]

        def write(state: dict[str, Any]) -> None:
            state = _without(state, left_out)
            if yaml is None:
                _write(path, gzip.compress(msgspec.msgpack.encode(state), mtime=0), storage_options)
            else:
                text = io.StringIO()
                yaml.safe_dump(state, text, sort_keys=False)
                _write(path, text.getvalue().encode(), storage_options)

        return self._sync(self._state, then=write)

    async def _state(self) -> dict[str, Any]:
        scheduler = await self._session.inspect(i.AskState())
        workers = await self._ask_workers(i.LookAtState())
        now = time.time()
        state = _plain(scheduler, now)
        state["tasks"] = {task["key"]: task for task in state["tasks"]}
        state["workers"] = {worker["address"]: worker for worker in state["workers"]}
        return {
            "scheduler": {"id": self._welcome.cluster_id, "address": self._welcome.address, **state},
            "workers": {address: _plain(sight, now) for address, sight in workers.by_worker.items()},
            "versions": await self._get_versions(False, []),
        }


def _plain(value: Any, now: float) -> Any:
    """Records as dicts; how long ago something was, as the moment at which it was."""
    if isinstance(value, msgspec.Struct):
        fields = {name: _plain(getattr(value, name), now) for name in value.__struct_fields__}
        if isinstance(value, i.StoryLine):
            fields["time"] = now - fields.pop("ago")
        return fields
    if isinstance(value, dict):
        return {key: _plain(item, now) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item, now) for item in value]
    return value


def _without(value: Any, names: frozenset[str]) -> Any:
    if isinstance(value, dict):
        return {key: _without(item, names) for key, item in value.items() if key not in names}
    if isinstance(value, list):
        return [_without(item, names) for item in value]
    return value


def _write(path: str, data: bytes, storage_options: dict[str, Any]) -> None:
    if "://" in path or storage_options:
        fsspec = importlib.import_module("fsspec")
        with fsspec.open(path, mode="wb", **storage_options) as file:
            file.write(data)
    else:
        Path(path).write_bytes(data)
