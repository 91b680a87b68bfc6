"""The port of registries: keys with revisions. Tools and datasets live above it, written once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True, slots=True)
class Entry:
    """A key, its value, and the revision of the registry at which it got that value."""

    key: str
    value: bytes
    revision: int


@dataclass(frozen=True, slots=True)
class Change:
    """What happened to a key at a revision: it got `value`, or was deleted (None)."""

    key: str
    value: bytes | None
    revision: int


class Registry(Protocol):
    """One contract test (`tests/registries/test_contract.py`) runs over all of them.

    A revision counts the changes of the whole registry from 1; each change has its own.
    """

    def get(self, key: str) -> Entry | None:
        """What `key` holds now."""

    def entries(self, prefix: str, *, after: str = "", limit: int = 1000) -> tuple[list[Entry], int]:
        """The first `limit` entries below `prefix` whose key comes after `after`, in the order of their keys.

        With them the revision at which they were read, to watch from.
        """

    def put(self, key: str, value: bytes, *, if_revision: int) -> int:
        """Give `key` a value if its revision is still `if_revision` (0: it must not exist); the new revision.

        Raises:
            StaleRevision: the key has another revision by now; nothing was changed.
        """

    def delete(self, key: str, *, if_revision: int) -> int:
        """Delete `key` if its revision is still `if_revision`; the revision of the deletion.

        Raises:
            StaleRevision: the key has another revision by now, or is gone; nothing was changed.
        """

    def watch(self, prefix: str, *, after: int) -> Iterator[Change]:
        """Every change below `prefix` later than the revision `after`, in order, once; ends when closed.

        Raises:
            StaleRevision: the changes that followed `after` are no longer kept; list anew, and watch from there.
        """

    def close(self) -> None:
        """End the watches and let go of what is held."""
