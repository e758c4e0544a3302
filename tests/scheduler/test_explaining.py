from __future__ import annotations

from itertools import pairwise

import pytest

from nbcluster.protocol import explanation as why
from nbcluster.protocol import messages as m
from nbcluster.protocol.explanation import REASONS, Explanation, Situation, sentence
from nbcluster.scheduler.events import RetireWorkers
from nbcluster.scheduler.explaining import explain
from nbcluster.types import Key, Status
from tests.support.scheduler_bench import Bench


def said(bench: Bench, key: Key) -> Explanation:
    bench.core.state.now = bench.now
    return explain(bench.core.state, bench.core.placement, key)


def test_an_unknown_key() -> None:
    assert said(Bench(), "x").situation.reason == why.UNKNOWN


def test_there_are_no_workers() -> None:
    bench = Bench()
    bench.submit("x")
    assert said(bench, "x").situation.reason == why.NO_WORKERS
    assert sentence(said(bench, "x")) == "'x' cannot run: there are no workers."


def test_no_worker_of_that_name() -> None:
    bench = Bench()
    bench.join(0)
    bench.submit("x", workers=["gpu-box"])
    situation = said(bench, "x").situation
    assert (situation.reason, situation.workers) == (why.NO_SUCH_WORKER, ["gpu-box"])
    assert "'gpu-box'" in sentence(said(bench, "x"))


def test_no_worker_with_that_resource() -> None:
    bench = Bench()
    bench.join(0, resources={"GPU": 1})
    bench.submit("x", resources={"GPU": 2})
    situation = said(bench, "x").situation
    assert (situation.reason, situation.resources) == (why.NO_RESOURCE, {"GPU": 2})
    assert "GPU=2" in sentence(said(bench, "x"))


def test_no_worker_of_that_name_with_that_resource() -> None:
    bench = Bench()
    bench.join(0, resources={"GPU": 1})
    bench.join(1)
    bench.submit("x", resources={"GPU": 1}, workers=["1"])
    assert said(bench, "x").situation.reason == why.NO_RESOURCE
    assert "restricted to ('1')" in sentence(said(bench, "x"))


def test_the_resource_is_in_use() -> None:
    bench = Bench()
    bench.join(0, nthreads=2, resources={"GPU": 1})
    bench.submit("x", "y", resources={"GPU": 1})
    assert said(bench, "y").situation.reason == why.RESOURCE_IN_USE
    assert "in use" in sentence(said(bench, "y"))


def test_all_workers_are_paused() -> None:
    bench = Bench()
    worker = bench.join(0)
    worker.status = Status.PAUSED
    bench.core.placement.resort(worker)
    bench.submit("x")
    assert said(bench, "x").situation.reason == why.PAUSED
    assert "for lack of memory" in sentence(said(bench, "x"))


def test_all_workers_are_about_to_leave() -> None:
    bench = Bench()
    bench.join(0)
    bench.submit("before")
    bench.handle(RetireWorkers([0]))
    bench.submit("x")
    assert said(bench, "x").situation.reason == why.RETIRING


def test_queued_behind_others() -> None:
    bench = Bench(most_ahead=1, prefetch=0.0)
    bench.join(0)
    bench.submit(*(f"x-{n}" for n in range(10)))
    behind = [said(bench, f"x-{n}").situation for n in range(10)]
    queued = [situation.ahead for situation in behind if situation.reason == why.QUEUED]
    assert queued == list(range(len(queued)))
    assert len(queued) >= 7
    bench.submit("urgent", "urgent-too", "urgent-last", priority=10)
    assert said(bench, "urgent").situation.ahead == 1, "what runs already"
    assert said(bench, "urgent-last").situation.ahead == 0, "in the queue"
    assert said(bench, "x-9").situation.ahead == queued[-1] + 1


def test_assigned_to_a_worker_behind_others() -> None:
    bench = Bench()
    bench.join(0)
    bench.submit("x", "y")
    bench.now += 5
    situation = said(bench, "y").situation
    assert (situation.reason, situation.worker, situation.name) == (why.ASSIGNED, "fake://0", "0")
    assert situation.ahead == 1
    assert situation.seconds == pytest.approx(5.0)


def test_waiting_for_others_to_the_roots() -> None:
    bench = Bench()
    bench.join(0)
    bench.submit("a", resources={"GPU": 1})
    bench.submit("b", "c", "d", needs={"b": ["a"], "c": ["b"], "d": ["b", "c"]})
    explanation = said(bench, "d")
    assert explanation.situation.reason == why.WAITING
    assert explanation.waiting_for == ["b", "c"]
    assert [(root.key, root.reason) for root in explanation.roots] == [("a", why.NO_RESOURCE)]
    text = sentence(explanation)
    assert "2 results ('b', 'c')" in text
    assert text.endswith("'a' cannot run: no worker has the resources GPU=1.")


