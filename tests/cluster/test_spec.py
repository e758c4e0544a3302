from __future__ import annotations

import logging
import os
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from nbcluster.cluster import spec as module
from nbcluster.cluster.spec import ClusterSpec, make_spec


@pytest.fixture(autouse=True)
def _eight_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "cpu_count", lambda: 8)


def test_the_defaults_use_the_machine_once() -> None:
    spec = make_spec()
    assert (spec.n_workers, spec.threads_per_worker, spec.processes) == (4, 2, True)
    assert (spec.host, spec.protocol, spec.scheduler_port) == ("127.0.0.1", "tcp", 0)
    assert (spec.memory_limit, spec.dashboard_address, spec.dashboard_prefix) == ("auto", [":8787"], "")
    assert spec.log_level == logging.WARNING
    assert len(spec.name) == 8


def test_it_carries_this_interpreter_and_its_surroundings() -> None:
    spec = make_spec()
    assert (spec.executable, spec.cwd) == (sys.executable, os.getcwd())
    assert all(spec.sys_path)
    assert spec.environment == dict(os.environ)


def test_each_cluster_has_an_id_and_a_name_of_its_own() -> None:
    assert make_spec().id != make_spec().id
    assert make_spec().name != make_spec().name
    assert make_spec(name="").name == ""


def test_it_travels() -> None:
    spec = make_spec(resources={"GPU": 1}, env={"A": "1"}, memory_limit=0.5, local_directory=Path("/scratch"))
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(spec), type=ClusterSpec) == spec
    assert spec.local_directory == "/scratch"


@pytest.mark.parametrize(
    ("keywords", "where"),
    [
        ({}, ("127.0.0.1", "tcp")),
        ({"processes": False}, ("127.0.0.1", "inproc")),
        ({"processes": False, "scheduler_port": 8786}, ("127.0.0.1", "tcp")),
        ({"processes": False, "host": "127.0.0.1"}, ("127.0.0.1", "tcp")),
        ({"processes": False, "interface": "lo"}, ("127.0.0.1", "tcp")),
        ({"processes": False, "protocol": "tcp"}, ("127.0.0.1", "tcp")),
        ({"processes": False, "protocol": "inproc://"}, ("127.0.0.1", "inproc")),
        ({"host": "tcp://127.0.0.2"}, ("127.0.0.2", "tcp")),
        ({"host": "localhost", "protocol": "tcp://"}, ("localhost", "tcp")),
    ],
    ids=str,
)
def test_where_it_listens(keywords: dict[str, Any], where: tuple[str, str]) -> None:
    spec = make_spec(**keywords)
    assert (spec.host, spec.protocol) == where


@pytest.mark.parametrize(
    ("address", "addresses"),
    [
        (None, None),
        (":0", [":0"]),
        ("", [""]),
        (8787, [":8787"]),
        ("localhost:1,127.0.0.1:2", ["localhost:1", "127.0.0.1:2"]),
        (["127.0.0.1:1", 2], ["127.0.0.1:1", ":2"]),
    ],
)
def test_dashboard_addresses(address: Any, addresses: Any) -> None:
    assert make_spec(dashboard_address=address).dashboard_address == addresses


def test_the_dashboards_prefix() -> None:
    assert make_spec(service_kwargs={"dashboard": {"prefix": "/foo"}}).dashboard_prefix == "/foo"
    assert make_spec(service_kwargs={}).dashboard_prefix == ""
    assert make_spec(service_kwargs={"dashboard": {}}).dashboard_prefix == ""


@pytest.mark.parametrize(
    ("silence_logs", "level"),
    [
        (logging.ERROR, logging.ERROR),
        ("debug", logging.DEBUG),
        (True, logging.WARNING),
        (False, None),
        (None, None),
        (0, None),
    ],
)
def test_silence_logs_is_a_level_or_nothing(silence_logs: Any, level: int | None) -> None:
    assert make_spec(silence_logs=silence_logs).log_level == level


def test_the_environment_is_added_to_this_ones() -> None:
    spec = make_spec(env={"NBCLUSTER_TEST": "1"})
    assert spec.environment == {**os.environ, "NBCLUSTER_TEST": "1"}


@pytest.mark.parametrize(
    ("keyword", "value", "replacement"),
    [("ip", "127.0.0.2", "host="), ("diagnostics_port", 8788, "dashboard_address="), ("start", True, "no effect")],
)
def test_deprecated_keywords_are_taken_with_a_warning(keyword: str, value: Any, replacement: str) -> None:
    with pytest.warns(DeprecationWarning, match=replacement):
        spec = make_spec(**{keyword: value})
    if keyword == "ip":
        assert spec.host == "127.0.0.2"
    if keyword == "diagnostics_port":
        assert spec.dashboard_address == [":8788"]


