from __future__ import annotations

import asyncio
import os
import re
import signal
from typing import Any

import pytest

from tests.contracts.gates import Gate, add, at_gate, fail_with, inc
from tests.support.eventually import eventually

pytestmark = pytest.mark.differs("explain")


def test_what_runs_is_shown_with_its_call_stack(api: Any, client: Any, gate: Gate) -> None:
    future = client.submit(at_gate, gate)
    gate.wait_for_visitors()
    why = client.explain(future)
    assert (why.reason, why.key) == ("running", future.key)
    assert why.worker in client.nthreads()
    assert why.seconds >= 0
    assert "pass_through" in "".join(why.stack)
    assert future.key in repr(why)
    assert "pass_through" in repr(why)
    assert "<details>" in why._repr_html_()
    assert client.explain(future.key).reason == "running"


def test_what_waits_is_traced_to_what_runs(api: Any, client: Any, gate: Gate) -> None:
    root = client.submit(at_gate, gate, 1)
    last = client.submit(inc, client.submit(inc, root))
    gate.wait_for_visitors()
    why = client.explain(last)
    assert why.reason == "waiting"
    assert [(one.key, one.reason) for one in why.roots] == [(root.key, "running")]
    assert "pass_through" in "".join(why.roots[0].stack)
    assert root.key in why.text


def test_what_nobody_can_run(api: Any, client: Any) -> None:
    assert client.explain(client.submit(inc, 1, resources={"TPU": 1})).reason == "no such resource"
    assert client.explain(client.submit(inc, 2, workers=["nobody"])).reason == "no such worker"


def test_what_has_ended(api: Any, client: Any) -> None:
    done, failed, cancelled = client.submit(inc, 1), client.submit(fail_with, "boom"), client.submit(add, 1, 2)
    api.wait([done, failed, cancelled])
    assert client.explain(done).reason == "finished"
    assert client.explain(failed).reason == "erred"
    assert "Mishap: boom" in client.explain(failed).text
    cancelled.cancel(msg="nobody needs it")
    assert client.explain(cancelled).reason == "cancelled"
    assert "nobody needs it" in client.explain(cancelled).text
    released = client.submit(inc, 2)
    released.release()
    assert client.explain(released).text.endswith("was cancelled: This future was released.")
    assert client.explain("no-such-key").reason == "unknown"


def test_what_a_failure_failed_of(api: Any, client: Any) -> None:
    root = client.submit(fail_with, "boom", pure=False)
    last = client.submit(inc, root)
    api.wait(last)
    assert repr(root.key) in client.explain(last).text
    assert "boom" in client.explain(last).text


def test_what_is_no_future_is_refused(api: Any, client: Any) -> None:
    with pytest.raises(TypeError, match="future=3"):
        client.explain(3)


def test_a_timeout_says_why(api: Any, client: Any, gate: Gate) -> None:
    future = client.submit(inc, client.submit(at_gate, gate, 1))
    gate.wait_for_visitors()
    with pytest.raises(api.TimeoutError, match="has been running for"):
        future.result(timeout=0.01)
    with pytest.raises(api.TimeoutError, match=r"1 of 1 futures .* has been running for"):
        api.wait(future, timeout=0.01)
    with pytest.raises(api.TimeoutError, match=r"1 future was not done in time: .* has been running for"):
        list(api.as_completed([future], timeout=0.01))


def test_a_timeout_on_an_event_loop_says_why(api: Any, cluster: Any, gate: Gate) -> None:
    async def main() -> None:
        async with api.Client(cluster, asynchronous=True) as client:
            future = client.submit(inc, client.submit(at_gate, gate, 1))
            await asyncio.to_thread(gate.wait_for_visitors)
            with pytest.raises(api.TimeoutError, match="has been running for"):
                await future.result(timeout=0.01)
            with pytest.raises(api.TimeoutError, match=r"1 of 1 futures .* has been running for"):
                await api.wait(future, timeout=0.01)
            with pytest.raises(api.TimeoutError, match=r"1 future was not done in time: .* has been running for"):
                await anext(api.as_completed([future], timeout=0.01))
            assert (await client.explain(future)).reason == "waiting"

    asyncio.run(main())


