from __future__ import annotations

from nbcluster.protocol import inspection as i
from nbcluster.protocol import messages as m
from nbcluster.scheduler.events import ClientJoined, ClientLeft
from tests.support.scheduler_bench import Bench

RUNS = i.Runs([])


def ask(bench: Bench, workers: list[str] | None = None) -> None:
    bench.ask(i.Inspect(7, i.AskWorkers(i.LookAtRuns(), workers)))


def with_workers(*names: int) -> Bench:
    bench = Bench()
    for name in names:
        bench.join(name)
    return bench


def answers(bench: Bench, client: str = "ada") -> list[i.Inspected]:
    return bench.heard(client, i.Inspected)


def request(bench: Bench, name: int) -> int:
    return bench.heard(name, i.Look)[-1].request


def test_the_answers_of_all_workers_are_one() -> None:
    bench = with_workers(0, 1)
    ask(bench)
    bench.report(0, i.Seen(request(bench, 0), RUNS))
    assert answers(bench) == []
    bench.report(1, i.Seen(request(bench, 1), RUNS))
    assert answers(bench) == [i.Inspected(7, i.Sights({"fake://0": RUNS, "fake://1": RUNS}, []))]


def test_only_those_are_asked_that_are_named() -> None:
    bench = with_workers(0, 1)
    ask(bench, ["1"])
    assert bench.heard(0, i.Look) == []
    assert len(bench.heard(1, i.Look)) == 1


def test_without_workers_the_answer_is_there_at_once() -> None:
    bench = Bench()
    ask(bench)
    assert answers(bench) == [i.Inspected(7, i.Sights({}, []))]


def test_an_unknown_worker_is_refused() -> None:
    bench = Bench()
    ask(bench, ["nobody"])
    [refusal] = bench.heard("ada", m.CallFailed)
    assert (refusal.id, refusal.kind) == (7, "ValueError")
    assert "'nobody'" in refusal.message


def test_a_worker_that_leaves_is_not_waited_for() -> None:
    bench = with_workers(0, 1)
    ask(bench)
    bench.report(0, i.Seen(request(bench, 0), RUNS))
    bench.leave(1)
    assert answers(bench) == [i.Inspected(7, i.Sights({"fake://0": RUNS}, []))]


def test_a_client_in_a_hurry_gets_what_there_is() -> None:
    bench = with_workers(0, 1)
    ask(bench)
    bench.report(0, i.Seen(request(bench, 0), RUNS))
    bench.ask(i.Hurry(7))
    assert answers(bench) == [i.Inspected(7, i.Sights({"fake://0": RUNS}, ["fake://1"]))]
    bench.report(1, i.Seen(request(bench, 1), RUNS))
    bench.ask(i.Hurry(7))
    assert len(answers(bench)) == 1


def test_a_client_that_left_gets_nothing() -> None:
    bench = Bench()
    bench.join(0)
    ask(bench)
    bench.handle(ClientLeft("ada"))
    bench.report(0, i.Seen(request(bench, 0), RUNS))
    assert answers(bench) == []


def entry(level: int) -> i.LogEntry:
    return i.LogEntry("x", "x.y", level, "text", 1.0, "", 1, "", "", 1)


def test_logs_go_to_whom_they_matter() -> None:
    bench = Bench()
    bench.handle(ClientJoined("bob"))
    bench.join(0)
    bench.ask(i.ForwardLogs("x", 40, [1]))
    bench.ask(i.ForwardLogs("x", 20, [2]), client="bob")
    assert bench.heard(0, i.ForwardLogs)[-1] == i.ForwardLogs("x", 20, [1, 2])
    bench.report(0, entry(20), entry(40))
    assert [said.level for said in bench.heard("ada", i.LogEntry)] == [40]
    assert [said.level for said in bench.heard("bob", i.LogEntry)] == [20, 40]


def test_workers_that_join_later_forward_too_until_nobody_listens() -> None:
    bench = Bench()
    bench.ask(i.ForwardLogs("x", 40, [1]))
    bench.join(0)
    assert bench.heard(0, i.ForwardLogs) == [i.ForwardLogs("x", 40, [1])]
    bench.handle(ClientLeft("ada"))
    assert bench.heard(0, i.ForwardLogs)[-1].level is None
    bench.join(1)
    assert bench.heard(1, i.ForwardLogs) == []
