from __future__ import annotations

import logging
import os
import re
from typing import Any

import pytest

from tests.contracts.gates import Gate, at_gate, inc
from tests.support.eventually import eventually

# --- making ---


def test_it_has_the_workers_that_were_asked_for(cluster: Any) -> None:
    assert len(cluster.workers) == 2
    assert set(cluster.workers) == {0, 1}
    assert cluster.plan == cluster.requested == cluster.observed == {0, 1}
    assert str(cluster.status).endswith("running")


def test_its_workers_tell_who_they_are(api: Any, cluster: Any) -> None:
    for name, worker in cluster.workers.items():
        assert worker.name == name
        assert worker.status == api.Status.running
    assert {worker.address for worker in cluster.workers.values()} == set(cluster.scheduler_info["workers"])


@pytest.mark.differs("workers of a cluster")
def test_what_they_do_not_tell_is_named(api: Any, cluster: Any) -> None:
    with pytest.raises(AttributeError, match="no 'data'; it has name, address"):
        _ = cluster.workers[0].data


def test_its_repr_has_name_address_workers_and_threads(cluster: Any) -> None:
    pattern = rf"LocalCluster\({cluster.name}, '{re.escape(cluster.scheduler_address)}', workers=2, threads=2(, .*)?\)"
    assert re.fullmatch(pattern, repr(cluster))


def test_its_repr_has_the_memory_if_it_is_limited(own: Any) -> None:
    assert repr(own(n_workers=1, memory_limit="1GiB")).endswith(", workers=1, threads=1, memory=1.00 GiB)")
    assert repr(own(n_workers=1, memory_limit=None)).endswith(", workers=1, threads=1)")


def test_the_address_of_threads_is_in_this_process(cluster: Any) -> None:
    assert cluster.scheduler_address.startswith("inproc://")


def test_a_name_is_given_or_drawn(own: Any) -> None:
    assert own(n_workers=0, name="ada").name == "ada"
    assert len(own(n_workers=0).name) == 8


@pytest.mark.differs("cluster name")
def test_a_name_shows_in_the_repr(own: Any) -> None:
    assert repr(own(n_workers=0, name="ada")).startswith("LocalCluster(ada, ")
    assert repr(own(n_workers=0, name="")).startswith('LocalCluster("", ')


def test_clusters_are_equal_by_name(own: Any) -> None:
    first, second, third = own(n_workers=0, name="ada"), own(n_workers=0, name="ada"), own(n_workers=0, name="bob")
    assert first == second
    assert first != third


def test_threads_per_worker(own: Any) -> None:
    assert _threads(own(n_workers=2, threads_per_worker=3)) == [3, 3]


def _threads(cluster: Any) -> list[int]:
    return [worker["nthreads"] for worker in cluster.scheduler_info["workers"].values()]


def test_a_thread_cluster_is_one_worker_with_all_threads_by_default(own: Any) -> None:
    [threads] = _threads(own(n_workers=None, threads_per_worker=None))
    assert threads >= 1


def test_an_int_of_memory_is_bytes(own: Any) -> None:
    info = own(n_workers=1, memory_limit=2**30).scheduler_info
    assert [worker["memory_limit"] for worker in info["workers"].values()] == [2**30]


@pytest.mark.differs("memory_limit")
@pytest.mark.parametrize(
    ("limit", "shown"),
    [(0.25, 0.25), ("25%", 0.25), (1.0, 1.0), ("auto", 0.5), (None, None), (0, None), ("1e9", 10**9), (5, 5)],
)
def test_a_memory_limit_goes_by_its_type(own: Any, limit: Any, shown: Any) -> None:
    total = own(n_workers=1, memory_limit="100%").workers[0].memory_limit
    workers = own(n_workers=2, memory_limit=limit).workers.values()
    expected = int(shown * total) if isinstance(shown, float) else shown
    assert [worker.memory_limit for worker in workers] == [expected, expected]


@pytest.mark.differs("memory_limit")
@pytest.mark.parametrize("limit", [True, -5, 1.5, -0.5, float("nan"), "abc", "150%", "-1GiB", [1]], ids=repr)
def test_any_other_memory_limit_is_refused(own: Any, limit: Any) -> None:
    with pytest.raises((TypeError, ValueError), match="memory_limit="):
        own(memory_limit=limit)


