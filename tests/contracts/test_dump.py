from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.contracts.gates import inc


def test_the_state_of_a_cluster_goes_into_a_file(api: Any, client: Any, tmp_path: Path) -> None:
    future = client.submit(inc, 1, pure=False)
    future.result()
    client.dump_cluster_state(str(tmp_path / "dump"))
    state = msgspec.msgpack.decode(gzip.decompress((tmp_path / "dump.msgpack.gz").read_bytes()))
    assert set(state) == {"scheduler", "workers", "versions"}
    assert state["scheduler"]["tasks"][future.key]["state"] == "memory"
    assert set(state["workers"]) == set(client.nthreads())


def test_the_state_can_be_read_by_people(api: Any, client: Any, tmp_path: Path) -> None:
    yaml = pytest.importorskip("yaml")
    client.submit(inc, 1, pure=False).result()
    client.dump_cluster_state(str(tmp_path / "dump"), format="yaml", exclude=["versions"])
    state = yaml.load((tmp_path / "dump.yaml").read_text(), Loader=getattr(yaml, "CLoader", yaml.Loader))
    assert {"scheduler", "workers"} <= set(state)


@pytest.mark.differs("bad input")
def test_wrong_arguments_of_dumps_are_refused(api: Any, client: Any, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="format='xml'"):
        client.dump_cluster_state(str(tmp_path / "dump"), format="xml")
    with pytest.raises(ValueError, match="write_from_scheduler=True"):
        client.dump_cluster_state(str(tmp_path / "dump"), write_from_scheduler=True)
    with pytest.raises(TypeError, match="exclude='story'"):
        client.dump_cluster_state(str(tmp_path / "dump"), exclude="story")
