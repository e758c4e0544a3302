from __future__ import annotations

import pytest

from nbcluster.snapshot import ClusterView, OwnerView, TaskCounts, WorkerView
from nbcluster.types import Status
from nbcluster.widgets.figures import (
    STATUS_TEXTS,
    figures_of,
    is_link,
    is_ready,
    lease_text,
    owner_text,
    progress_of,
    share,
    snippet,
    tasks_text,
)


def cluster(*workers: WorkerView, status: Status = Status.RUNNING) -> ClusterView:
    return ClusterView(id="x", name="x", status=status, workers=list(workers), address="tcp://h:1")


def test_only_workers_that_can_run_tasks_count() -> None:
    figures = figures_of(
        cluster(
            WorkerView(name=0, status=Status.RUNNING, nthreads=2, memory=10, memory_limit=100, cpu=50.0),
            WorkerView(name=1, status=Status.PAUSED, nthreads=2, memory=20, memory_limit=100, cpu=150.0),
            WorkerView(name=2, status=Status.STARTING, nthreads=2, memory=40, memory_limit=100, cpu=99.0),
        )
    )
    assert (figures.workers, figures.threads, figures.memory, figures.memory_limit) == (2, 4, 30, 200)
    assert figures.cpu == 50.0


def test_one_worker_without_a_limit_means_no_limit() -> None:
    figures = figures_of(
        cluster(
            WorkerView(name=0, status=Status.RUNNING, memory_limit=100),
            WorkerView(name=1, status=Status.RUNNING),
        )
    )
    assert figures.memory_limit is None


def test_no_workers_are_no_trouble() -> None:
    figures = figures_of(cluster())
    assert (figures.workers, figures.cpu, figures.memory_limit) == (0, 0.0, None)


def test_tasks_are_grouped() -> None:
    progress = progress_of(
        TaskCounts(released=9, waiting=1, queued=2, no_worker=3, processing=4, memory=5, erred=6, done=7)
    )
    assert dict(progress.groups) == {"finished": 5, "failed": 6, "running": 4, "waiting": 6}
    assert progress.total == 21


@pytest.mark.parametrize(
    ("tasks", "text"),
    [
        (TaskCounts(), "none yet"),
        (TaskCounts(done=1234), "none now, 1,234 done so far"),
        (TaskCounts(memory=1, erred=1, queued=2), "2 of 4"),
    ],
)
def test_tasks_in_words(tasks: TaskCounts, text: str) -> None:
    assert tasks_text(tasks) == text


@pytest.mark.parametrize(
    ("owner", "text"),
    [
        (None, ""),
        (OwnerView(kind="notebook", path="a/b.ipynb"), "b.ipynb"),
        (OwnerView(kind="kernel", kernel_name="python3"), "Kernel python3"),
        (OwnerView(kind="process"), "This program's own"),
        (OwnerView(kind="none"), "Kept until shut down"),
    ],
)
def test_owners_in_words(owner: OwnerView | None, text: str) -> None:
    assert owner_text(owner) == text


@pytest.mark.parametrize(("left", "text"), [(95, "1:35"), (3700, "1:01:40"), (0, "0:00"), (-5, "0:00")])
def test_a_lease_in_words(left: float, text: str) -> None:
    assert lease_text(OwnerView(kind="kernel", lease=1000.0 + left), 1000.0) == f"ends in {text}"


def test_no_lease_no_words() -> None:
    assert lease_text(OwnerView(kind="kernel"), 0.0) == ""
    assert lease_text(None, 0.0) == ""


def test_a_share_is_between_nothing_and_all() -> None:
    assert [share(1, 4), share(5, 4), share(-1, 4), share(1, 0), share(1, None)] == [25, 100, 0, 0, 0]


def test_links_lead_to_pages() -> None:
    assert is_link("http://127.0.0.1:8787/status")
    assert is_link("/user/jo/nbcluster/dashboard/x/status")
    assert not any(is_link(link) for link in ("", "//host/", "javascript:x", "status", "file:///etc"))


def test_every_state_has_a_word() -> None:
    assert set(STATUS_TEXTS) == set(Status)


def test_a_cluster_is_ready_between_its_start_and_its_end() -> None:
    ready = {status for status in Status if is_ready(cluster(status=status))}
    assert ready == {Status.RUNNING, Status.PAUSED, Status.RETIRING, Status.BROKEN}


def test_the_snippet_connects() -> None:
    assert "Client('tcp://h:1')" in snippet(cluster())
