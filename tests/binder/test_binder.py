"""What Binder would make of this repository. repo2docker writes its Dockerfile without any Docker."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BINDER = ROOT / "binder"


@pytest.fixture(scope="module")
def dockerfile(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The Dockerfile for what git has of the repository: Binder gets nothing else."""
    copy = tmp_path_factory.mktemp("repository")
    files = subprocess.run(
        ["git", "ls-files", "-z", "binder", "notebooks", "pyproject.toml", "README.md"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split("\0")
    for name in filter(None, files):
        target = copy / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes((ROOT / name).read_bytes())
        target.chmod((ROOT / name).stat().st_mode)
    # It warns of what its own dependencies do; that is none of our business.
    run = subprocess.run(
        [sys.executable, "-m", "repo2docker", "--no-build", "--debug", str(copy)],
        capture_output=True,
        text=True,
        check=True,
    )
    return run.stdout + run.stderr


def test_python_is_pinned(dockerfile: str) -> None:
    assert re.search(r"Building conda environment for python=3\.1\d\b", dockerfile)
    assert "environment.yml" in dockerfile
    assert not (BINDER / "requirements.txt").exists(), "environment.yml would mask it"


def test_the_project_is_installed_after_its_files_are_there(dockerfile: str) -> None:
    assert dockerfile.index("COPY --chown=0:0 src/ ${REPO_DIR}/") < dockerfile.index("RUN ./binder/postBuild")
    assert "pip install '.[lab]'" in (BINDER / "postBuild").read_text()


def test_the_server_is_started_through_our_script(dockerfile: str) -> None:
    assert 'ENV R2D_ENTRYPOINT="${REPO_DIR}/binder/start"' in dockerfile


@pytest.mark.parametrize("script", ["postBuild", "start"])
def test_scripts_are_executable_in_git_and_have_no_mistakes_in_their_syntax(script: str) -> None:
    staged = subprocess.run(
        ["git", "ls-files", "-s", f"binder/{script}"], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout
    assert staged.startswith("100755 ")
    assert subprocess.run(["bash", "-n", BINDER / script], check=False).returncode == 0


@pytest.mark.parametrize(("limit", "threads"), [(None, "1"), ("0.5", "1"), ("1.0", "1"), ("2.5", "2"), ("lots", "1")])
def test_the_start_script_limits_threads_and_becomes_the_server(limit: str | None, threads: str) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "CPU_LIMIT"}
    if limit is not None:
        environment["CPU_LIMIT"] = limit
    code = "import os, sys; print(os.environ['OMP_NUM_THREADS'], os.getpid(), sys.argv[1:])"
    server = subprocess.Popen(
        [BINDER / "start", sys.executable, "-c", code, "one argument"],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    said, _ = server.communicate(timeout=30)
    assert said.split(maxsplit=2) == [threads, str(server.pid), "['one argument']\n"]


def test_the_settings_are_settings() -> None:
    settings = json.loads((BINDER / "overrides.json").read_text())
    assert all(":" in plugin and isinstance(values, dict) for plugin, values in settings.items())
