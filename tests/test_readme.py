from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_readme_begins_with_the_two_commands() -> None:
    first = re.search(r"```sh\n(.*?)```", README, re.DOTALL)
    assert first
    assert [line.split("#")[0].strip() for line in first[1].splitlines()] == ["make lab", "make test"]
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert {"lab:", "test:"} <= {line.split(" ")[0] for line in makefile.splitlines()}


def test_the_script_in_the_readme_runs(tmp_path: Path) -> None:
    script = next(block for block in re.findall(r"```python\n(.*?)```", README, re.DOTALL) if "with " in block)
    file = tmp_path / "script.py"
    file.write_text(script, encoding="utf-8")
    run = subprocess.run([sys.executable, file], capture_output=True, text=True, timeout=60, check=False)
    assert run.returncode == 0, run.stderr
    assert re.fullmatch(r"the luckiest of eight: 35\d{4}\n", run.stdout)
    assert run.stderr == ""


def test_links_lead_to_files_that_are_there() -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)\)", README)
    assert links
    assert all((ROOT / link).exists() for link in links)
