"""The main job: ``Client()`` in a cell, on a cluster that the Jupyter server owns."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import psutil
from playwright.sync_api import expect

from tests.support.browser import LabPage

CLIENT = "from nbcluster import Client\nclient = Client(n_workers=2, threads_per_worker=1)\nclient"
FIGURES = """import json, os, sys
import helper_beside
def where():
    import os, sys
    return os.getpid(), os.getcwd(), sys.executable
view = client.cluster.view
print(json.dumps({
    "pid": os.getpid(), "cwd": os.getcwd(), "cluster": client.cluster.engine.cluster_id,
    "workers": [w.pid for w in view.workers], "ran": client.submit(where, pure=False).result(),
    "executable": sys.executable, "doubled": client.submit(helper_beside.double, 21).result(),
}))
"""


def test_a_cell_attaches_to_a_cluster_of_the_server_and_keeps_it_when_run_again_or_restarted(
    lab_page: LabPage, screenshot: Callable[[str], Path]
) -> None:
    (lab_page.lab.root / "helper_beside.py").write_text("def double(x):\n    return 2 * x\n")
    lab_page.open_notebook(lab_page.lab.write_notebook("main_job.ipynb", [CLIENT, FIGURES]))
    lab_page.run_all(90)
    figures = json.loads(lab_page.text(1))
    assert figures["doubled"] == 42
    assert figures["ran"][0] in figures["workers"]
    assert figures["ran"][1:] == [figures["cwd"], figures["executable"]]
    ancestors = {parent.pid for parent in psutil.Process(figures["workers"][0]).parents()}
    assert figures["pid"] not in ancestors, "the workers are children of the kernel"
    assert lab_page.lab.process.pid in ancestors
    screenshot("main-job")

    lab_page.run_all(90)
    again = json.loads(lab_page.text(1))
    assert again["cluster"] == figures["cluster"]
    assert sorted(again["workers"]) == sorted(figures["workers"])

    lab_page.restart_kernel()
    lab_page.run_all(90)
    restarted = json.loads(lab_page.text(1))
    assert restarted["pid"] != figures["pid"]
    assert restarted["cluster"] == figures["cluster"]
    assert sorted(restarted["workers"]) == sorted(figures["workers"])


def test_what_a_task_prints_appears_in_the_cell_that_submitted_it(run_notebook: Callable[..., LabPage]) -> None:
    notebook = run_notebook(
        CLIENT,
        "future = client.submit(print, 'from a task')\nfuture.result()",
        timeout=90,
    )
    expect(notebook.cell(1)).to_contain_text("from a task")
