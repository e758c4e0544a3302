"""A simulated cluster's life from a seed: the same seed, the same life. As a program, it prints the trace's hash."""

from __future__ import annotations

import random
import sys

from nbcluster.protocol import messages as m
from nbcluster.scheduler.state import Settings
from nbcluster.types import WorkerName
from tests.support.simulated_cluster import TINY, Graph, SimulatedClient, SimulatedCluster

NAMES: list[WorkerName] = [0, 1, 2, "special"]


def random_graph(dice: random.Random, calls: int) -> Graph:
    """Some calls, each depending on a few before it, and some data."""
    keys = [f"{dice.choice('fg')}-{index}" for index in range(calls)]
    data = [f"d-{index}" for index in range(max(2, calls // 5))]
    dependencies = {}
    for index, key in enumerate(keys):
        possible = data + keys[max(0, index - 8) : index]
        dependencies[key] = tuple(dice.sample(possible, min(len(possible), dice.choice([0, 1, 1, 2, 3]))))
    return Graph(dependencies, frozenset(key for key in data + keys if dice.random() < 0.3))


class SeededRun:
    """Plays all parts by the dice.

    Args:
        seed: of the dice.
        calls: how many keys there are to compute.
        gentle: nothing dies and nothing fails.
    """

    def __init__(self, seed: int, calls: int = 8, settings: Settings = TINY, *, gentle: bool = False) -> None:
        self.dice = random.Random(seed)
        self.gentle = gentle
        graph = random_graph(self.dice, calls)
        self.keys = list(graph.dependencies)
        self.data = sorted({needed for keys in graph.dependencies.values() for needed in keys if needed[0] == "d"})
        self.sim = SimulatedCluster(graph, settings)
        self.sim.client_joins()

    def run(self, steps: int) -> str:
        """Live for so many steps, then heal, release everything, and return the trace's hash."""
        for _ in range(steps):
            under_way = self.sim.steps()
            if under_way and self.dice.random() < 0.85:
                count, pick = self.dice.choice([1, 1, 3, 1000]), self.dice.randrange(1000)
                how = "done" if self.gentle else self.dice.choice(["done"] * 8 + ["erred", "rescheduled", "lost"])
                self.sim.take(self.dice.choice(under_way), count, pick, how)
            else:
                self.intervene()
        self.heal()
        return self.sim.trace

    def heal(self) -> None:
        sim = self.sim
        sim.heal()
        sim.check_agreement()
        for client in sim.clients.values():
            if self.gentle:
                assert set(client.status.values()) <= {"finished"}, f"{client.status} {client.failures}"
            client.release(list(client.status))
        sim.settle()
        sim.check_nothing_is_left()

    def intervene(self) -> None:
        """Somebody does something."""
        dice, sim = self.dice, self.sim
        client = dice.choice(list(sim.clients.values()))
        held = list(client.status)
        some = dice.sample(held, min(len(held), dice.randint(1, 3)))
        gentle_deeds = ["submit"] * 5 + ["scatter", "release", "release", "client", "join", "retire", "stop", "seat"]
        rough_deeds = ["die", "die", "break", "break", "cancel", "retry", "want", "vanish"]
        deed = dice.choice(gentle_deeds if self.gentle else gentle_deeds + rough_deeds)
        names = list(sim.workers)
        if deed == "submit":
            sim.submit(client, dice.sample(self.keys, dice.randint(1, 3)), self.options())
        elif deed == "scatter" and self.data:
            key, where = dice.choice(self.data), dice.choice([None, None, ["0"]])
            client.want([key], m.Scatter([sim.graph.datum(key)], where, dice.random() < 0.3))
        elif deed == "release" and some:
            client.release(some)
        elif deed == "seat" and (runs := sim.may_change_seat()):
            sim.change_seat(*dice.choice(runs))
        elif deed == "client" and len(sim.clients) < 3:
            sim.client_joins()
        elif deed == "join" and len(names) < len(NAMES):
            name = dice.choice([name for name in NAMES if name not in names])
            sim.worker_joins(name, dice.randint(1, 2), dice.choice([None, {"GPU": 1.0}]))
        elif deed == "retire" and sim.may_retire():
            sim.worker_retires(dice.choice(sim.may_retire()))
        elif deed == "stop":
            for worker in [worker for worker in sim.workers.values() if worker.address in sim.retired]:
                sim.worker_dies(worker.name, blame=False, last_words=True)
        else:
            self.go_wrong(deed, client, some)

    def go_wrong(self, deed: str, client: SimulatedClient, some: list[str]) -> None:
        """Something fails."""
        dice, sim = self.dice, self.sim
        fetches = [(worker, holder) for worker in sim.workers.values() for holder in worker.requests]
        if deed == "die" and sim.workers:
            sim.worker_dies(dice.choice(list(sim.workers)), dice.random() < 0.5, dice.random() < 0.5)
        elif deed == "break" and fetches:
            sim.fetch_fails(*dice.choice(fetches))
        elif deed == "cancel" and some:
            client.cancel(some, dice.random() < 0.25)
        elif deed == "retry" and some:
            client.retry(some)
        elif deed == "want":
            key = dice.choice(self.keys + self.data)
            client.want([key], m.WantKeys([key]))
        elif deed == "vanish" and len(sim.clients) > 1:
            sim.client_leaves(client)

    def options(self) -> m.TaskOptions:
        dice = self.dice
        workers = dice.choice([None, None, None, ["0"], ["special"]])
        return m.TaskOptions(
            workers,
            bool(workers) and dice.random() < 0.5,
            dice.choice([{}, {}, {}, {"GPU": 1.0}]),
            dice.randint(0, 1),
            dice.choice([0, 0, 5]),
        )


if __name__ == "__main__":
    print(SeededRun(int(sys.argv[1]), calls=30).run(1000))
