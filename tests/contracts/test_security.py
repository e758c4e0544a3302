"""``security=``: TLS on every connection."""

from __future__ import annotations

import pickle
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.contracts.gates import add, inc


@pytest.fixture(scope="module")
def security(api: Any) -> Any:
    return api.Security.temporary()


@pytest.fixture(scope="module")
def encrypted(api: Any, keywords: Callable[..., dict[str, Any]], security: Any) -> Iterator[Any]:
    """A cluster of threads whose connections are encrypted."""
    with api.LocalCluster(**keywords(security=security)) as cluster:
        yield cluster


def test_every_address_is_encrypted(encrypted: Any) -> None:
    addresses = [encrypted.scheduler_address, *encrypted.scheduler_info["workers"]]
    assert len(addresses) == 3
    assert all(address.startswith("tls://127.0.0.1:") for address in addresses)


def test_a_client_takes_the_security_of_its_cluster(api: Any, encrypted: Any, security: Any) -> None:
    with api.Client(encrypted, set_as_default=False) as client:
        assert client.security is security
        assert client.gather(client.map(inc, range(4))) == [1, 2, 3, 4]


def test_a_client_comes_by_address_and_security_and_data_goes_between_workers(
    api: Any, encrypted: Any, security: Any
) -> None:
    first, second = encrypted.scheduler_info["workers"]
    with api.Client(encrypted.scheduler_address, security=security, set_as_default=False) as client:
        left = client.submit(bytes, 200_000, workers=[first])
        right = client.submit(bytes, 200_000, workers=[second])
        assert client.submit(add, left, right, workers=[first]).result() == bytes(400_000)
        assert client.gather([left, right]) == [bytes(200_000)] * 2


def test_a_client_may_give_the_arguments_of_security_as_a_dictionary(api: Any, encrypted: Any, security: Any) -> None:
    names = ("tls_ca_file", "tls_client_cert", "tls_client_key")
    credentials = {name: getattr(security, name) for name in names}
    with api.Client(encrypted.scheduler_address, security=credentials, set_as_default=False) as client:
        assert client.submit(inc, 1).result() == 2


def test_a_client_without_credentials_or_with_those_of_another_authority_is_refused(api: Any, encrypted: Any) -> None:
    for wrong in (None, api.Security.temporary()):
        with pytest.raises((OSError, ValueError, TypeError, RuntimeError)):
            api.Client(encrypted.scheduler_address, security=wrong, timeout=1, set_as_default=False)


def _asks_again(api_name: str) -> int:
    client = __import__(api_name).get_client()
    return int(client.submit(inc, 10, pure=False).result())


def test_tasks_reach_their_encrypted_cluster(api: Any, encrypted: Any) -> None:
    with api.Client(encrypted, set_as_default=False) as client:
        assert client.submit(_asks_again, api.__name__).result() == 11


def test_true_makes_temporary_credentials(api: Any, keywords: Callable[..., dict[str, Any]]) -> None:
    with api.Client(set_as_default=False, **keywords(n_workers=1, security=True)) as client:
        assert client.cluster.scheduler_address.startswith("tls://")
        assert isinstance(client.cluster.security, api.Security)
        assert client.submit(inc, 1).result() == 2


@pytest.mark.parametrize("wrong", [False, "yes", {}, 5], ids=repr)
def test_anything_else_is_refused(api: Any, keywords: Callable[..., dict[str, Any]], wrong: Any) -> None:
    with pytest.raises(TypeError, match="security must be a Security object"):
        api.LocalCluster(**keywords(security=wrong))


def test_its_contexts_check_both_sides_and_no_names(security: Any) -> None:
    for role in ("client", "scheduler", "worker"):
        for arguments in (security.get_connection_args(role), security.get_listen_args(role)):
            context = arguments["ssl_context"]
            assert arguments["require_encryption"] is True
            assert context.verify_mode == ssl.CERT_REQUIRED
            assert not context.check_hostname
            assert context.minimum_version == ssl.TLSVersion.TLSv1_2
    with pytest.raises(ValueError, match="role"):
        security.get_connection_args("stranger")


def test_without_certificates_there_is_no_context(api: Any) -> None:
    arguments = api.Security().get_connection_args("client")
    assert arguments["ssl_context"] is None
    assert arguments["require_encryption"] is False


def test_credentials_may_be_files(api: Any, security: Any, tmp_path: Path) -> None:
    for name in ("tls_ca_file", "tls_client_cert", "tls_client_key"):
        (tmp_path / name).write_text(getattr(security, name))
    credentials = {name: str(tmp_path / name) for name in ("tls_ca_file", "tls_client_cert", "tls_client_key")}
    made = api.Security(**credentials)
    assert made.require_encryption is True
    assert made.get_connection_args("client")["ssl_context"] is not None
    assert str(tmp_path) in repr(made)


def test_it_shows_no_key(security: Any) -> None:
    for text in (repr(security), str(security), security._repr_html_()):
        assert "Temporary (In-memory)" in text
        assert "BEGIN" not in text


