"""Links with a delay. Within a link, what was sent first arrives first; between links, in any order."""

from __future__ import annotations

import random
from typing import Any, NamedTuple

from tests.simulation.scale.engine import Action, Engine


class NetworkModel(NamedTuple):
    """How messages travel; times in seconds."""

    delay: float = 0.0002
    """From one machine to another, at least."""
    jitter: float = 0.0001
    """And at most this much more, at random for each message."""
    bandwidth: float = 1e9
    """Bytes per second that each worker sends to its peers."""
    breaks: float = 0.0
    """The share of answers between peers that never arrive, because the link breaks."""

    @property
    def round_trip(self) -> float:
        """There and back, on average."""
        return 2 * self.delay + self.jitter


class Network:
    """Makes links, and throws the dice for all of them."""

    def __init__(self, engine: Engine, model: NetworkModel, dice: random.Random) -> None:
        self.engine = engine
        self.model = model
        self._random = dice.random

    def delay(self) -> float:
        """How long the next message takes."""
        return self.model.delay + self.model.jitter * self._random()

    def breaks(self) -> bool:
        """True if the link breaks under the next answer."""
        return self.model.breaks > 0.0 and self._random() < self.model.breaks


class Link:
    """One direction between two parties."""

    __slots__ = ("_arrive", "_last", "_network")

    def __init__(self, network: Network, arrive: Action) -> None:
        self._network = network
        self._arrive = arrive
        self._last = 0.0

    def send(self, *arguments: Any) -> None:
        """Call the receiver with these once they have arrived."""
        network = self._network
        engine = network.engine
        moment = engine.now + network.delay()
        if moment < self._last:
            moment = self._last
        self._last = moment
        engine.at(moment, self._arrive, *arguments)