def test_of_many_roots_a_few_are_told() -> None:
    bench = Bench()
    roots = [f"root-{n}" for n in range(30)]
    bench.submit(*roots)
    bench.submit("x", needs={"x": roots})
    explanation = said(bench, "x")
    assert (explanation.waiting_count, explanation.root_count) == (30, 30)
    assert len(explanation.waiting_for) == 20
    assert len(explanation.roots) == 5
    assert "and 27 more" in sentence(explanation)
    assert sentence(explanation).endswith("(And 25 more.)")


def test_a_long_chain_is_no_trouble() -> None:
    bench = Bench()
    keys = [f"x-{n}" for n in range(3000)]
    bench.submit(*keys, needs={after: [before] for before, after in pairwise(keys)})
    assert [root.key for root in said(bench, keys[-1]).roots] == ["x-0"]


def test_done() -> None:
    bench = Bench()
    bench.join(0)
    bench.submit("x")
    bench.finish(0, "x")
    situation = said(bench, "x").situation
    assert (situation.reason, situation.workers) == (why.FINISHED, ["fake://0"])


def test_raised_after_retries() -> None:
    bench = Bench()
    bench.join(0)
    bench.submit("x", retries=2)
    bench.fail(0, "x")
    assert "retried, once; 1 more to go" in sentence(said(bench, "x"))
    bench.fail(0, "x")
    bench.fail(0, "x")
    situation = said(bench, "x").situation
    assert (situation.reason, situation.blamed, situation.past.retried) == (why.ERRED, "x", 2)


def test_failed_because_of_what_it_needs() -> None:
    bench = Bench()
    bench.join(0)
    bench.submit("a", "b", needs={"b": ["a"]})
    bench.fail(0, "a")
    assert "because 'a' failed" in sentence(said(bench, "b"))


def test_workers_that_died_of_it() -> None:
    bench = Bench(allowed_failures=1)
    bench.join(0)
    bench.submit("x")
    bench.leave(0, "x")
    bench.join(1)
    assert said(bench, "x").situation.past.deaths == 1
    assert "1 worker died while running it" in sentence(said(bench, "x"))
    bench.leave(1, "x")
    assert said(bench, "x").situation.reason == why.ERRED
    assert "was killed by SIGKILL" in sentence(said(bench, "x"))


def test_a_result_that_was_lost_and_is_computed_again() -> None:
    bench = Bench()
    bench.join(0)
    bench.submit("x")
    bench.finish(0, "x", nbytes=10**6, inline=False)
    bench.leave(0)
    assert said(bench, "x").situation.past.lost == 1
    assert "its result was lost once" in sentence(said(bench, "x"))


def test_scattered_data_that_was_lost() -> None:
    bench = Bench()
    bench.join(0)
    bench.scatter("x", nbytes=10_000)
    stamp = bench.heard(0, m.PutData)[0].items[0].stamp
    bench.report(0, m.DataAdded([m.StoredData("x", 10_000, stamp)]))
    bench.leave(0)
    assert said(bench, "x").situation.reason == why.ERRED
    assert "nothing can compute it again" in sentence(said(bench, "x"))


def test_scattered_data_that_nobody_takes() -> None:
    bench = Bench()
    bench.scatter("x")
    assert said(bench, "x").situation.reason == why.SCATTERING


def test_given_back_by_its_worker() -> None:
    bench = Bench()
    bench.join(0)
    bench.submit("x")
    bench.report(0, m.TaskRescheduled("x", bench.run_id(0, "x")))
    assert said(bench, "x").situation.past.rerun == 1
    assert "given back to be run elsewhere once" in sentence(said(bench, "x"))


def test_what_nobody_wants_any_more_but_is_kept_as_lineage() -> None:
    bench = Bench()
    bench.join(0)
    bench.submit("a", "b", needs={"b": ["a"]})
    bench.finish(0, "a")
    bench.finish(0, "b")
    bench.release("a")
    assert said(bench, "a").situation.reason == why.UNNEEDED


@pytest.mark.parametrize("reason", REASONS)
def test_every_reason_has_words(reason: str) -> None:
    text = sentence(Explanation(Situation("x", reason, 3.0, "tcp://w", "0", 2, ["w"], {"GPU": 1}, "boom", "y")))
    assert text.startswith("'x' ")
    assert text.endswith(".")
