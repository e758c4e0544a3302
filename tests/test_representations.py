"""What people look at says what it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import nbcluster
from nbcluster.diagnostics import MemorySampler


@pytest.mark.parametrize(
    ("thing", "text"),
    [
        (nbcluster.PipInstall(["numpy", "scipy"]), "<PipInstall: numpy, scipy>"),
        (nbcluster.CondaInstall(["numpy"]), "<CondaInstall: numpy>"),
        (nbcluster.InstallPlugin(breakpoint), "<InstallPlugin: breakpoint>"),
        (nbcluster.Environ({"TOKEN": "secret"}), "<Environ: TOKEN>"),
        (nbcluster.UploadFile(__file__), f"<UploadFile: {Path(__file__).name}>"),
        (nbcluster.UploadDirectory(Path(__file__).parent / "binder"), "<UploadDirectory: binder>"),
        (nbcluster.performance_report(filename="a.html"), "<performance_report: a.html>"),
        (MemorySampler(), "<MemorySampler: no samples yet>"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_is_made_says_what_it_is(thing: Any, text: str) -> None:
    assert repr(thing) == text


def test_versions_of_tls_are_named() -> None:
    assert repr(nbcluster.Security(require_encryption=False)) == (
        "Security(require_encryption=False, tls_min_version=TLSv1_2)"
    )
