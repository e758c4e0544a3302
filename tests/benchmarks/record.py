"""What was measured last: ``docs/performance.json``, and the table and the plot that are made of it."""

from __future__ import annotations

import datetime
import importlib.metadata
import json
import os
import platform
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.benchmarks.figures import Report, from_plain, to_plain
from tests.benchmarks.plot import plot
from tests.benchmarks.table import markdown_table

DOCS = Path(__file__).parents[2] / "docs"
RECORDED = DOCS / "performance.json"
PACKAGES = ("nbcluster", "distributed", "dask", "loky", "numpy", "msgspec", "uvloop")
BEGIN, END = "<!-- figures: `make bench ARGS=--record` writes them -->", "<!-- end of figures -->"


@dataclass(frozen=True)
class Run:
    """All figures of one run, and where and when it was."""

    rows: Report
    machine: dict[str, str]
    versions: dict[str, str]
    date: str

    @classmethod
    def of(cls, rows: Report) -> Run:
        """Now, here."""
        machine = {
            "processor": _processor(),
            "cpus": str(os.cpu_count()),
            "memory": f"{psutil.virtual_memory().total / 2**30:.0f} GiB",
            "system": f"{platform.system()} {platform.release().split('-')[0]}",
        }
        versions = {"Python": platform.python_version()}
        for package in PACKAGES:
            try:
                versions[package] = importlib.metadata.version(package)
            except importlib.metadata.PackageNotFoundError:
                continue
        return cls(rows, machine, versions, datetime.datetime.now(datetime.timezone.utc).date().isoformat())

    def machine_line(self) -> str:
        """For people."""
        m = self.machine
        versions = ", ".join(f"{name} {version}" for name, version in self.versions.items())
        return f"{m['processor']}, {m['cpus']} CPUs, {m['memory']}, {m['system']}; {versions}; {self.date}"


def save(run: Run, path: Path) -> None:
    """As JSON."""
    plain = {"date": run.date, "machine": run.machine, "versions": run.versions, "figures": to_plain(run.rows)}
    path.write_text(json.dumps(plain, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def load(path: Path) -> Run:
    """What ``save`` wrote."""
    plain = json.loads(path.read_text(encoding="utf-8"))
    return Run(from_plain(plain["figures"]), plain["machine"], plain["versions"], plain["date"])


def write(run: Run, docs: Path = DOCS) -> None:
    """Renew the JSON, and of what it holds (figures are rounded there) the table in the page and the plot."""
    save(run, docs / "performance.json")
    run = load(docs / "performance.json")
    page = docs / "performance.md"
    text = between(page.read_text(encoding="utf-8"), f"{run.machine_line()}\n\n{markdown_table(run.rows)}")
    page.write_text(text, encoding="utf-8")
    (docs / "images").mkdir(exist_ok=True)
    (docs / "images" / "performance.svg").write_text(plot(run.rows), encoding="utf-8")


def between(page: str, content: str) -> str:
    """The page with new content between its markers."""
    head, found, rest = page.partition(BEGIN)
    _, ended, tail = rest.partition(END)
    if not found or not ended:
        raise ValueError(f"the page has no {BEGIN!r} followed by {END!r}")
    return f"{head}{BEGIN}\n\n{content}\n\n{END}{tail}"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (FileNotFoundError, StopIteration):
        return platform.processor() or platform.machine()
