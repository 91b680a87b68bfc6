"""What a node may write in a registry that asks who writes: one table, for what MAO sets up and what it tells others.

etcd cannot say "may make a key that is not there", so the right to a name is given when somebody asks for it.
"""

from __future__ import annotations

from typing import NamedTuple

from mao.catalogue import DATASETS, HEADS, SCHEDULES, SLOTS, TOOLS, node_key

EVERYTHING = "/mao/v1/"
BARS = "/mao/bars/"
"""What `registries.etcd` puts there tells of writes whose answers were lost."""
ADMINISTRATOR = "administrator"
"""The role of nodes that may change what others registered."""
OWNED = (TOOLS, DATASETS, SCHEDULES)
"""Below these, each key is written by the node that made it."""


class Right(NamedTuple):
    """To read a key, or all keys that begin so, and to write them."""

    key: str
    prefix: bool
    write: bool

    @property
    def end(self) -> str:
        """Where the range of keys ends, as etcd has it; empty if it is one key."""
        return self.key[:-1] + chr(ord(self.key[-1]) + 1) if self.prefix else ""


def of_node(name: str) -> list[Right]:
    """What every node may do; to that come the keys that it is granted."""
    return [
        Right(EVERYTHING, prefix=True, write=False),
        Right(BARS, prefix=True, write=True),
        Right(node_key(name), prefix=False, write=True),
        Right(HEADS, prefix=True, write=True),
        Right(SLOTS, prefix=True, write=True),
    ]


def of_administrator() -> list[Right]:
    """What a node may do besides that is an administrator."""
    return [Right(prefix, prefix=True, write=True) for prefix in OWNED]


def role_of(name: str) -> str:
    """The role that one node has; none of the others can be called so."""
    return f"node:{name}"


def is_grantable(key: str) -> bool:
    """Whether a node may be granted the key: it names one thing, below a prefix of things that are owned."""
    below = next((key.removeprefix(prefix) for prefix in OWNED if key.startswith(prefix)), "")
    return bool(below) and "/" not in below


def commands(name: str, *, administrator: bool) -> list[str]:
    """What makes the user and the role of a node in an etcd that somebody else looks after, as etcdctl takes it."""
    lines = [f"etcdctl role add {role_of(name)}"]
    for role, rights in ((role_of(name), of_node(name)), (ADMINISTRATOR, of_administrator() if administrator else [])):
        lines += [f"etcdctl role add {role}"] if rights and role == ADMINISTRATOR else []
        lines += [
            f"etcdctl role grant-permission {role} {'readwrite' if right.write else 'read'} {right.key}"
            + (" --prefix=true" if right.prefix else "")
            for right in rights
        ]
    lines += [f"etcdctl user add {name} --no-password=true", f"etcdctl user grant-role {name} {role_of(name)}"]
    return lines + ([f"etcdctl user grant-role {name} {ADMINISTRATOR}"] if administrator else [])