def test_what_was_cancelled_and_still_runs_is_named(api: Any, own: Any, gate: Gate) -> None:
    with api.Client(own()) as client:
        cancelled = client.submit(at_gate, gate)
        gate.wait_for_visitors()
        cancelled.cancel()
        future = client.submit(inc, 1)
        text = f"; {cancelled.key!r} still runs there, though nobody wants it any more."
        eventually(lambda: client.explain(future).text.endswith(text), "what keeps it from running")
        with pytest.raises(api.TimeoutError, match="still runs there"):
            future.result(timeout=0.01)
        gate.open()
        assert future.result() == 2


def test_a_scheduler_that_does_not_answer_keeps_nobody_waiting(api: Any) -> None:
    with (
        api.SubprocessCluster(n_workers=0, threads_per_worker=1, dashboard_address=None) as cluster,
        api.Client(cluster) as client,
    ):
        future = client.submit(inc, 1)
        assert client.explain(future).reason == "no workers"
        [pid] = {int(pid) for pid in [client.get_versions()["scheduler"]["host"]["pid"]]}
        os.kill(pid, signal.SIGSTOP)
        try:
            with pytest.raises(api.TimeoutError, match=r"still pending$"):
                future.result(timeout=0.01)
        finally:
            os.kill(pid, signal.SIGCONT)


@pytest.mark.differs("waiting says for what")
def test_each_timeout_reads_well(api: Any, keywords: Any, gate: Gate) -> None:
    with api.Client(**keywords(n_workers=1)) as client:
        running = client.submit(at_gate, gate, key="running")
        gate.wait_for_visitors()
        spare = client.submit(inc, 1, key="spare")
        queued = [client.submit(inc, number, key=f"queued-{number}") for number in range(2)]
        after = client.submit(inc, queued[0], key="after")
        after_all = client.submit(sum, [running, *queued], key="after all")
        lost = client.submit(inc, 1, key="lost", workers=["nobody"])
        eventually(lambda: client.explain(queued[1]).ahead == 1)
        late = "was not done after 0\\.01 s; it is still pending\\. It"
        says = texts(api, running, *queued, after, after_all)
        assert re.fullmatch(rf"running {late} has been running for \S+ m?s on worker 0 \(.*\)\.", says["running"])
        assert re.fullmatch(
            rf"queued-0 {late} has been queued for \S+ m?s, and is next: all workers are busy\.", says["queued-0"]
        )
        assert re.fullmatch(
            rf"queued-1 {late} has been queued for \S+ m?s, behind 1 other task: all workers are busy\.",
            says["queued-1"],
        )
        assert re.fullmatch(
            rf"after {late} has been waiting for \S+ m?s for the result of 'queued-0'\. 'queued-0' has been queued .*",
            says["after"],
        )
        assert re.fullmatch(
            rf"after all {late} has been waiting for \S+ m?s for 3 results \('running', 'queued-0', 'queued-1'\)\. .*",
            says["after all"],
        )
        with pytest.raises(api.TimeoutError, match=f"lost {late} cannot run: it is restricted to 'nobody'"):
            lost.exception(timeout=0.01)
        with pytest.raises(
            api.TimeoutError, match=r"2 of 2 futures .*: running, queued-0\. 'running' has been running"
        ):
            api.wait([running, queued[0]], timeout=0.01)
        gate.open()
        spare.result()


def texts(api: Any, *futures: Any) -> dict[str, str]:
    said = {}
    for future in futures:
        with pytest.raises(api.TimeoutError) as caught:
            future.result(timeout=0.01)
        said[future.key] = str(caught.value)
    return said