@pytest.mark.differs("memory_limit")
def test_an_even_split_of_memory_follows_the_number_of_workers(own: Any) -> None:
    cluster = own(n_workers=1)
    total = cluster.workers[0].memory_limit
    cluster.scale(4)
    cluster.wait_for_workers(4)
    assert [worker.memory_limit for worker in cluster.workers.values()] == [total // 4] * 4


def test_a_port_can_be_chosen_and_a_taken_one_is_an_error(own: Any) -> None:
    first = own(n_workers=0, host="tcp://127.0.0.1")
    port = int(first.scheduler_address.rpartition(":")[2])
    with pytest.raises(RuntimeError):
        own(n_workers=0, host="tcp://127.0.0.1", scheduler_port=port)


def test_a_protocol_can_be_chosen(own: Any) -> None:
    assert own(n_workers=1, protocol="tcp").scheduler_address.startswith("tcp://127.0.0.1:")
    assert own(n_workers=1, protocol="inproc://").scheduler_address.startswith("inproc://")


def test_threads_can_be_reached_by_tcp(api: Any, own: Any) -> None:
    cluster = own(protocol="tcp")
    with api.Client(cluster.scheduler_address, set_as_default=False) as client:
        assert client.gather(client.map(inc, range(5))) == [1, 2, 3, 4, 5]


@pytest.mark.differs("host with threads")
@pytest.mark.parametrize("where", [{"host": "127.0.0.1"}, {"interface": "lo"}, {"host": "localhost"}])
def test_threads_with_a_host_are_reached_by_tcp(own: Any, where: Any) -> None:
    assert re.match(r"tcp://(127\.0\.0\.1|localhost):\d+", own(n_workers=1, **where).scheduler_address)


@pytest.mark.differs("deprecated keywords")
def test_deprecated_keywords_name_their_replacements(own: Any) -> None:
    with pytest.warns(DeprecationWarning, match="host="):
        assert own(n_workers=0, ip="127.0.0.1").scheduler_address.startswith("tcp://127.0.0.1:")
    with pytest.warns(DeprecationWarning, match="dashboard_address="):
        own(n_workers=0, dashboard_address=None, diagnostics_port="127.0.0.1:0")


def test_start_has_no_effect_but_a_warning(own: Any) -> None:
    with pytest.warns(DeprecationWarning, match="start"):
        own(n_workers=0, start=False)


def test_resources_are_shown(client: Any) -> None:
    assert all(worker["resources"] == {"GPU": 1} for worker in client.scheduler_info()["workers"].values())


def test_an_unknown_keyword_is_an_error_that_names_it(own: Any) -> None:
    with pytest.raises(TypeError, match="typo"):
        own(typo=1)


@pytest.mark.parametrize(
    ("keyword", "value", "error"),
    [
        ("n_workers", -1, ValueError),
        ("n_workers", "two", TypeError),
        ("threads_per_worker", 0, ValueError),
        ("threads_per_worker", 1.5, TypeError),
        ("processes", "no", TypeError),
        ("memory_limit", "abc", ValueError),
        ("scheduler_port", 70000, ValueError),
        ("protocol", "http", ValueError),
        ("interface", "nowhere0", ValueError),
        ("dashboard_address", 1.5, TypeError),
        ("silence_logs", "loud", ValueError),
        ("resources", {-1: 1}, TypeError),
        ("resources", ["GPU"], TypeError),
        ("name", 5, TypeError),
        ("service_kwargs", {"x": 1}, ValueError),
        ("service_kwargs", 5, TypeError),
        ("host", 5, TypeError),
        ("env", "A=1", TypeError),
    ],
)
@pytest.mark.differs("bad input")
def test_a_wrong_argument_is_named_with_its_value_and_what_is_allowed(
    own: Any, keyword: str, value: Any, error: type[Exception]
) -> None:
    with pytest.raises(error, match=keyword) as caught:
        own(**{keyword: value})
    assert str(value) in str(caught.value) or repr(value) in str(caught.value)


# --- scaling ---


def test_it_scales_up_and_down(own: Any) -> None:
    cluster = own(n_workers=1)
    cluster.scale(3)
    cluster.wait_for_workers(3)
    assert len(cluster.scheduler_info["workers"]) == 3
    cluster.scale(1)
    eventually(lambda: len(cluster.scheduler_info["workers"]) == 1)
    cluster.scale(0)
    eventually(lambda: len(cluster.scheduler_info["workers"]) == 0)


def test_a_cluster_may_begin_without_workers(api: Any, own: Any) -> None:
    cluster = own(n_workers=0)
    assert len(cluster.workers) == 0
    with api.Client(cluster, set_as_default=False) as client:
        future = client.submit(inc, 1)
        cluster.scale(1)
        assert future.result(timeout=20) == 2


@pytest.mark.differs("no workers")
def test_workers_that_come_later_have_one_thread(own: Any) -> None:
    cluster = own(n_workers=0, threads_per_worker=None)
    cluster.scale(2)
    cluster.wait_for_workers(2)
    assert _threads(cluster) == [1, 1]


def test_scaling_by_cores(own: Any) -> None:
    cluster = own(n_workers=1, threads_per_worker=2)
    cluster.scale(cores=4)
    cluster.wait_for_workers(2)
    assert len(cluster.plan) == 2


def test_scaling_by_memory(own: Any) -> None:
    cluster = own(n_workers=1, memory_limit="8GiB")  # much more than this process, which is the worker's, may have
    cluster.scale(memory="24 GiB")
    cluster.wait_for_workers(3)


def test_tasks_go_on_while_workers_come_and_go(api: Any, own: Any) -> None:
    cluster = own(n_workers=1)
    with api.Client(cluster, set_as_default=False) as client:
        futures = client.map(inc, range(200))
        cluster.scale(3)
        cluster.wait_for_workers(3)
        more = client.map(inc, range(200, 400))
        cluster.scale(1)
        assert client.gather(futures + more) == list(range(1, 401))


@pytest.mark.differs("scaling keeps data")
def test_results_survive_scaling_down(api: Any, own: Any) -> None:
    cluster = own(n_workers=3)
    with api.Client(cluster, set_as_default=False) as client:
        data = client.scatter(list(range(100, 130)))
        futures = client.map(inc, data)
        api.wait(futures)
        cluster.scale(1)
        eventually(lambda: len(cluster.scheduler_info["workers"]) == 1)
        assert client.gather(data) == list(range(100, 130))
        assert client.gather(futures) == list(range(101, 131))


@pytest.mark.parametrize(
    ("arguments", "error"),
    [({"n": -1}, ValueError), ({"n": "x"}, TypeError), ({"n": 1.5}, TypeError), ({"n": None}, TypeError)],
)
@pytest.mark.differs("bad input")
def test_scale_says_what_is_wrong(own: Any, arguments: dict[str, Any], error: type[Exception]) -> None:
    cluster = own(n_workers=1)
    with pytest.raises(error, match="n="):
        cluster.scale(**arguments)
    assert len(cluster.workers) == 1


def test_waiting_for_workers_that_never_come_times_out(api: Any, cluster: Any) -> None:
    with pytest.raises(api.TimeoutError, match="Only 2/5 workers arrived"):
        cluster.wait_for_workers(5, timeout=0.1)
    with pytest.raises(ValueError, match="n_workers"):
        cluster.wait_for_workers(0)


# --- adapting ---


def test_it_adapts_through_a_burst_and_its_end(api: Any, own: Any, gate: Gate) -> None:
    cluster = own(n_workers=1)
    cluster.adapt(minimum=1, maximum=4, interval="20ms", target_duration="50ms", wait_count=2)
    with api.Client(cluster, set_as_default=False) as client:
        futures = client.map(at_gate, [gate] * 40, range(40))
        eventually(lambda: len(cluster.scheduler_info["workers"]) == 4, "four workers")
        gate.open()
        assert client.gather(futures) == list(range(40))
        eventually(lambda: len(cluster.scheduler_info["workers"]) == 1, "one worker again")
        assert client.gather(futures) == list(range(40))


def test_adapting_keeps_the_minimum(own: Any) -> None:
    cluster = own(n_workers=0)
    cluster.adapt(minimum=2, maximum=3, interval="20ms")
    cluster.wait_for_workers(2)
    assert len(cluster.scheduler_info["workers"]) == 2


def test_adapting_can_begin_with_nothing(api: Any, own: Any) -> None:
    cluster = own(n_workers=0)
    cluster.adapt(minimum=0, maximum=2, interval="20ms")
    with api.Client(cluster, set_as_default=False) as client:
        assert client.submit(inc, 1).result(timeout=20) == 2


@pytest.mark.differs("scale ends adapting")
def test_scale_ends_adapting(own: Any) -> None:
    cluster = own(n_workers=1)
    cluster.adapt(minimum=1, maximum=3, interval=0.02)
    assert cluster.view.adaptive.maximum == 3
    cluster.scale(2)
    cluster.wait_for_workers(2)
    assert cluster.view.adaptive is None


@pytest.mark.differs("adapt options")
def test_adapt_replaces_all_former_options(own: Any) -> None:
    cluster = own(n_workers=1)
    cluster.adapt(minimum=1, maximum=3, interval=0.02)
    cluster.adapt(minimum=2)
    assert (cluster.view.adaptive.minimum, cluster.view.adaptive.maximum) == (2, None)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"minimum": -1}, "minimum"),
        ({"maximum": -1}, "maximum"),
        ({"minimum": 3, "maximum": 2}, "maximum"),
        ({"maximum": 2.5}, "maximum"),
        ({"interval": 0}, "interval"),
        ({"interval": "soon"}, "interval"),
        ({"target_duration": -1}, "target_duration"),
        ({"wait_count": 0}, "wait_count"),
    ],
)
@pytest.mark.differs("bad input")
def test_adapt_says_what_is_wrong(cluster: Any, arguments: dict[str, Any], named: str) -> None:
    with pytest.raises((TypeError, ValueError), match=named):
        cluster.adapt(**arguments)
    assert cluster.view.adaptive is None


