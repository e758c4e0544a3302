from __future__ import annotations

import os
import pickle
import shutil
import signal
import stat
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from nbcluster.comm import credentials
from nbcluster.comm.credentials import (
    ENVIRONMENT_VARIABLE,
    ClusterDirectory,
    find_token,
    process_start,
    read_token,
    runtime_dir,
    sweep,
)
from nbcluster.errors import CommError
from tests.support.eventually import eventually

posix = pytest.mark.skipif(sys.platform == "win32", reason="modes and owners are a POSIX matter")


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "runtime"
    monkeypatch.setenv(ENVIRONMENT_VARIABLE, str(path))
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    return path


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


class Other:
    """Another process of this user, with a cluster directory."""

    def __init__(self, *addresses: str) -> None:
        program = f"""
            import sys
            from nbcluster.comm.credentials import ClusterDirectory
            directory = ClusterDirectory()
            directory.publish(*{addresses!r})
            print(directory.path, directory.token.hex(), flush=True)
            sys.stdin.read()
            directory.remove()
        """
        self.process = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(program)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        path, token = self.process.stdout.readline().split()
        self.path, self.token = Path(path), bytes.fromhex(token)

    def end(self, how: signal.Signals | None = None) -> None:
        if how is not None:
            self.process.send_signal(how)
        self.process.communicate()


@pytest.fixture
def others() -> Iterator[list[Other]]:
    started: list[Other] = []
    yield started
    for other in started:
        other.process.kill()
        other.process.communicate()


# --- the runtime directory -------------------------------------------------------------------------------------------


@posix
def test_the_runtime_directory_is_made_for_its_owner_alone(root: Path) -> None:
    assert runtime_dir() == root
    assert mode(root) == 0o700


@posix
def test_it_is_in_the_session_directory_if_that_is_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(ENVIRONMENT_VARIABLE)
    session, temporary = tmp_path / "session", tmp_path / "tmp"
    session.mkdir(mode=0o700)
    temporary.mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(session))
    monkeypatch.setattr(credentials.tempfile, "gettempdir", lambda: str(temporary))  # type: ignore[attr-defined]
    assert runtime_dir() == session / "nbcluster"
    session.chmod(0o755)
    assert runtime_dir() == temporary / f"nbcluster-{os.getuid()}"


@posix
@pytest.mark.parametrize("bits", [0o750, 0o705, 0o777, 0o1777])
def test_a_directory_that_others_can_open_is_refused(root: Path, bits: int) -> None:
    root.mkdir()
    root.chmod(bits)
    with pytest.raises(CommError, match=r"chmod 700"):
        runtime_dir()
    with pytest.raises(CommError):
        ClusterDirectory()


