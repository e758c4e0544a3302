from __future__ import annotations

import platform

from nbcluster import __version__, versions


def test_what_a_process_runs_on() -> None:
    assert versions.host()["python"].startswith(platform.python_version().rstrip("+abrc"))
    assert versions.packages()["nbcluster"] == __version__


def test_packages_are_known_by_the_names_they_are_imported_by() -> None:
    found = versions.packages(["yaml", "no_such_package"])
    assert found["yaml"]
    assert found["no_such_package"] is None
