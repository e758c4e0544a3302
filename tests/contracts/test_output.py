from __future__ import annotations

import importlib
import logging
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.eventually import eventually


@pytest.fixture(scope="module")
def processes(api: Any, keywords: Any) -> Iterator[Any]:
    """A client of worker processes: the output of threads is that of this process, and nobody's log."""
    with api.Client(**keywords(processes=True)) as client:
        yield client


def speak(text: str) -> None:
    print(text)
    print(f"{text}, aside", file=sys.stderr)


@pytest.mark.differs("output of tasks")
def test_what_a_task_prints_appears_here(client: Any, capfd: pytest.CaptureFixture[str]) -> None:
    client.submit(speak, "good news", pure=False).result()
    out, err = "", ""

    def there() -> bool:
        nonlocal out, err
        more = capfd.readouterr()
        out, err = out + more.out, err + more.err
        return "good news" in out and "good news, aside" in err

    eventually(there)


@pytest.mark.differs("output of tasks")
def test_what_a_task_prints_and_logs_is_in_the_logs(processes: Any) -> None:
    processes.submit(speak, "for the record", pure=False).result()
    processes.submit(_log, "a warning for the record", pure=False).result()

    def there() -> bool:
        logs = "\n".join(processes.cluster.get_logs().values())
        return "for the record\n" in logs and "a warning for the record" in logs

    eventually(there)


def test_what_is_printed_outside_of_tasks_can_be_had_here(
    api: Any, keywords: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    plugin = importlib.import_module(f"{api.__name__}.diagnostics.plugin").ForwardOutput()
    out, err = "", ""

    def has(text: str) -> bool:
        nonlocal out, err
        more = capsys.readouterr()
        out, err = out + more.out, err + more.err
        return f"{text}\n" in out and f"{text}, aside\n" in err

    def begin() -> None:
        print("begun, ", end="", flush=True)
        print("and ended")

    with api.Client(**keywords(processes=True, n_workers=1)) as client:
        client.register_plugin(plugin, name="forward")
        client.run(speak, "beside tasks")
        eventually(lambda: has("beside tasks"), "it arrives")
        client.run(begin)
        eventually(lambda: has("beside tasks") and "begun, and ended\n" in out, "the line is whole")
        client.unregister_worker_plugin("forward")
        client.run(speak, "unheard")
        client.register_plugin(plugin, name="forward")
        client.run(speak, "heard again")
        eventually(lambda: has("heard again"), "it arrives again")
    assert "unheard" not in out
    assert out.count("beside tasks\n") == 1


def _log(text: str) -> None:
    logging.getLogger("user").warning(text)


@pytest.mark.differs("logs in order")
def test_logs_are_in_order(processes: Any) -> None:
    for number in range(5):
        processes.submit(speak, f"line {number}", pure=False, workers=[0]).result()
    address = processes.cluster.workers[0].address

    def lines() -> list[str]:
        return [line for line in processes.cluster.get_logs()[address].split("\n") if line in _LINES]

    eventually(lambda: len(lines()) == 5)
    assert lines() == _LINES


_LINES = [f"line {number}" for number in range(5)]


@pytest.mark.differs("logs in order")
def test_logs_begin_with_how_the_cluster_began(processes: Any) -> None:
    lines = processes.cluster.get_logs()["Scheduler"].split("\n")
    joined = [line for line in lines if "joined" in line]
    assert {line.split(" joined")[0].rpartition(" ")[2] for line in joined[:2]} == {"0", "1"}
