"""Users and roles of etcd: who may read and write which keys. All but a look at oneself is for its user `root`.

What is asked for is done already if it was done before: each of these can be killed and done again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mao.errors import OutsideFailed, RightMissing
from mao.etcd import rpc_pb2 as rpc

if TYPE_CHECKING:
    from google.protobuf.message import Message

    from mao.etcd.client import EtcdClient
    from mao.roles import Right

_AUTH = "/etcdserverpb.Auth/"
ROOT = "root"
"""The user, and the role, that may do everything: etcd wants both before it asks who somebody is."""


def are_asked_for(client: EtcdClient) -> bool:
    """Whether this etcd asks who somebody is; while it does not, everybody may list its users."""
    try:
        client.call(_AUTH + "UserList", rpc.AuthUserListRequest(), rpc.AuthUserListResponse)
    except RightMissing:
        return True
    return False


def ask_for_users(client: EtcdClient) -> None:
    """Have etcd ask who somebody is, from now on; there must be the user `root` with the role `root`."""
    _change(client, "AuthEnable", rpc.AuthEnableRequest())


def names(client: EtcdClient) -> list[str]:
    """All users."""
    return list(client.call(_AUTH + "UserList", rpc.AuthUserListRequest(), rpc.AuthUserListResponse).users)


def roles(client: EtcdClient) -> list[str]:
    """All roles."""
    return list(client.call(_AUTH + "RoleList", rpc.AuthRoleListRequest(), rpc.AuthRoleListResponse).roles)


def add(client: EtcdClient, name: str) -> None:
    """A user who is known by the common name of a certificate alone."""
    request = rpc.AuthUserAddRequest(name=name, options=rpc.UserAddOptions(no_password=True))
    _change(client, "UserAdd", request, done="already exists")


def remove(client: EtcdClient, name: str) -> None:
    """End what a user may do, also by connections that there are."""
    _change(client, "UserDelete", rpc.AuthUserDeleteRequest(name=name), done="not found")


def give(client: EtcdClient, name: str, role: str) -> None:
    """Let a user have a role."""
    _change(client, "UserGrantRole", rpc.AuthUserGrantRoleRequest(user=name, role=role))


def take(client: EtcdClient, name: str, role: str) -> None:
    """Let a user have a role no more."""
    request = rpc.AuthUserRevokeRoleRequest(name=name, role=role)
    _change(client, "UserRevokeRole", request, done="is not granted")


def add_role(client: EtcdClient, role: str) -> None:
    """A role without any right."""
    _change(client, "RoleAdd", rpc.AuthRoleAddRequest(name=role), done="already exists")


def remove_role(client: EtcdClient, role: str) -> None:
    """A role, and what it gave to users."""
    _change(client, "RoleDelete", rpc.AuthRoleDeleteRequest(role=role), done="not found")


def rights(client: EtcdClient, role: str) -> set[tuple[str, str]]:
    """The keys that a role may write, each with the end of its range: empty if it is one key."""
    found = client.call(_AUTH + "RoleGet", rpc.AuthRoleGetRequest(role=role), rpc.AuthRoleGetResponse).perm
    return {(one.key.decode(), one.range_end.decode()) for one in found if one.permType != rpc.Permission.READ}


def allow(client: EtcdClient, role: str, right: Right) -> None:
    """Let a role read and write, or only read, a key or all keys that begin so."""
    kind = rpc.Permission.READWRITE if right.write else rpc.Permission.READ
    permission = rpc.Permission(permType=kind, key=right.key.encode(), range_end=right.end.encode())
    _change(client, "RoleGrantPermission", rpc.AuthRoleGrantPermissionRequest(name=role, perm=permission))


def disallow(client: EtcdClient, role: str, key: str) -> None:
    """Take the right to one key from a role."""
    request = rpc.AuthRoleRevokePermissionRequest(role=role, key=key.encode())
    _change(client, "RoleRevokePermission", request, done="is not granted")


def _change(client: EtcdClient, method: str, request: Message, done: str = "") -> None:
    try:
        client.call(_AUTH + method, request, rpc.AuthChanged)
    except OutsideFailed as error:
        if not done or done not in error.detail:
            raise
