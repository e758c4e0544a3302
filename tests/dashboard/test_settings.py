from __future__ import annotations

import io

import pytest

from nbcluster.dashboard.settings import DashboardSettings, encode, read

SETTINGS = DashboardSettings(cluster_address="tcp://127.0.0.1:1", token=b"secret", tcp_sockets=[3], prefix="/foo")


def test_settings_arrive_as_they_were_sent_and_nothing_after_them_is_read() -> None:
    stream = io.BytesIO(encode(SETTINGS) + b"rest")
    assert read(stream) == SETTINGS
    assert stream.read() == b"rest"


@pytest.mark.parametrize("length", [0, 3, 10])
def test_a_cluster_that_ends_early_is_noticed(length: int) -> None:
    with pytest.raises(EOFError, match="ended"):
        read(io.BytesIO(encode(SETTINGS)[:length]))


def test_an_absurd_length_is_refused_before_it_is_read() -> None:
    with pytest.raises(ValueError, match="not what a cluster sends"):
        read(io.BytesIO(b"\xff\xff\xff\xff"))
