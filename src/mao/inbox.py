"""What waits in the inbox of a dataset's remote: commits without parents, each with the files of one run alone."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from mao.dataset_cache import INBOX
from mao.fast_import import Author, StoredFile
from mao.provenance import RUN_TRAILER, without_replaced

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from mao.dataset_cache import DatasetCache

_FORM = "%x00%H%x00%an%x00%ae%x00%at%x00%B%x00"
_ID = 40


@dataclass(frozen=True, slots=True)
class Delivery:
    """A run's commit in the inbox.

    Attributes:
        ref: that names it.
        commit: its id.
        node: whose run it is.
        run: its id.
        author: as the node has it.
        message: what the commit on the branch is to say.
        files: of the run.
        replaced: the blobs that paths may have on the branch to be replaced: what the node put there before.
    """

    ref: str
    commit: str
    node: str
    run: str
    author: Author
    message: str
    files: tuple[StoredFile, ...]
    replaced: dict[bytes, list[str]]


def ref_of(node: str, run: str) -> str:
    """The ref in the inbox for a run of a node."""
    return f"{INBOX}{node}/{run}"


def node_of(ref: str) -> str:
    """The node that put what this ref of the inbox names there."""
    return ref.removeprefix(INBOX).partition("/")[0]


def read(cache: DatasetCache, waiting: Mapping[str, str]) -> list[Delivery]:
    """The deliveries that refs name, oldest run first; what no node has put there is passed over.

    Args:
        cache: that holds the commits with their trees.
        waiting: commits by their refs.
    """
    if not waiting:
        return []
    args = ("log", "--no-walk=unsorted", "--max-parents=0", "--root", "--raw", "-z", "--no-abbrev", "--no-renames")
    with cache.mended():
        listed = cache.git.run(
            *args, f"--format={_FORM}", "--end-of-options", *sorted(set(waiting.values())), "--", cwd=cache.path
        )
    commits = dict(_commits(listed))
    found = [_delivery(ref, commit, *commits[commit]) for ref, commit in waiting.items() if commit in commits]
    return sorted((one for one in found if one is not None), key=lambda one: (one.run, one.node))


def _commits(listed: bytes) -> Iterator[tuple[str, tuple[list[bytes], tuple[StoredFile, ...]]]]:
    """Each commit with the words of its header and its files, out of what git log prints."""
    words = listed.split(b"\0")
    at = 0
    while at < len(words):
        if len(words[at].strip()) != _ID:
            at += 1
            continue
        commit, header = words[at].strip().decode(), words[at + 1 : at + 5]
        at += 5
        files = []
        while at < len(words) and len(words[at].strip()) != _ID:
            if words[at].lstrip().startswith(b":"):
                _, mode, _, oid, _ = words[at].split()
                files.append(StoredFile(words[at + 1], mode.decode(), oid.decode()))
                at += 1
            at += 1
        yield commit, (header, tuple(files))


def _delivery(ref: str, commit: str, header: list[bytes], files: tuple[StoredFile, ...]) -> Delivery | None:
    node, _, run = ref.removeprefix(INBOX).partition("/")
    name, email, seconds, text = (word.decode("utf-8", "replace") for word in header)
    message, replaced = without_replaced(text)
    if not files or f"\n{RUN_TRAILER}: {run}\n" not in message:
        return None
    author = Author(name, email, datetime.fromtimestamp(int(seconds), UTC))
    return Delivery(ref, commit, node, run, author, message, files, replaced)