@posix
def test_a_link_in_its_place_is_refused(root: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    root.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(CommError, match="is no directory"):
        runtime_dir()


@posix
@pytest.mark.skipif(os.name != "posix" or os.getuid() != 0, reason="only root can give a directory away")
def test_a_directory_of_another_user_is_refused(root: Path) -> None:
    root.mkdir(mode=0o700)
    os.chown(root, 12345, 12345)
    with pytest.raises(CommError, match="belongs to another user"):
        runtime_dir()


# --- a cluster's directory -------------------------------------------------------------------------------------------


@posix
def test_a_cluster_s_directory_and_token_are_for_its_owner_alone() -> None:
    with ClusterDirectory() as directory:
        assert mode(directory.path) == 0o700
        assert mode(directory.path / "token") == 0o600
        assert len(directory.token) == 32
        assert read_token(directory.path) == directory.token
        for path in directory.path.iterdir():
            assert mode(path) & 0o077 == 0


def test_every_cluster_has_a_token_of_its_own() -> None:
    with ClusterDirectory() as one, ClusterDirectory() as other:
        assert one.token != other.token
        assert one.path != other.path


def test_it_is_removed_at_the_end_and_only_once() -> None:
    with ClusterDirectory() as directory:
        directory.socket("s").touch()
    assert not directory.path.exists()
    directory.remove()


def test_the_token_is_in_no_text_about_it() -> None:
    with ClusterDirectory() as directory:
        for text in (repr(directory), str(directory), repr(vars(type(directory)))):
            assert directory.token.hex() not in text
            assert repr(directory.token) not in text
        with pytest.raises(TypeError, match="stays in its process"):
            pickle.dumps(directory)


def test_paths_of_sockets_are_short_enough(root: Path) -> None:
    with ClusterDirectory() as directory:
        assert len(str(directory.socket("w1000")).removeprefix(str(root))) < 30


@posix
def test_a_forked_child_does_not_remove_it() -> None:
    with ClusterDirectory() as directory:
        child = os.fork()
        if child == 0:
            directory.remove()
            os._exit(0)
        os.waitpid(child, 0)
        assert read_token(directory.path) == directory.token


# --- finding a token -------------------------------------------------------------------------------------------------


def test_a_token_is_found_by_any_address_of_its_cluster() -> None:
    with ClusterDirectory() as one, ClusterDirectory() as other:
        one.publish("tcp://127.0.0.1:1000", "unix:///tmp/one.sock")
        one.publish("inproc://one")
        other.publish("tcp://127.0.0.1:1001")
        for address in ("tcp://127.0.0.1:1000", "tcp://localhost:1000", "127.0.0.1:1000", "unix:///tmp/one.sock"):
            assert find_token(address) == one.token
        assert find_token("inproc://one") == one.token
        assert find_token("tcp://127.0.0.1:1001") == other.token


def test_where_nobody_listens_the_error_names_the_address() -> None:
    with ClusterDirectory() as directory:
        directory.publish("tcp://127.0.0.1:1000")
        for address in ("tcp://127.0.0.1:1002", "tls://127.0.0.1:1000", "unix:///tmp/none.sock"):
            with pytest.raises(CommError, match="no cluster of this user") as caught:
                find_token(address)
            assert address in str(caught.value)


def test_no_cluster_at_all_is_no_special_case(root: Path) -> None:
    with pytest.raises(CommError, match="no cluster of this user"):
        find_token("tcp://127.0.0.1:1000")
    assert not root.exists()


def test_what_is_no_address_is_said_to_be_none() -> None:
    with pytest.raises(ValueError, match="is no address"):
        find_token("tcp://nowhere")


def test_the_token_of_another_process_is_found(others: list[Other]) -> None:
    others.append(Other("tcp://127.0.0.1:1000"))
    assert find_token("tcp://127.0.0.1:1000") == others[0].token
    assert read_token(others[0].path) == others[0].token


def test_a_living_cluster_is_preferred_to_a_dead_one_at_the_same_address(others: list[Other]) -> None:
    for _ in range(3):
        others.append(Other("tcp://127.0.0.1:1000"))
        others[-1].end(signal.SIGKILL)
        # As a dead cluster's directory stays while a child of it still holds the lock.
        shutil.copytree(others[-1].path, others[-1].path.with_name(f"copy{len(others)}"))
    others.insert(1, Other("tcp://127.0.0.1:1000"))
    for _ in range(2):
        assert find_token("tcp://127.0.0.1:1000") == others[1].token


@posix
def test_a_token_that_others_could_read_is_not_used() -> None:
    with ClusterDirectory() as directory:
        directory.publish("tcp://127.0.0.1:1000")
        (directory.path / "token").chmod(0o644)
        with pytest.raises(CommError, match="is no secret"):
            read_token(directory.path)
        with pytest.raises(CommError):
            find_token("tcp://127.0.0.1:1000")


@posix
def test_a_token_in_a_directory_that_others_can_open_is_not_used() -> None:
    with ClusterDirectory() as directory:
        directory.path.chmod(0o755)
        with pytest.raises(CommError, match="open to others"):
            read_token(directory.path)


@posix
def test_a_link_in_the_token_s_place_is_not_followed(tmp_path: Path) -> None:
    with ClusterDirectory() as directory:
        token = directory.path / "token"
        token.rename(tmp_path / "moved")
        token.symlink_to(tmp_path / "moved")
        with pytest.raises(CommError, match="there is no token"):
            read_token(directory.path)


@pytest.mark.parametrize("text", ["", "zz" * 32, "00" * 31, "00" * 33, "\xff" * 32])
def test_a_damaged_token_is_no_token(text: str) -> None:
    with ClusterDirectory() as directory:
        (directory.path / "token").write_text(text, encoding="latin-1")
        with pytest.raises(CommError, match="holds no token"):
            read_token(directory.path)


# --- sweeping --------------------------------------------------------------------------------------------------------


def test_what_a_killed_cluster_left_is_swept_away_by_the_next(others: list[Other]) -> None:
    dead, alive = Other(), Other()
    others += [dead, alive]
    dead.end(signal.SIGKILL)
    assert dead.path.exists()
    with ClusterDirectory() as directory:
        assert not dead.path.exists()
        assert read_token(alive.path) == alive.token
        assert directory.path.exists()


def test_sweeping_spares_the_living_this_process_included(others: list[Other]) -> None:
    others.append(Other())
    with ClusterDirectory() as directory:
        sweep()
        assert read_token(others[0].path) == others[0].token
        assert read_token(directory.path) == directory.token


def test_a_process_that_has_the_number_of_a_dead_one_is_not_taken_for_it(others: list[Other]) -> None:
    other = Other()
    others.append(other)
    record = other.path / "cluster.json"
    other.end(signal.SIGKILL)
    text = record.read_text().replace(str(other.process.pid), str(os.getpid()))
    record.write_text(text)
    sweep()
    assert not other.path.exists()


def test_a_cluster_that_another_container_would_not_see_is_spared(others: list[Other]) -> None:
    # Its process seems to be gone, but it holds its lock.
    other = Other()
    others.append(other)
    record = other.path / "cluster.json"
    record.write_text(record.read_text().replace(str(other.process.pid), "4000001"))
    sweep()
    assert other.path.exists()


def test_half_made_and_foreign_things_do_not_stop_a_sweep(root: Path) -> None:
    runtime_dir()
    (root / "stray file").touch()
    (root / "empty").mkdir()
    (root / "broken").mkdir()
    (root / "broken" / "cluster.json").write_text("{")
    sweep()
    assert sorted(path.name for path in root.iterdir()) == ["lock", "stray file"]


def test_many_clusters_can_be_made_and_removed_at_once(root: Path) -> None:
    failures: list[BaseException] = []

    def make() -> None:
        try:
            for _ in range(10):
                with ClusterDirectory() as directory:
                    assert read_token(directory.path) == directory.token
                    sweep()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=make) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert [path.name for path in root.iterdir()] == ["lock"]


def test_the_start_of_a_process_tells_it_from_the_next() -> None:
    mine = process_start(os.getpid())
    assert mine is not None
    assert mine == process_start(os.getpid())
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    assert process_start(child.pid) not in (None, mine)
    child.communicate(b"\n")
    assert process_start(child.pid) is None


def test_a_process_that_has_died_but_was_not_collected_has_ended() -> None:
    child = subprocess.Popen([sys.executable, "-c", "pass"])
    eventually(lambda: process_start(child.pid) is None)
    assert child.returncode is None
    child.wait()
