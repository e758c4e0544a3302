from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from nbcluster import Client, LocalCluster
from nbcluster.cli import main

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


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["tcp://127.0.0.1:9"], "no cluster of this user listens at tcp://127.0.0.1:9"),
        (["tcp://127.0.0.1:9", "--nthreads", "0"], "nthreads=0"),
        (["tcp://127.0.0.1:9", "--nworkers", "0"], "--nworkers=0"),
        (["tcp://127.0.0.1:9", "--resources", "GPU"], "--resources='GPU'"),
        (["tls://127.0.0.1:9"], "needs TLS credentials"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(capsys: pytest.CaptureFixture[str], arguments: list[str], said: str) -> None:
    assert main(["worker", *arguments]) == 1
    assert said in capsys.readouterr().err
