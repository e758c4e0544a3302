from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from tests.contracts.gates import Gate
from tests.support.eventually import eventually


def busy(gate: Gate, seconds: float) -> float:
    """Runs for so long, whatever else the machine does."""
    gate.visitors.add()
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        sum(range(1000))
    return seconds


def names(tree: dict[str, Any]) -> set[str]:
    found = {tree["description"]["name"]}
    for child in tree["children"].values():
        found |= names(child)
    return found


def test_a_profile_is_a_tree_of_calls(api: Any, client: Any, gate: Gate) -> None:
    client.submit(busy, gate, 0.3, pure=False).result()
    # The peer tells what it has sampled after a second.
    eventually(lambda: "busy" in names(client.profile()), "samples of the function")
    profile = client.profile()
    assert set(profile) == {"count", "identifier", "description", "children"}
    assert sum(child["count"] for child in profile["children"].values()) <= profile["count"]
    eventually(lambda: client.profile(key="busy")["count"], "samples of the function")
    assert client.profile(key="no-such-function")["count"] == 0


def test_a_profile_can_be_told_by_worker(api: Any, client: Any, gate: Gate) -> None:
    first, second = client.nthreads()
    client.submit(busy, gate, 0.2, pure=False, workers=[first]).result()
    by_worker = eventually(
        lambda: (found := client.profile(key="busy", merge_workers=False)).get(first, {}).get("count") and found,
        "samples",
    )
    assert set(by_worker) <= {first, second}
    assert by_worker[first]["count"] > 0
    assert client.profile(key="busy", workers=[first])["count"] >= by_worker[first]["count"]


def test_a_profile_is_of_a_stretch_of_time(api: Any, client: Any, gate: Gate) -> None:
    client.submit(busy, gate, 0.2, pure=False).result()
    assert client.profile(start=time.time() + 1000)["count"] == 0


def test_a_profile_can_have_an_end(api: Any, client: Any, gate: Gate) -> None:
    before = time.time()
    client.submit(busy, gate, 0.2, pure=False).result()
    eventually(lambda: client.profile(key="busy", start=before, stop=time.time() + 1000)["count"], "samples")


@pytest.mark.differs("profiles end")
def test_what_was_sampled_later_is_not_in_a_profile(api: Any, client: Any, gate: Gate) -> None:
    before = time.time()
    client.submit(busy, gate, 0.2, pure=False).result()
    eventually(lambda: client.profile(key="busy", start=before)["count"], "samples")
    assert client.profile(stop=before - 500)["count"] == 0
    assert client.profile(start=before - 1000, stop="500 s")["count"] == 0


def test_a_profile_can_be_plotted(api: Any, client: Any, gate: Gate, tmp_path: Path) -> None:
    client.submit(busy, gate, 0.2, pure=False).result()
    path = tmp_path / "profile.html"
    eventually(lambda: client.profile(key="busy")["count"], "samples of the function")
    profile, figure = client.profile(plot=True, filename=str(path))
    assert profile["count"] > 0
    assert "<html" in path.read_text()
    assert figure.renderers
    assert type(figure).__name__ == "figure"


@pytest.mark.differs("profile of the scheduler")
def test_the_profile_of_the_scheduler_and_of_event_loops(api: Any, client: Any, gate: Gate) -> None:
    assert client.profile(scheduler=True)["count"] >= 0
    client.submit(busy, gate, 0.3, pure=False).result()
    assert client.profile(scheduler=True)["count"] > 0
    assert client.profile(server=True)["count"] > 0
    assert "busy" not in names(client.profile(server=True))


@pytest.mark.differs("bad input")
def test_wrong_arguments_of_profiles_are_refused(api: Any, client: Any) -> None:
    with pytest.raises(ValueError, match="plot='maybe'"):
        client.profile(plot="maybe")
    with pytest.raises(ValueError, match="merge_workers=False has no plot"):
        client.profile(plot=True, merge_workers=False)
    with pytest.raises(TypeError, match="key=3"):
        client.profile(key=3)
    with pytest.raises(TypeError, match=r"start=\[\]"):
        client.profile(start=[])
    with pytest.raises(ValueError, match="'nobody'"):
        client.profile(workers=["nobody"])
