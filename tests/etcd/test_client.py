from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from etcd_cluster import Tls, make_tls
from keys import put
from mao.errors import BadSetting, RegistryUnavailable, RightMissing
from mao.etcd.client import EtcdClient
from mao.registries.etcd import EtcdRegistry
from support import free_port
from watching import Watcher

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from etcd_cluster import EtcdCluster

PASSWORD = "word"  # noqa: S105  # of the user whom `want_users` makes


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Tls:
    return make_tls(tmp_path_factory.mktemp("certificates") / "own")


@pytest.fixture(scope="module")
def foreign(tmp_path_factory: pytest.TempPathFactory) -> Tls:
    """Of another authority."""
    return make_tls(tmp_path_factory.mktemp("certificates") / "foreign")


@pytest.fixture
def refusal() -> Iterator[Callable[..., str]]:
    """What is said when a registry with such a client is read."""
    clients: list[EtcdClient] = []

    def read(*arguments: object) -> str:
        clients.append(EtcdClient(*arguments))  # type: ignore[arg-type]  # the tests name what they mean
        with pytest.raises(RegistryUnavailable) as raised:
            EtcdRegistry(clients[-1]).get("/mao/v1/a")
        return raised.value.detail

    yield read
    for client in clients:
        client.close()


def test_with_tls_only_certificates_of_the_authority_are_taken_on_both_sides(
    own_etcd: Callable[..., EtcdCluster], refusal: Callable[..., str], tls: Tls, foreign: Tls
) -> None:
    cluster = own_etcd(size=1, tls=tls)
    (endpoint,) = cluster.endpoints
    registry = EtcdRegistry(EtcdClient([endpoint], tls.ca, tls.certificate, tls.key))
    watcher = Watcher(registry, "/", 1)
    watcher.until(put(registry, "/a", b"", if_revision=0))
    registry.close()
    for shown in ((), (foreign.certificate, foreign.key)):
        assert f"{endpoint}: it wants a certificate of its authority" in refusal([endpoint], tls.ca, *shown)
    its = "its certificate is not one of the authority in registry.ca for this address"
    assert its in refusal([endpoint], foreign.ca, tls.certificate, tls.key)
    named = endpoint.replace("127.0.0.1", "localhost")
    assert f"{named}: {its}" in refusal([named], tls.ca, tls.certificate, tls.key)
    assert "registry.ca is to be given if it speaks TLS" in refusal([endpoint])


def test_tls_is_not_spoken_with_a_member_that_has_none(
    etcd: EtcdCluster, refusal: Callable[..., str], tls: Tls
) -> None:
    said = refusal(etcd.endpoints, tls.ca, tls.certificate, tls.key)
    assert said.count("registry.ca is to be given if it speaks TLS, and only then") == 3


def test_files_that_cannot_be_read_are_refused_at_once(tmp_path: Path, tls: Tls) -> None:
    with pytest.raises(BadSetting, match=r"absent\.pem"):
        EtcdClient(["127.0.0.1:1"], tmp_path / "absent.pem")
    with pytest.raises(BadSetting, match="go together"):
        EtcdClient(["127.0.0.1:1"], tls.ca, tls.certificate)


def test_a_user_is_let_in_with_its_password_and_again_when_its_member_has_forgotten_it(
    own_etcd: Callable[..., EtcdCluster],
) -> None:
    cluster = own_etcd()
    registry = EtcdRegistry(EtcdClient(cluster.endpoints, user="node", password=PASSWORD))
    watcher = Watcher(registry, "/mao/", registry.entries("/mao/")[1])
    revision = put(registry, "/mao/a", b"before users were wanted", if_revision=0)
    cluster.want_users()
    revision = put(registry, "/mao/a", b"since", if_revision=revision)
    watcher.until(revision)
    lease = registry.grant(60)
    for member in range(3):
        cluster.kill(member)
        cluster.restart(member)
        revision = put(registry, "/mao/a", b"%d" % member, if_revision=revision, lease=lease)
        watcher.until(revision)
    assert registry.renew(lease)
    registry.revoke(lease)
    assert registry.get("/mao/a") is None
    assert [change.value for change in watcher.until(registry.entries("/mao/")[1])][2:] == [b"0", b"1", b"2", None]
    registry.close()


def test_a_user_is_let_in_again_when_all_members_have_forgotten_it(own_etcd: Callable[..., EtcdCluster]) -> None:
    cluster = own_etcd(size=1)
    cluster.want_users()
    registry = EtcdRegistry(EtcdClient(cluster.endpoints, user="node", password=PASSWORD))
    revision = put(registry, "/mao/a", b"0", if_revision=0)
    for turn in range(1, 4):
        cluster.kill(0)
        cluster.restart(0)
        revision = put(registry, "/mao/a", b"%d" % turn, if_revision=revision)
    registry.close()


def test_whoever_has_no_right_is_told_why(own_etcd: Callable[..., EtcdCluster], refusal: Callable[..., str]) -> None:
    cluster = own_etcd(size=1)
    cluster.want_users()
    (endpoint,) = cluster.endpoints

    def told(user: str, password: str) -> str:
        return refusal([endpoint], None, None, None, user, password)

    assert f"{endpoint}: it wants a user and a password (registry.user" in told("", "")
    for user, password in (("node", "wrong"), ("nobody", "word")):
        assert told(user, password).startswith("The registry takes no requests of this node")
        assert f"{endpoint}: it knows no such user with that password" in told(user, password)
    registry = EtcdRegistry(EtcdClient([endpoint], user="node", password=PASSWORD))
    with pytest.raises(RightMissing, match=r"this node's user has no right.*Nothing was changed"):
        put(registry, "/other/a", b"", if_revision=0)
    with pytest.raises(RegistryUnavailable, match=r"this node's user has no right"):
        registry.entries("/")
    assert registry.entries("/mao/")[0] == []
    registry.close()


def test_members_that_are_not_there_are_named_with_the_reasons(refusal: Callable[..., str]) -> None:
    absent = f"127.0.0.1:{free_port()}"
    begin = time.monotonic()
    said = refusal([absent, "nowhere.invalid:2379"])
    assert time.monotonic() - begin < 60  # it does not wait for ever
    assert said == (
        f"The registry does not answer ({absent}: nothing listens there;"
        " nowhere.invalid:2379: there is no host of that name)."
    )


def test_the_member_that_works_is_asked_first_from_then_on(etcd: EtcdCluster) -> None:
    client = EtcdClient([f"127.0.0.1:{free_port()}", *etcd.endpoints])
    EtcdRegistry(client).get("/a")
    assert client.in_order()[0] == etcd.endpoint(0)
    client.close()
    with pytest.raises(RegistryUnavailable, match="the connection was closed"):
        EtcdRegistry(client).get("/a")
