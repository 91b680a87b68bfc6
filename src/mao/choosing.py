"""Which documents of the store are asked for, as SQL, so that a page of them takes no longer the more there are."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

INDICES = """
    -- Each has what can be chosen by together with it, so that only those documents are read that are chosen.
    DROP INDEX documents_by_tool;
    CREATE INDEX documents_by_tool ON documents (kind, tool, key, state);
    CREATE INDEX documents_by_dataset ON documents (kind, dataset, key, state, tool);
    """
_INDEXED = ("dataset", "tool", "state")
"""Columns that have an index (`documents_by_...`), the one with the fewest documents of a value first."""


def query(
    kind: str,
    between: tuple[str | None, str | None],
    limit: int,
    *,
    newest_first: bool,
    filters: Mapping[str, str | None],
) -> tuple[str, list[str | int]]:
    """SQL for key and body of documents, and its values.

    Args:
        kind: of the documents.
        between: keys after and before which they come, in the order in which they are asked for.
        limit: the most of them; -1 for all.
        newest_first: whether they come in falling order of their keys.
        filters: the value that each column must have; None is no filter.
    """
    wanted = {column: value for column, value in filters.items() if value is not None}
    signs = "<>" if newest_first else "><"
    bounds = [(sign, key) for sign, key in zip(signs, between, strict=True) if key is not None]
    where = "kind = ?" + "".join(f" AND {column} = ?" for column in wanted)
    where += "".join(f" AND key {sign} ?" for sign, _ in bounds)
    order = f"ORDER BY key {'DESC' if newest_first else 'ASC'} LIMIT ?"
    values: list[str | int] = [kind, *wanted.values(), *(key for _, key in bounds), limit]
    index = next((name for name in _INDEXED if name in wanted), None)
    if index is None or limit < 0:
        return f"SELECT key, body FROM documents WHERE {where} AND body IS NOT NULL {order}", values  # noqa: S608  # columns are ours
    # Without statistics SQLite prefers to read all documents of the kind.
    keys = f"SELECT key FROM documents INDEXED BY documents_by_{index} WHERE {where} AND state <> 'gone' {order}"  # noqa: S608  # likewise
    return f"SELECT key, body FROM documents WHERE kind = ? AND key IN ({keys}) {order}", [kind, *values, limit]  # noqa: S608  # likewise
