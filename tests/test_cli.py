from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from nbcluster import Client, LocalCluster
from nbcluster.cli import main
from tests.contracts.by_hand import free_port

COMMAND = [sys.executable, "-m", "nbcluster", "worker"]


def test_extra_workers_join_a_running_cluster_until_they_are_told_to_end() -> None:
    with LocalCluster(n_workers=0, dashboard_address=None) as cluster:
        options = ["--nthreads", "1", "--name", "extra", "--nworkers", "2", "--resources", "GPU=2"]
        process = subprocess.Popen([*COMMAND, cluster.scheduler_address, *options], stdout=subprocess.PIPE, text=True)
        with process, Client(cluster, set_as_default=False) as client:
            client.wait_for_workers(2, timeout=30)
            pid = client.submit(os.getpid, workers=["extra-1"], resources={"GPU": 2}).result(timeout=30)
            assert pid not in (os.getpid(), process.pid)
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=30) == 0
        assert cluster.status == "running"


def test_a_worker_finds_the_scheduler_by_its_file_and_ends_when_its_lifetime_is_over(tmp_path: Path) -> None:
    file, pid = tmp_path / "scheduler.json", tmp_path / "pid"
    with LocalCluster(n_workers=0, dashboard_address=None, scheduler_kwargs={"scheduler_file": file}) as cluster:
        options = ["--scheduler-file", file, "--pid-file", pid, "--name", "brief", "--nthreads", "1"]
        options += ["--lifetime", "300ms", "--host", "127.0.0.1", "--worker-port", "20000:30000"]
        with subprocess.Popen([*COMMAND, *map(str, options)], stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == f"worker brief has joined {cluster.scheduler_address}\n"
            assert pid.read_text() == str(process.pid)
            assert process.wait(timeout=30) == 0
        assert not pid.exists()


def test_without_a_nanny_the_command_is_the_worker_and_what_it_preloads_has_arguments(tmp_path: Path) -> None:
    (tmp_path / "its.py").write_text("def dask_setup(worker, path):\n    open(path, 'w').write(worker.name)\n")
    with LocalCluster(n_workers=0, dashboard_address=None) as cluster:
        options = ["--no-nanny", "--nworkers", "1", "--name", "ada", "--preload", tmp_path / "its.py"]
        command = [*COMMAND, cluster.scheduler_address, *map(str, options), "--", str(tmp_path / "mark")]
        with subprocess.Popen(command) as process, Client(cluster, set_as_default=False) as client:
            assert client.submit(os.getpid).result(timeout=30) == process.pid
            assert (tmp_path / "mark").read_text() == "ada"
            process.terminate()
            assert process.wait(timeout=30) == 0


def test_the_command_waits_for_a_scheduler_that_is_about_to_start(tmp_path: Path) -> None:
    port = free_port()
    command = [*COMMAND, f"tcp://127.0.0.1:{port}", "--nthreads", "1", "--name", "early"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert "waits for its scheduler: no cluster of this user listens" in process.stderr.readline()
        with LocalCluster(n_workers=0, scheduler_port=port, dashboard_address=None):
            assert process.stdout.readline() == f"worker early has joined tcp://127.0.0.1:{port}\n"
            process.terminate()
            assert process.wait(timeout=30) == 0


def test_a_command_that_waits_can_be_ended(tmp_path: Path) -> None:
    command = [*COMMAND, "--scheduler-file", str(tmp_path / "no-such.json"), "--nthreads", "1"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert "there is no scheduler_file=" in process.stderr.readline()
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=30) == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["tcp://127.0.0.1:9", "--death-timeout", "200ms"], "no cluster of this user listens at tcp://127.0.0.1:9"),
        (["tcp://127.0.0.1:9", "--nthreads", "0"], "nthreads=0"),
        (["tcp://127.0.0.1:9", "--nworkers", "0"], "--nworkers=0"),
        (["tcp://127.0.0.1:9", "--nworkers", "-1000"], "--nworkers=-1000"),
        (["tcp://127.0.0.1:9", "--nworkers", "2", "--no-nanny"], "--no-nanny goes with one worker"),
        (["tcp://127.0.0.1:9", "--nworkers", "2", "--contact-address", "tcp://h:1"], "goes without --listen-address"),
        (["tcp://127.0.0.1:9", "--worker-port", "http"], "worker_port='http'"),
        (["tcp://127.0.0.1:9", "--lifetime-restart"], "lifetime_restart is given without lifetime="),
        ([], "give one of them"),
        (["tcp://127.0.0.1:9", "--resources", "GPU"], "--resources='GPU'"),
        (["tls://127.0.0.1:9"], "needs TLS credentials"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(capsys: pytest.CaptureFixture[str], arguments: list[str], said: str) -> None:
    assert main(["worker", *arguments]) == 1
    assert said in capsys.readouterr().err
