"""``python -m nbcluster.start MODULE ARGUMENT…``: begins a process of ours.

The module's ``main`` gets the arguments, and calls :func:`nbcluster.lean.ready` when it has imported everything. What
it returns is the exit code.
"""

from __future__ import annotations

import importlib
import sys

from nbcluster import lean


def main() -> None:
    """Run the module that the command line names."""
    lean.begin()
    _, module, *arguments = sys.argv
    lean.run(importlib.import_module(module).main, *arguments)


if __name__ == "__main__":
    main()
