"""The port of registries: keys with revisions. Tools, datasets and nodes live above it, written once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from mao.errors import ValueTooLarge

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

LARGEST_WRITE = 1_500_000
"""Bytes of keys and values in one write. etcd takes 1.5 MiB in a request (etcd.io/docs, "System limits"); all
registries have the same limit, so that a node can move from one to another."""
SMALLEST_LEASE = 2
"""Seconds; etcd grants no shorter ones."""
STALE = 5
"""Seconds without touch after which what is known of a registry is called stale."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A key, its value, and the revision of the registry at which it got that value."""

    key: str
    value: bytes
    revision: int


@dataclass(frozen=True, slots=True)
class Edit:
    """A key that is to get `value`, or to be deleted (None), if its revision is still `if_revision`.

    `if_revision` 0 means that there must be no such key.
    """

    key: str
    value: bytes | None
    if_revision: int


@dataclass(frozen=True, slots=True)
class Change:
    """What happened to a key at a revision: it got `value`, or was deleted (None)."""

    key: str
    value: bytes | None
    revision: int


@dataclass(frozen=True, slots=True)
class Progress:
    """All that has changed below a prefix up to `revision`, since the progress before.

    Without `changes` it says that the registry was in touch just now.
    """

    revision: int
    changes: tuple[Change, ...] = ()


class Registry(Protocol):
    """One contract test (`tests/registries/test_contract.py`) runs over all of them.

    A revision counts the changes of the whole registry from 1. Each method may raise `RegistryUnavailable`: the
    registry cannot be reached, or not by enough of its members; a read then has no answer.
    """

    def get(self, key: str) -> Entry | None:
        """What `key` holds now: what any node wrote before this was called is seen."""

    def entries(self, prefix: str, *, after: str = "", limit: int = 1000) -> tuple[list[Entry], int]:
        """The first `limit` entries below `prefix` whose key comes after `after`, in the order of their keys.

        With them the revision at which they were read, to watch from.
        """

    def write(self, *edits: Edit, lease: int | None = None) -> int:
        """Make all of the edits, or none of them; the revision of the last change.

        Args:
            edits: of different keys, at most 100.
            lease: from `grant`; what is put is deleted by the registry when that ends.

        Raises:
            StaleRevision: one of the keys has another revision by now, or is gone, or the lease is over; nothing was
                changed.
            ValueTooLarge: the edits have more than `LARGEST_WRITE` bytes; nothing was changed.
            RegistryFull: the registry takes nothing more; nothing was changed.
            RegistryUnavailable: nothing was changed; or, if it says so, that is not known.
        """

    def watch(self, prefix: str, *, after: int) -> Iterator[Progress]:
        """Every change below `prefix` later than the revision `after`, in order, once; ends when closed.

        While the registry is in touch, something comes at least every two seconds. While it is not, nothing comes; the
        watch goes on by itself where it was, with another member if need be.

        Raises:
            StaleRevision: the changes that followed `after` are no longer kept, or the registry has been set back or
                replaced; list anew, and watch from there.
        """

    def grant(self, seconds: int) -> int:
        """A lease that ends unless it is renewed within so many seconds (`SMALLEST_LEASE` or more)."""

    def renew(self, lease: int) -> bool:
        """Let the lease last as long as at first, from now on; False if it is over."""

    def revoke(self, lease: int) -> None:
        """End the lease, if it is not over, and delete what was put with it."""

    def close(self) -> None:
        """End the watches and let go of what is held; leases end by themselves."""


def check_size(edits: Iterable[Edit]) -> None:
    """Refuse what no registry takes.

    Raises:
        ValueTooLarge
    """
    sizes = {edit.key: len(edit.key.encode()) + len(edit.value or b"") for edit in edits}
    if sum(sizes.values()) > LARGEST_WRITE:
        key = max(sizes, key=sizes.__getitem__)
        raise ValueTooLarge(
            f"'{key}' would hold {sizes[key]} bytes in the registry, which takes {LARGEST_WRITE} at once. Make its"
            " definition or description shorter. Nothing was changed."
        )
