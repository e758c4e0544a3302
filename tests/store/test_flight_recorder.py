from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from nbcluster.store.flight_recorder import FlightRecorder


def test_a_run_is_on_record_from_its_begin_to_its_end() -> None:
    recorder = FlightRecorder.create()
    worker = FlightRecorder.open(os.dup(recorder.fd))
    worker.enter(0, 0)
    worker.enter(3, 2**63)
    assert recorder.running() == worker.running() == [0, 2**63]
    worker.leave(0)
    assert recorder.running() == [2**63]
    for one in (recorder, worker, worker):
        one.close()


def test_a_run_that_has_just_ended_is_suspected_only_if_none_was_under_way() -> None:
    recorder = FlightRecorder.open(FlightRecorder.create().fd)
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
    recorder = FlightRecorder.open(FlightRecorder.create().fd)
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
def test_only_the_worker_has_it_mapped() -> None:
    recorder = FlightRecorder.create("nbcluster-test-recorder")
    maps = Path("/proc/self/maps")
    assert "nbcluster-test-recorder" not in maps.read_text()
    in_the_worker = FlightRecorder.open(os.dup(recorder.fd))
    assert "nbcluster-test-recorder" in maps.read_text()
    in_the_worker.close()
    recorder.close()
