"""Write the page that maps the peer's public API to the tests that show it here.

`python -m tools.compare_api` runs the contract tests on nbcluster, notes which test uses what, and writes
`docs/api.md`. What no test uses is missing, unless `tests/contracts/not_here.py` gives a reason.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

from tests.contracts.not_here import NOT_HERE
from tests.contracts.peer_api import peer_api

ROOT = Path(__file__).parent.parent
TARGET = ROOT / "docs" / "api.md"

HEADER = """\
# The API, test by test

Every public name of dask.distributed {version}, with its members and keywords, and a test that shows what it does in
nbcluster. The tests run against both packages, unless [`differences.py`](../tests/contracts/differences.py) says what
is different and why.
`python -m tools.compare_api` writes this page: it runs the tests and notes what each of them uses.

{shown} of {total} are shown; {missing} are not there yet, and {left_out} are left out, with a reason each, below.

"""

Usage = dict[str, dict[str, list[str]]]


def main() -> int:
    """Run the tests, write the page, and say what is missing."""
    usage, passed = measure()
    page, missing = render(usage)
    TARGET.write_text(page)
    for name in missing:
        print(f"missing: {name}")
    print(f"{TARGET.relative_to(ROOT)}: {len(missing)} missing{'' if passed else '; some tests failed'}")
    return 0 if passed else 1


def measure() -> tuple[Usage, bool]:
    """Which test uses what, and whether all of them passed."""
    with tempfile.NamedTemporaryFile(suffix=".json") as file:
        run = subprocess.run(
            [
                *(sys.executable, "-m", "pytest", "-q", "-p", "tests.contracts.usage", f"--usage={file.name}"),
                *("tests/contracts", "-k", "not distributed] and not distributed- and not nbcluster-processes"),
            ],
            cwd=ROOT,
            check=False,
        )
        usage: Usage = json.loads(Path(file.name).read_text())
    return usage, run.returncode == 0


def render(usage: Usage) -> tuple[str, list[str]]:
    """The page, and the names that no test shows."""
    breadth = Counter(test for by_key in usage.values() for test in set().union(*by_key.values()))
    rows: dict[str, list[str]] = defaultdict(list)
    missing: list[str] = []
    shown = total = left_out = 0
    for name, keyword, label in entries():
        owner = name.partition(".")[0]
        total += 1
        tests = usage.get(name, {}).get(keyword, [])
        if own_reason(name, keyword) is not None:
            left_out += 1
        elif tests:
            shown += 1
            rows[owner].append(f"| `{label}` | {link(_plainest(tests, name, keyword, breadth))} |")
        elif reason_for(name, keyword) is not None:
            left_out += 1
        else:
            missing.append(label)
            rows[owner].append(f"| `{label}` | not there yet |")
    parts = [
        HEADER.format(version=version("distributed"), shown=shown, total=total, missing=len(missing), left_out=left_out)
    ]
    for owner, lines in rows.items():
        parts.append(f"## {owner}\n\n| | shown by |\n|---|---|\n" + "\n".join(lines) + "\n\n")
    parts.append("## Left out\n\n| | why |\n|---|---|\n")
    parts += [f"| `{name}` | {reason} |\n" for name, reason in sorted(NOT_HERE.items())]
    return "".join(parts), missing


def entries() -> Iterator[tuple[str, str, str]]:
    """All that the peer has: name, keyword (or nothing), and how it is shown."""
    for name, keywords in peer_api().items():
        yield name, "", name
        for keyword in keywords:
            yield name, keyword, f"{name}({keyword}=)"


def own_reason(name: str, keyword: str) -> str | None:
    """Why it is left out though a test may use it: a keyword that is accepted and ignored is not shown by that."""
    return NOT_HERE.get(f"{name}({keyword})" if keyword else name)


def reason_for(name: str, keyword: str) -> str | None:
    """Why it is left out, if it is: by itself or with what it belongs to."""
    return own_reason(name, keyword) or NOT_HERE.get(name) or NOT_HERE.get(name.partition(".")[0])


def _plainest(tests: list[str], name: str, keyword: str, breadth: Counter[str]) -> str:
    """The test that is most about it: by its name, else by using little else."""
    words = set((keyword or name.rpartition(".")[2]).lower().strip("_").split("_"))

    def rank(test: str) -> tuple[int, int, str]:
        title = test.rpartition("::")[2].lower()
        return -sum(word in title for word in words), breadth[test], test

    return min(tests, key=rank)


def link(test: str) -> str:
    """A link to a test's file, with its name as a sentence."""
    path, _, title = test.partition("::")
    sentence = title.removeprefix("test_").replace("_", " ")
    return f"[{sentence}](../{path})"


if __name__ == "__main__":
    sys.exit(main())
