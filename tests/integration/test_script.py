"""Plain scripts: no ``__main__`` guard, every warning an error, and nothing left when they end, however they end."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.eventually import eventually
from tests.support.marked import Mark

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

TIMEOUT = 60


class Script:
    """A script in a folder of its own, run from another one, and what it leaves behind."""

    def __init__(self, folder: Path, mark: Mark) -> None:
        self.folder = folder
        self.elsewhere = folder / "elsewhere"
        self.elsewhere.mkdir()
        self.mark = mark

    def write(self, text: str, name: str = "script.py") -> Path:
        path = self.folder / name
        path.write_text(textwrap.dedent(text))
        return path

    def start(self, text: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-W", "error", str(self.write(text))],
            cwd=self.elsewhere,
            env={**os.environ, **self.mark.environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, text: str) -> tuple[int, str, str]:
        """Its exit code, and what it wrote to stdout and stderr; then nothing of it is there any more."""
        with self.start(text) as process:
            return self.end(process)

    def end(self, process: subprocess.Popen[str]) -> tuple[int, str, str]:
        out, err = process.communicate(timeout=TIMEOUT)
        eventually(lambda: not self.mark.processes(), "the end of all its processes", timeout=5)
        return process.returncode, out, err


@pytest.fixture
def script(tmp_path: Path) -> Iterator[Script]:
    mark = Mark()
    yield Script(tmp_path, mark)
    for pid in mark.processes():
        os.kill(pid, signal.SIGKILL)


CLUSTERS = {
    "Client()": "client = Client()",
    "Client with keywords": "client = Client(n_workers=2, threads_per_worker=1, dashboard_address=None)",
    "threads": "client = Client(processes=False, dashboard_address=None)",
    "LocalCluster": 'client = Client(LocalCluster(n_workers=2, threads_per_worker=1, memory_limit="1GiB"))',
    "SubprocessCluster": "client = Client(SubprocessCluster(n_workers=2, threads_per_worker=1))",
}


@pytest.mark.parametrize("cluster", list(CLUSTERS))
def test_a_script_needs_no_guard_and_no_goodbye(script: Script, cluster: str) -> None:
    code = """
        from nbcluster import Client, LocalCluster, SubprocessCluster, as_completed, wait
        print("top level")
        FACTOR = 3
        def triple(x):
            return FACTOR * x
        class Point:
            def __init__(self, x):
                self.x = x
            def moved(self, by):
                return Point(self.x + by)
        {cluster}
        futures = client.map(triple, range(10))
        print(client.gather(futures))
        print(client.submit(sum, futures).result())
        print(client.submit(Point(1).moved, 2).result().x)
        data = client.scatter([1, 2])
        print(client.gather(client.map(lambda x: x + 1, data)))
        print(sorted(future.result() for future in as_completed(futures)) == client.gather(futures))
        print(len(wait(futures).done))
        try:
            client.submit(lambda: 1 / 0).result()
        except ZeroDivisionError as error:
            print("caught", error)
    """.replace("{cluster}", CLUSTERS[cluster])
    assert script.run(code) == (
        0,
        "top level\n[0, 3, 6, 9, 12, 15, 18, 21, 24, 27]\n135\n3\n[2, 3]\nTrue\n10\ncaught division by zero\n",
        "",
    )


@pytest.mark.parametrize("cluster", list(CLUSTERS))
def test_closing_everything_leaves_nothing_to_say(script: Script, cluster: str) -> None:
    code = """
        import threading
        from nbcluster import Client, LocalCluster, SubprocessCluster
        {cluster}
        cluster = client.cluster
        print(client.submit(abs, -1).result())
        client.close()
        cluster.close()
        client.close()
        cluster.close()
        print(client, threading.active_count())
    """.replace("{cluster}", CLUSTERS[cluster])
    assert script.run(code) == (0, "1\n<Client: No scheduler connected> 1\n", "")


def test_with_blocks_close_everything(script: Script) -> None:
    code = """
        import os, psutil
        from nbcluster import Client, LocalCluster
        with LocalCluster(n_workers=2, threads_per_worker=1) as cluster, Client(cluster) as client:
            print(len({*client.gather(client.map(lambda _: os.getpid(), range(20)))} & {os.getpid()}))
            print(cluster.status, len(psutil.Process().children(recursive=True)) >= 3)
        print(cluster.status, psutil.Process().children(recursive=True))
    """
    assert script.run(code) == (0, "0\nrunning True\nclosed []\n", "")


@pytest.mark.parametrize("cluster", ["Client with keywords", "threads", "LocalCluster", "SubprocessCluster"])
def test_a_module_beside_the_script_is_there_for_workers(script: Script, cluster: str) -> None:
    script.write(
        """
        import os
        def where():
            return os.getpid()
        def square(x):
            return x * x
        """,
        "helper_of_this_script.py",
    )
    code = """
        import os
        import helper_of_this_script as helper
        from nbcluster import Client, LocalCluster, SubprocessCluster
        {cluster}
        print(client.gather(client.map(helper.square, range(4))))
        print(client.submit(lambda: __import__("helper_of_this_script").square(5)).result())
        print((client.submit(helper.where).result() == os.getpid()) is (not client.cluster.view.workers[0].pid
              or client.cluster.view.workers[0].pid == os.getpid()))
        print(client.submit(os.getcwd).result() == os.getcwd())
    """.replace("{cluster}", CLUSTERS[cluster])
    assert script.run(code) == (0, "[0, 1, 4, 9]\n25\nTrue\nTrue\n", "")


@pytest.mark.parametrize("cluster", ["Client with keywords", "threads", "SubprocessCluster"])
def test_what_a_task_prints_reaches_the_terminal(script: Script, cluster: str) -> None:
    code = """
        import sys
        from nbcluster import Client, LocalCluster, SubprocessCluster
        {cluster}
        def speak(x):
            sys.stdout.write(f"task {x}\\n")
            sys.stderr.write(f"aside {x}\\n")
            return x
        print("result", client.gather([client.submit(speak, 1), client.submit(speak, 2)]))
        client.close()
    """.replace("{cluster}", CLUSTERS[cluster])
    exit_code, out, err = script.run(code)
    assert exit_code == 0
    assert sorted(out.splitlines()) == ["result [1, 2]", "task 1", "task 2"]
    assert sorted(err.splitlines()) == ["aside 1", "aside 2"]


def test_the_dashboards_link_is_on_this_machine(script: Script) -> None:
    code = """
        from urllib.request import urlopen
        from nbcluster import LocalCluster
        with LocalCluster(n_workers=1) as cluster:
            print(cluster.dashboard_link)
    """
    exit_code, out, err = script.run(code)
    assert (exit_code, err) == (0, "")
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/status\n", out)


@pytest.mark.parametrize("cluster", ["Client with keywords", "threads", "LocalCluster", "SubprocessCluster"])
def test_ctrl_c_while_it_waits_ends_it_and_all_that_it_started(script: Script, cluster: str) -> None:
    code = """
        import time
        from nbcluster import Client, LocalCluster, SubprocessCluster
        {cluster}
        def work(n):
            time.sleep(0.2)
            return n
        futures = client.map(work, range(1000))
        futures[0].result()
        print("waiting", flush=True)
        client.gather(futures)
    """.replace("{cluster}", CLUSTERS[cluster])
    with script.start(code) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "waiting\n"
        process.send_signal(signal.SIGINT)
        exit_code, out, err = script.end(process)
    assert exit_code in (130, -signal.SIGINT)
    assert out == ""
    assert err.startswith("Traceback")
    assert err.rstrip().endswith("KeyboardInterrupt")
    assert err.count("Traceback") == 1


def test_ctrl_c_can_be_caught_and_the_script_goes_on(script: Script) -> None:
    code = """
        import time
        from nbcluster import Client
        client = Client(n_workers=2, threads_per_worker=1, dashboard_address=None)
        slow = client.submit(time.sleep, 600)
        try:
            print("waiting", flush=True)
            slow.result()
        except KeyboardInterrupt:
            slow.cancel()
            print("interrupted, and", client.gather(client.map(abs, [-1, -2])))
    """
    with script.start(code) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "waiting\n"
        process.send_signal(signal.SIGINT)
        assert script.end(process) == (0, "interrupted, and [1, 2]\n", "")


@pytest.mark.parametrize("cluster", list(CLUSTERS))
def test_an_exception_at_top_level_is_all_that_it_says(script: Script, cluster: str) -> None:
    code = """
        from nbcluster import Client, LocalCluster, SubprocessCluster
        {cluster}
        def fail(text):
            raise LookupError(text)
        client.submit(fail, "from a task").result()
    """.replace("{cluster}", CLUSTERS[cluster])
    exit_code, out, err = script.run(code)
    assert (exit_code, out) == (1, "")
    assert err.rstrip().endswith("LookupError: from a task")
    assert "in fail" in err
    assert err.count("Traceback") == 1


def test_an_exit_in_the_middle_of_work_leaves_nothing(script: Script) -> None:
    code = """
        import sys, time
        from nbcluster import Client, SubprocessCluster
        client = Client(n_workers=2, threads_per_worker=1, dashboard_address=None)
        other = Client(SubprocessCluster(n_workers=1, dashboard_address=None))
        futures = client.map(time.sleep, [600] * 10) + other.map(time.sleep, [600] * 10)
        sys.exit(7)
    """
    assert script.run(code) == (7, "", "")


def test_a_wrong_argument_is_one_clear_error(script: Script) -> None:
    server = socket.create_server(("127.0.0.1", 0))
    taken = server.getsockname()[1]
    for wrong, says in [
        ("Client(n_workers=-1)", "ValueError: n_workers=-1 is out of range; give an int of at least 0"),
        ("LocalCluster(memory_limit='abc')", "memory_limit='abc' is not a number of bytes"),
        ("LocalCluster(typo=1)", "TypeError: a cluster got an unexpected keyword argument 'typo'"),
        (f"SubprocessCluster(n_workers=1, scheduler_port={taken})", f"scheduler_port={taken} on '127.0.0.1' is not to"),
        ("Client('tcp://127.0.0.1:1', timeout=0.5)", "tcp://127.0.0.1:1"),
    ]:
        exit_code, out, err = script.run(f"from nbcluster import Client, LocalCluster, SubprocessCluster\n{wrong}")
        assert (exit_code, out) == (1, ""), wrong
        assert says in err.splitlines()[-1], err
    server.close()
