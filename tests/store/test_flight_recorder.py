from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap

import pytest

from nbcluster.store.flight_recorder import FlightRecorder


def test_a_run_is_on_record_from_its_begin_to_its_end() -> None:
    recorder = FlightRecorder.create()
    recorder.enter(0, 0)
    recorder.enter(3, 2**63)
    assert recorder.running() == [0, 2**63]
    recorder.leave(0)
    assert recorder.running() == [2**63]
    recorder.clear()
    assert recorder.running() == []
    recorder.close()
    recorder.close()


def test_a_run_that_has_just_ended_is_suspected_only_if_none_was_under_way() -> None:
    recorder = FlightRecorder.create()
    assert recorder.suspects() == []
    recorder.enter(0, 5)
    recorder.leave(0)
    assert recorder.suspects() == [5]
    recorder.enter(1, 6)
    assert recorder.suspects() == [6]
    recorder.enter(0, 7)
    recorder.leave(1)
    assert recorder.suspects() == [7]
    recorder.leave(0)
    assert recorder.suspects() == [7, 6]
    recorder.close()


def test_a_thread_beyond_the_last_slot_is_refused() -> None:
    recorder = FlightRecorder.create()
    with pytest.raises(IndexError):
        recorder.enter(FlightRecorder.SLOTS, 1)
    recorder.close()


def test_the_record_survives_the_death_of_its_writer() -> None:
    recorder = FlightRecorder.create()
    script = """
        import os, signal, sys
        from nbcluster.store.flight_recorder import FlightRecorder

        recorder = FlightRecorder.open(int(sys.argv[1]))
        recorder.enter(0, 5)
        recorder.enter(1, 6)
        recorder.leave(0)
        recorder.enter(0, 7)
        os.kill(os.getpid(), signal.SIGKILL)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(script), str(recorder.fd)], pass_fds=[recorder.fd])
    assert done.returncode == -signal.SIGKILL
    assert recorder.running() == [7, 6]
    recorder.close()


def test_it_is_not_inherited_by_accident() -> None:
    recorder = FlightRecorder.create()
    assert not os.get_inheritable(recorder.fd)
    recorder.close()


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_fork_of_the_supervisor_is_not_taken_for_the_workers() -> None:
    recorder = FlightRecorder.create("nbcluster-test-recorder")
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(write)
        os.read(read, 1)
        os._exit(0)
    os.close(read)
    try:
        with open(f"/proc/{pid}/maps") as theirs, open("/proc/self/maps") as ours:
            assert "nbcluster-test-recorder" not in theirs.read()
            assert "nbcluster-test-recorder" in ours.read()
    finally:
        os.close(write)
        os.waitpid(pid, 0)
        recorder.close()
