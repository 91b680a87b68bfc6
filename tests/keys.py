"""Single edits of a registry, as tests make many of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mao.registry import Edit

if TYPE_CHECKING:
    from mao.registry import Registry


def put(registry: Registry, key: str, value: bytes, *, if_revision: int, lease: int | None = None) -> int:
    """Give one key a value."""
    return registry.write(Edit(key, value, if_revision), lease=lease)


def delete(registry: Registry, key: str, *, if_revision: int) -> int:
    """Delete one key."""
    return registry.write(Edit(key, None, if_revision))
