from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from nbcluster.cluster import scratch
from nbcluster.cluster.scratch import Scratch
from nbcluster.errors import ClusterError
from nbcluster.worker.spilling import spill_path

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="directories are locked and private the POSIX way")


def test_it_is_its_owners_alone_and_nothing_is_left_of_it(tmp_path: Path) -> None:
    one, other = Scratch(tmp_path), Scratch(tmp_path)
    assert one.path != other.path
    assert stat.S_IMODE(one.path.stat().st_mode) == 0o700
    (one.path / "spill-1").mkdir()
    (one.path / "spill-1" / "0.spill").touch()
    one.remove()
    one.remove()
    assert list(tmp_path.iterdir()) == [other.path]
    other.remove()
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_is_not_there_is_made(tmp_path: Path) -> None:
    made = Scratch(tmp_path / "a" / "b")
    assert made.path.parent == tmp_path / "a" / "b"
    made.remove()


def test_a_place_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ClusterError, match=r"file.*give another local_directory"):
        Scratch(tmp_path / "file")


def test_what_a_dead_worker_left_is_removed_and_no_more(tmp_path: Path) -> None:
    one = Scratch(tmp_path)
    for pid in (1, 2):
        path = spill_path(str(one.path), pid)
        path.mkdir()
        (path / "0.spill").touch()
    (one.path / "worker-1-abc").mkdir()
    one.remove_worker(1)
    one.remove_worker(3)
    assert sorted(path.name for path in one.path.iterdir()) == ["lock", "spill-2"]
    one.remove()


def test_what_a_killed_cluster_left_is_removed_by_the_next_and_what_others_have_there_is_not(tmp_path: Path) -> None:
    code = f"""if True:
        from nbcluster.cluster.scratch import Scratch
        print(Scratch({str(tmp_path)!r}).path, flush=True)
        input()
    """
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True)
    assert process.stdout is not None
    left = Path(process.stdout.readline().strip())
    theirs = tmp_path / "nbcluster-scratch-of-mine"
    not_finished = tmp_path / left.name.replace(left.name[-4:], "none")
    for path in (theirs, not_finished):
        path.mkdir()
    Scratch(tmp_path).remove()
    assert left.exists(), "its process lives"
    process.send_signal(signal.SIGKILL)
    process.communicate()
    Scratch(tmp_path).remove()
    assert sorted(tmp_path.iterdir()) == sorted([theirs, not_finished])


def test_memory_is_no_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shm = Path("/dev/shm")
    if not scratch._in_memory(shm):
        pytest.skip("/dev/shm is on a disk here")
    monkeypatch.setattr(tempfile, "tempdir", str(shm))
    made = Scratch()
    assert not made.on_disk or made.path.parent == Path("/var/tmp")
    made.remove()
    asked_for = Scratch(tmp_path)
    assert asked_for.on_disk
    asked_for.remove()


def test_a_forked_child_removes_nothing(tmp_path: Path) -> None:
    one = Scratch(tmp_path)
    pid = os.fork()
    if pid == 0:
        one.remove()
        os._exit(0)
    os.waitpid(pid, 0)
    assert one.path.exists()
    one.remove()