# --- logs and dashboard ---


def test_logs_are_texts_by_component(cluster: Any) -> None:
    logs = cluster.get_logs()
    assert set(logs) == {"Cluster", "Scheduler", *cluster.scheduler_info["workers"]}
    assert all(isinstance(text, str) for text in logs.values())
    assert isinstance(logs, dict)


def test_logs_can_be_chosen(cluster: Any) -> None:
    address = next(iter(cluster.scheduler_info["workers"]))
    assert set(cluster.get_logs(cluster=False, workers=False)) == {"Scheduler"}
    assert set(cluster.get_logs(scheduler=False, workers=[address])) == {"Cluster", address}
    assert set(cluster.get_logs(cluster=False, scheduler=False, workers=False)) == set()


def test_logs_show_in_a_notebook(cluster: Any) -> None:
    assert "<details>" in cluster.get_logs()._repr_html_()


@pytest.mark.differs("no dashboard")
def test_without_a_dashboard_there_is_no_link(own: Any) -> None:
    assert own(n_workers=0, dashboard_address=None).dashboard_link == ""


def test_a_dashboard_has_a_link(own: Any) -> None:
    link = own(n_workers=0, protocol="tcp", dashboard_address="127.0.0.1:0").dashboard_link
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/status", link)


@pytest.mark.differs("dashboard prefix")
def test_a_dashboard_can_be_below_a_prefix(own: Any) -> None:
    link = own(n_workers=0, dashboard_address=":0", service_kwargs={"dashboard": {"prefix": "/foo"}}).dashboard_link
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/foo/status", link)