@pytest.mark.parametrize(
    ("keyword", "value", "error", "allowed"),
    [
        ("n_workers", -1, ValueError, "at least 0"),
        ("n_workers", 1.5, TypeError, "whole number"),
        ("n_workers", True, TypeError, "whole number"),
        ("threads_per_worker", 0, ValueError, "at least 1"),
        ("threads_per_worker", "2", TypeError, "whole number"),
        ("processes", 1, TypeError, "True .processes. nor False"),
        ("memory_limit", "abc", ValueError, "1GiB"),
        ("memory_limit", True, TypeError, "fraction"),
        ("scheduler_port", -1, ValueError, "65535"),
        ("scheduler_port", "8786", ValueError, "65535"),
        ("host", "", ValueError, "must be encrypted"),
        ("host", "10.0.0.1", ValueError, "reached from other machines"),
        ("protocol", "http", ValueError, "tcp, tls, inproc"),
        ("interface", "nowhere0", ValueError, "there are .*lo"),
        ("host", 5, TypeError, "string"),
        ("name", 5, TypeError, "string"),
        ("dashboard_address", True, TypeError, "':8787'"),
        ("dashboard_address", 1.5, TypeError, "':8787'"),
        ("dashboard_address", [None], TypeError, "':8787'"),
        ("service_kwargs", {"x": {}}, ValueError, "prefix"),
        ("service_kwargs", {"dashboard": {"x": 1}}, ValueError, "prefix"),
        ("service_kwargs", {"dashboard": 5}, TypeError, "prefix"),
        ("service_kwargs", ["dashboard"], TypeError, "prefix"),
        ("resources", {"GPU": "one"}, TypeError, "'GPU': 1"),
        ("resources", {1: 1}, TypeError, "'GPU': 1"),
        ("resources", [("GPU", 1)], TypeError, "'GPU': 1"),
        ("silence_logs", "loud", ValueError, "logging.ERROR"),
        ("silence_logs", 1.5, ValueError, "logging.ERROR"),
        ("env", ["A=1"], TypeError, "dict"),
        ("blocked_handlers", ["feeed"], ValueError, "feed, .*run_function"),
        ("blocked_handlers", "feed", TypeError, "list of names"),
        ("blocked_handlers", [1], TypeError, "list of names"),
        ("worker_class", object, TypeError, "nbcluster.Nanny .processes. nor nbcluster.Worker .threads."),
        ("worker_class", "Sub", TypeError, "nbcluster.Nanny"),
        ("scheduler_kwargs", ["port"], TypeError, "dict"),
        ("scheduler_sync_interval", 0, ValueError, "above 0"),
        ("scheduler_sync_interval", "soon", ValueError, "2 min"),
        ("worker_dashboard_address", 1.5, TypeError, "':8787'"),
        ("lifetime", "soon", ValueError, "2 min"),
        ("lifetime_restart", 1, TypeError, "True nor False"),
        ("death_timeout", -1, ValueError, "not negative"),
        ("preload", 5, TypeError, "list of texts"),
        ("preload_argv", [5], TypeError, "list of texts"),
        ("services", {"x": 1}, TypeError, "service_kwargs"),
        ("worker_services", {"x": 1}, TypeError, "worker_dashboard_address"),
        ("nthreads", 2, TypeError, "threads_per_worker"),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_a_wrong_argument_is_named_with_its_value_and_what_is_allowed(
    keyword: str, value: Any, error: type[Exception], allowed: str
) -> None:
    with pytest.raises(error, match=allowed) as caught:
        make_spec(**{keyword: value})
    assert str(caught.value).startswith(f"{keyword}={value!r}")


def test_an_amount_out_of_range_is_named() -> None:
    with pytest.raises(ValueError, match=r"resources\['GPU'\]=-1 is out of range"):
        make_spec(resources={"GPU": -1})


def test_inproc_is_not_for_processes() -> None:
    with pytest.raises(ValueError, match="processes=False"):
        make_spec(protocol="inproc")


def test_a_typing_error_is_named_with_what_was_probably_meant() -> None:
    with pytest.raises(TypeError, match="'n_wokers'; did you mean 'n_workers'"):
        make_spec(n_wokers=2)
    with pytest.raises(TypeError, match=r"'zzz'; it takes .*memory_limit, .*n_workers"):
        make_spec(zzz=2)


def test_what_the_peer_knows_and_we_do_not_yet_is_taken_if_it_is_the_default() -> None:
    make_spec(security=None, services={}, worker_services=None, scheduler_sync_interval=1)
