"""Published datasets, and metadata: what is kept on the cluster by name, whoever goes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping, MutableMapping
from typing import Any

from nbcluster.arguments import NO_DEFAULT, check_flag
from nbcluster.client.coordinating import CoordinatingClient, nothing_of
from nbcluster.client.coordination.link import Request
from nbcluster.protocol.coordination import (
    GetDatasets,
    GetMetadata,
    HandedOver,
    ListDatasets,
    MetadataFound,
    Publish,
    Replied,
    SetMetadata,
    Shared,
    Unpublish,
)
from nbcluster.protocol.metadata import Name, decode, encode, leaves_of, path_of, tree_of
from nbcluster.protocol.payload import Payload


class PublishingClient(CoordinatingClient):
    """Publishes datasets and metadata."""

    # --- datasets ---

    def publish_dataset(self, *args: Any, name: Name | None = None, override: bool = False, **kwargs: Any) -> Any:
        """Keep datasets on the cluster under names, for other clients and for later.

        A dataset is a future, a collection of dask's (persist it first), or anything that can be pickled, with futures
        in it or not. Results that it is made of stay on the cluster until it is unpublished, also when this client is
        gone: after a restart of the kernel, ``client.get_dataset(name)`` has it again.

        Args:
            args: what to publish as ``name``; or, without a name, one dict of datasets by name.
            name: a string, a number, or a tuple of such.
            override: replace what has been published under that name.
            kwargs: datasets by name.

        Raises:
            KeyError: there is a dataset of that name; nothing was published.
            ValueError: datasets without a name or a name without dataset; a future of another client.
            SerializationError: something cannot be pickled; ``path`` says what.

        Example:
            >>> client.publish_dataset(squares=client.map(lambda x: x * x, range(3)))
            >>> client.gather(client.get_dataset("squares"))
            [0, 1, 4]
            >>> client.unpublish_dataset("squares")
        """
        check_flag("override", override)
        named: dict[Name, Any] = dict(kwargs)
        if name is not None:
            encode(name)
            if not args:
                raise ValueError(f"name={name!r} without a dataset; call it like publish_dataset(df, name='ds')")
            named[name] = args[0] if len(args) == 1 else args
        elif args:
            if len(args) != 1 or not isinstance(args[0], Mapping):
                raise ValueError("a dataset needs a name: give name=, or a dict of datasets by name, or keywords")
            named.update(args[0])
        held = []
        datasets: dict[str, Shared] = {}
        for one, value in named.items():
            shared, futures = self._share(value, f"dataset {one!r}")
            datasets[encode(one)] = shared
            held.append(futures)

        def then(answer: Replied, request: Request) -> None:
            held.clear()  # until now the futures were held: from now on the scheduler does
            if isinstance(answer.value, list) and answer.value:
                taken = ", ".join(map(repr, map(decode, answer.value)))
                raise KeyError(f"Dataset {taken} already exists; override=True replaces it")

        return self._request(lambda number: Publish(number, datasets, override), then)

    def unpublish_dataset(self, name: Name | list[Name]) -> Any:
        """Let go of a dataset, or of several; of those that there are.

        Args:
            name: its name, or a list of names.
        """
        names = [encode(one) for one in (name if isinstance(name, list) else [name])]
        return self._request(lambda number: Unpublish(number, names), nothing_of)

    def list_datasets(self) -> Any:
        """The names of all published datasets, in order."""

        def then(answer: Replied, request: Request) -> tuple[Name, ...]:
            names = answer.value if isinstance(answer.value, list) else []
            return tuple(sorted(map(decode, names), key=str))

        return self._request(ListDatasets, then)

    def get_dataset(self, name: Name | list[Name], default: Any = NO_DEFAULT) -> Any:
        """A published dataset; futures in it are this client's.

        Args:
            name: its name, or a list of names.
            default: what to return for one that is not there.

        Returns:
            The dataset, or for a list of names a list of datasets.

        Raises:
            KeyError: there is none of that name, and no default.
        """
        names = list(name) if isinstance(name, list) else [name]
        encoded = [encode(one) for one in names]

        def then(answer: HandedOver, request: Request) -> Any:
            missing = [one for one, payload in zip(names, answer.items, strict=True) if payload is None]
            if missing and default is NO_DEFAULT:
                raise KeyError(f"Dataset {missing[0]!r} not found")
            values = self._receive(answer, request)
            found = [default if p is None else v for p, v in zip(answer.items, values, strict=True)]
            return found if isinstance(name, list) else found[0]

        return self._request(lambda number: GetDatasets(number, encoded), then)

    @property
    def datasets(self) -> Datasets:
        """Published datasets, as a dict.

        Example:
            >>> client.datasets["answer"] = 42
            >>> client.datasets["answer"]
            42
            >>> del client.datasets["answer"]
        """
        return Datasets(self)

    # --- metadata ---

    def set_metadata(self, key: Name | list[Name] | tuple[Name, ...], value: Any) -> Any:
        """Keep a small value on the cluster.

        Args:
            key: its name; or a list of names, which lead through nested dicts.
            value: anything that can be pickled. Dicts become branches: their values can be had one by one.

        Example:
            >>> client.set_metadata(["run", "seed"], 7)
            >>> client.get_metadata("run")
            {'seed': 7}
        """
        path = path_of(key, "key")
        held: list[Any] = []

        def pickled(item: Any) -> Payload:
            shared, futures = self._share(item, "value")
            held.extend(futures)
            return shared.payload

        leaves = list(leaves_of(value, pickled))
        if held:
            raise TypeError(f"value={value!r} holds a future, which metadata does not keep; publish_dataset() does")
        return self._request(lambda number: SetMetadata(number, path, leaves), nothing_of)

    def get_metadata(self, keys: Name | list[Name] | tuple[Name, ...], default: Any = NO_DEFAULT) -> Any:
        """A value that was kept with ``set_metadata``.

        Args:
            keys: its name; or a list of names, which lead through nested dicts.
            default: what to return if it is not there.

        Raises:
            KeyError: it is not there, and there is no default.
        """
        path = path_of(keys, "keys")

        def then(answer: MetadataFound, request: Request) -> Any:
            if answer.leaves is None:
                if default is NO_DEFAULT:
                    raise KeyError(keys)
                return default
            return tree_of(answer.leaves, self._open)

        return self._request(lambda number: GetMetadata(number, path), then)


class Datasets(MutableMapping[Name, Any]):
    """A client's published datasets, as a mapping.

    With an asynchronous client, what ``[name]`` gives has to be awaited, and names come with ``async for``.
    """

    __slots__ = ("_client",)

    def __init__(self, client: PublishingClient) -> None:
        self._client = client

    def _refuse(self, what: str, instead: str) -> None:
        if self._client.asynchronous:
            raise TypeError(f"{what} does not work with an asynchronous client; use {instead}")

    def __getitem__(self, name: Name) -> Any:
        return self._client.get_dataset(name)

    def __setitem__(self, name: Name, value: Any) -> None:
        self._refuse("client.datasets[name] = value", "await client.publish_dataset(value, name=name)")
        self._client.publish_dataset(value, name=name)

    def __delitem__(self, name: Name) -> None:
        self._refuse("del client.datasets[name]", "await client.unpublish_dataset(name)")
        self._client.unpublish_dataset(name)

    def __contains__(self, name: object) -> bool:
        self._refuse("name in client.datasets", "await client.list_datasets()")
        return name in self._client.list_datasets()

    def __iter__(self) -> Iterator[Name]:
        self._refuse("'for'", "'async for'")
        return iter(self._client.list_datasets())

    def __aiter__(self) -> AsyncIterator[Name]:
        if not self._client.asynchronous:
            raise TypeError("'async for' is for asynchronous clients; use 'for'")
        return self._names()

    async def _names(self) -> AsyncIterator[Name]:
        for name in await self._client.list_datasets():
            yield name

    def __len__(self) -> int:
        self._refuse("len(client.datasets)", "len(await client.list_datasets())")
        return len(self._client.list_datasets())

    def __repr__(self) -> str:
        if self._client.asynchronous:
            return "<Datasets of an asynchronous client>"
        return f"<Datasets: {', '.join(map(repr, self._client.list_datasets()))}>"