def test_silence_logs_takes_levels(own: Any) -> None:
    own(n_workers=0, silence_logs=logging.ERROR)
    own(n_workers=0, silence_logs=False)


# --- life ---


def test_a_with_block_closes_it(api: Any, keywords: Any) -> None:
    with api.LocalCluster(**keywords(n_workers=1)) as cluster:
        assert str(cluster.status).endswith("running")
    assert str(cluster.status).endswith("closed")


def test_closing_twice_is_closing_once(own: Any) -> None:
    cluster = own(n_workers=1)
    cluster.close()
    cluster.close()
    assert str(cluster.status).endswith("closed")


def test_get_client_gives_a_client_of_the_cluster(api: Any, own: Any, cluster: Any, client: Any) -> None:
    other = own(n_workers=1)
    with other.get_client() as fresh:
        assert fresh.cluster is other
        assert fresh.submit(inc, 1).result() == 2
        assert other.get_client() is fresh


def test_what_is_closed_can_be_shown_all_the_same(api: Any, own: Any) -> None:
    cluster = own(name="ada")
    client = api.Client(cluster, set_as_default=False)
    client.close()
    cluster.close()
    assert "ada" in cluster._repr_html_()
    assert "No scheduler connected" in repr(client)
    assert "Client" in client._repr_html_()


@pytest.mark.differs("bad input")
def test_a_closed_cluster_says_so(api: Any, own: Any) -> None:
    cluster = own(n_workers=1)
    cluster.close()
    for attempt in (lambda: cluster.scale(2), lambda: cluster.adapt(), cluster.get_logs):
        with pytest.raises(RuntimeError, match="closed"):
            attempt()
    assert "workers=0" in repr(cluster)


def test_threads_run_in_this_process(api: Any, own: Any) -> None:
    with own(n_workers=1).get_client() as client:
        assert client.submit(os.getpid).result() == os.getpid()