def test_it_can_be_pickled(security: Any) -> None:
    assert pickle.loads(pickle.dumps(security)).tls_client_key == security.tls_client_key


def test_what_it_does_not_know_is_an_error(api: Any) -> None:
    with pytest.raises(TypeError, match=r"Unknown parameters.*tls_typo"):
        api.Security(tls_typo="x")
    with pytest.raises(ValueError, match=r"tls_min_version=.* is not supported"):
        api.Security(tls_min_version=ssl.TLSVersion.TLSv1)


def test_versions_and_ciphers_can_be_chosen(api: Any) -> None:
    made = api.Security.temporary(
        tls_min_version=ssl.TLSVersion.TLSv1_2, tls_max_version=ssl.TLSVersion.TLSv1_2, tls_ciphers="AES256-GCM-SHA384"
    )
    context = made.get_listen_args("scheduler")["ssl_context"]
    assert context.maximum_version == ssl.TLSVersion.TLSv1_2
    assert "AES256-GCM-SHA384" in {cipher["name"] for cipher in context.get_ciphers()}


@pytest.mark.differs("bad input")
@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"tls_ca_file": "/nowhere/ca.pem", "tls_client_cert": "/nowhere/c.pem"}, "tls_ca_file='/nowhere/ca.pem'"),
        ({"tls_ca_file": "no\ncertificate", "tls_client_cert": "no\ncertificate"}, "cannot be used"),
    ],
)
def test_credentials_that_are_none_are_refused(api: Any, arguments: Any, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        api.Security(**arguments).get_connection_args("client")


@pytest.mark.differs("bad input")
def test_what_cannot_be_encrypted_is_refused(api: Any, keywords: Callable[..., dict[str, Any]]) -> None:
    with pytest.raises(ValueError, match="security=True"):
        api.LocalCluster(**keywords(protocol="tls"))


@pytest.mark.differs("other machines")
def test_what_other_machines_can_reach_has_to_be_encrypted(api: Any, keywords: Callable[..., dict[str, Any]]) -> None:
    with pytest.raises(ValueError, match="must be encrypted"):
        api.LocalCluster(**keywords(host="0.0.0.0", protocol="tcp"))


@pytest.mark.differs("bad input")
def test_credentials_that_lack_something_for_a_cluster_are_named(
    api: Any, keywords: Callable[..., dict[str, Any]], security: Any
) -> None:
    lacking = api.Security(tls_ca_file=security.tls_ca_file, tls_client_cert=security.tls_client_cert)
    with pytest.raises(ValueError, match="lacks tls_scheduler_cert, tls_worker_cert"):
        api.LocalCluster(**keywords(security=lacking))
    with pytest.raises(ValueError, match="protocol='tcp' does not encrypt"):
        api.LocalCluster(**keywords(security=security, protocol="tcp"))


def test_an_encrypted_cluster_may_listen_for_other_machines(
    api: Any, keywords: Callable[..., dict[str, Any]], security: Any
) -> None:
    cluster = api.LocalCluster(**keywords(n_workers=1, security=security, host="0.0.0.0"))
    port = cluster.scheduler_address.rpartition(":")[2]
    with cluster, api.Client(f"tls://127.0.0.1:{port}", security=security, set_as_default=False) as client:
        assert client.submit(inc, 1).result() == 2


@pytest.mark.differs("token file")
def test_a_secret_that_was_agreed_upon_is_asked_for_on_top(
    api: Any, keywords: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    for name, digit in (("right", "0"), ("wrong", "1")):
        (tmp_path / name).write_text(digit * 64)
        (tmp_path / name).chmod(0o600)
    security = api.Security.temporary(token_file=tmp_path / "right")
    with api.LocalCluster(**keywords(n_workers=0, security=security)) as cluster:
        with api.Client(cluster.scheduler_address, security=security, set_as_default=False) as client:
            assert client.scheduler_info()["workers"] == {}
        security.token_file = str(tmp_path / "wrong")
        with pytest.raises(OSError, match="cannot connect"):
            api.Client(cluster.scheduler_address, security=security, timeout=5, set_as_default=False)


@pytest.mark.differs("encrypted processes")
@pytest.mark.parametrize("kind", ["LocalCluster", "SubprocessCluster"])
def test_processes_talk_encrypted_as_well(api: Any, kind: str) -> None:
    made = getattr(api, kind)(n_workers=2, threads_per_worker=1, dashboard_address=None, security=True)
    with made as cluster, api.Client(cluster, set_as_default=False) as client:
        addresses = list(client.scheduler_info()["workers"])
        assert all(address.startswith("tls://127.0.0.1:") for address in [cluster.scheduler_address, *addresses])
        first, second = (client.submit(bytes, 2_000_000, workers=[a]) for a in addresses)
        total = client.submit(add, first, second, workers=addresses[:1])
        assert total.result() == bytes(4_000_000)
        assert client.submit(_asks_again, api.__name__).result() == 11
