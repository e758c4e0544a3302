from __future__ import annotations

from typing import Any

import pytest

from nbcluster.cluster.sizing import Size, check_memory_limit, choose_size, default_size, memory_per_worker

GIB = 2**30


@pytest.mark.parametrize(
    ("cpus", "size"),
    [
        (1, (1, 1)),
        (2, (2, 1)),
        (3, (3, 1)),
        (4, (4, 1)),
        (5, (5, 1)),
        (6, (3, 2)),
        (7, (7, 1)),
        (8, (4, 2)),
        (9, (3, 3)),
        (12, (4, 3)),
        (13, (13, 1)),
        (16, (4, 4)),
        (24, (6, 4)),
        (32, (8, 4)),
        (64, (8, 8)),
        (128, (16, 8)),
    ],
)
def test_cpus_become_processes_and_threads(cpus: int, size: tuple[int, int]) -> None:
    assert default_size(cpus) == size


@pytest.mark.parametrize("cpus", range(1, 200))
def test_every_cpu_gets_exactly_one_thread(cpus: int) -> None:
    size = default_size(cpus)
    assert size.n_workers * size.threads_per_worker == cpus
    assert size.n_workers >= size.threads_per_worker


@pytest.mark.parametrize(
    ("processes", "n_workers", "threads", "size"),
    [
        (True, None, None, (4, 2)),
        (False, None, None, (1, 8)),
        (True, None, 2, (4, 2)),
        (True, None, 3, (2, 3)),
        (True, None, 16, (1, 16)),
        (False, None, 3, (1, 3)),
        (True, 2, None, (2, 4)),
        (True, 3, None, (3, 3)),
        (True, 8, None, (8, 1)),
        (True, 100, None, (100, 1)),
        (False, 2, None, (2, 4)),
        (True, 0, None, (0, 1)),
        (True, 0, 5, (0, 5)),
        (True, 3, 7, (3, 7)),
    ],
)
def test_what_was_not_said_is_filled_in(processes: bool, n_workers: Any, threads: Any, size: tuple[int, int]) -> None:
    assert choose_size(8, processes, n_workers, threads) == Size(*size)


@pytest.mark.parametrize(
    ("value", "limit"),
    [
        ("auto", "auto"),
        (None, None),
        (0, None),
        (0.0, None),
        ("0", None),
        (0.5, 0.5),
        (1.0, 1.0),
        ("25%", 0.25),
        (" 100 % ", 1.0),
        (1, 1),
        (GIB, GIB),
        ("1GiB", GIB),
        ("2e9", 2 * 10**9),
        ("512 MiB", GIB // 2),
    ],
)
def test_a_memory_limit_goes_by_its_type(value: Any, limit: Any) -> None:
    assert check_memory_limit(value) == limit
    assert type(check_memory_limit(value)) is type(limit)


@pytest.mark.parametrize(
    ("value", "error"),
    [
        (True, TypeError),
        (False, TypeError),
        ([GIB], TypeError),
        (b"1GiB", TypeError),
        (-1, ValueError),
        (-0.5, ValueError),
        (1.5, ValueError),
        (float("nan"), ValueError),
        (float("inf"), ValueError),
        ("", ValueError),
        ("lots", ValueError),
        ("-1GiB", ValueError),
        ("0%", ValueError),
        ("101%", ValueError),
        ("-5%", ValueError),
        ("x%", ValueError),
        ("nan%", ValueError),
    ],
    ids=repr,
)
def test_any_other_memory_limit_is_refused_with_what_is_allowed(value: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match=r"memory_limit=.*(give|like)"):
        check_memory_limit(value)


@pytest.mark.parametrize(
    ("limit", "n_workers", "share"),
    [
        (None, 4, None),
        ("auto", 4, 2 * GIB),
        ("auto", 3, 8 * GIB // 3),
        ("auto", 0, 8 * GIB),
        (0.25, 4, 2 * GIB),
        (0.25, 1, 2 * GIB),
        (1.0, 4, 8 * GIB),
        (GIB, 4, GIB),
        (100 * GIB, 1, 8 * GIB),
    ],
)
def test_each_worker_gets_its_share(limit: Any, n_workers: int, share: int | None) -> None:
    assert memory_per_worker(limit, 8 * GIB, n_workers) == share
