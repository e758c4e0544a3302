"""What ``client.explain`` returns: why a future is not done, to be read by people and by programs."""

from __future__ import annotations

from nbcluster.markup import escape
from nbcluster.protocol import explanation as why
from nbcluster.protocol.explanation import Situation
from nbcluster.types import Address, Key


class Explanation:
    """Why a task is not done.

    Attributes:
        key: the task's.
        reason: in one or two words: ``"waiting"``, ``"no workers"``, ``"no such worker"``, ``"no such resource"``,
            ``"resource in use"``, ``"paused"``, ``"retiring"``, ``"queued"``, ``"assigned"``, ``"fetching"``,
            ``"running"``, ``"scattering"``, ``"unneeded"``, ``"finished"``, ``"erred"``, ``"cancelled"``,
            ``"unknown"``.
        text: the whole of it in sentences.
        waiting_for: keys of the results that it needs and that are not there; at most the first twenty.
        roots: explanations of those that everything waits for in the end; at most the first five.
        worker: the address of the worker that has to run it, or runs it.
        seconds: how long it has been so.
        ahead: how many tasks come first.
        stack: the call stack of the thread that runs it, the outermost call first.

    Example:
        >>> client.explain(client.submit(abs, -1, workers=["nobody"])).reason
        'no such worker'
    """

    def __init__(
        self,
        said: why.Explanation,
        stacks: dict[Key, list[str]] | None = None,
        roots: list[Explanation] | None = None,
    ) -> None:
        self.situation: Situation = said.situation
        self.text = why.sentence(said)
        self.waiting_for: list[Key] = said.waiting_for
        self.stack: list[str] = (stacks or {}).get(said.situation.key, [])
        self.roots: list[Explanation] = (
            [Explanation(why.Explanation(situation), stacks) for situation in said.roots] if roots is None else roots
        )

    @property
    def key(self) -> Key:
        """The task's key."""
        return self.situation.key

    @property
    def reason(self) -> str:
        """Why, in one or two words."""
        return self.situation.reason

    @property
    def worker(self) -> Address | None:
        """The address of the worker that has to run it."""
        return self.situation.worker or None

    @property
    def seconds(self) -> float | None:
        """How long it has been so; None: longer than anybody remembers."""
        return self.situation.seconds

    @property
    def ahead(self) -> int:
        """How many tasks come first, in the queue or on its worker."""
        return self.situation.ahead

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        text = self.text
        for one in [self, *self.roots]:
            if one.stack:
                text += f"\n{one.key!r} is at\n" + "\n".join(f"  {frame}" for frame in one.stack)
        return text

    def _repr_html_(self) -> str:
        stacks = "".join(
            f"<details><summary>{escape(one.key)} is at</summary><pre>{escape(chr(10).join(one.stack))}</pre></details>"
            for one in [self, *self.roots]
            if one.stack
        )
        return f'<div data-testid="nbcluster-explanation"><p>{escape(self.text)}</p>{stacks}</div>'
