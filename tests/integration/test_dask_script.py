"""A script that computes collections of dask's: on the workers, and without the peer's package."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SCRIPT = """
import os
import sys
from nbcluster import Client

client = Client(n_workers=2, threads_per_worker=1, dashboard_address=None)
assert "dask" not in sys.modules

import dask
import dask.array as da

def where(block):
    return block * 0 + os.getpid()

pids = da.ones(8, chunks=2).map_blocks(where, dtype=int).compute()
assert os.getpid() not in pids
kept = dask.persist(da.arange(8, chunks=2))[0]
assert (kept + 1).sum().compute() == 36
assert client.compute(kept.sum()).result() == 28
assert "distributed" not in sys.modules
client.close()
assert dask.config.get("scheduler", None) is None
print("well done")
"""


def test_a_script_computes_arrays_on_its_cluster(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    done = subprocess.run(
        [sys.executable, "-W", "error", str(script)], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "well done\n", "")
