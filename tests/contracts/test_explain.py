from __future__ import annotations

import asyncio
import os
import signal
from typing import Any

import pytest

from tests.contracts.gates import Gate, add, at_gate, fail_with, inc

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


def test_a_timeout_on_an_event_loop_says_why(api: Any, cluster: Any, gate: Gate) -> None:
    async def main() -> None:
        async with api.Client(cluster, asynchronous=True) as client:
            future = client.submit(inc, client.submit(at_gate, gate, 1))
            await asyncio.to_thread(gate.wait_for_visitors)
            with pytest.raises(api.TimeoutError, match="has been running for"):
                await future.result(timeout=0.01)
            with pytest.raises(api.TimeoutError, match=r"1 of 1 futures .* has been running for"):
                await api.wait(future, timeout=0.01)
            assert (await client.explain(future)).reason == "waiting"

    asyncio.run(main())


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
