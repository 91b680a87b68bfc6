"""Speaking with git-lfs: give it files for a remote; and what a clone needs to have them from it."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from typing import TYPE_CHECKING

from mao.errors import DiskFull, MaoError, RemoteRefused, RemoteUnreachable
from mao.git import Output, failure
from mao.workspace import disk_errors

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from mao.data_directory import DataFile
    from mao.git import Git

MISSING = "large-file"
"""The cause of a failure that means that git-lfs is not installed here, or that the remote has no LFS."""
_REFUSED, _UNREACHABLE = "lfs-refused", "lfs-unreachable"

_VERSION = b"version https://git-lfs.github.com/spec/v1\n"
_ONE_CALL = 500
"""Objects that are named in one command: more would not fit into its line."""
_PUSH = {
    "lfs.locksverify": "false",
    # The pauses between attempts are ours.
    "lfs.transfer.maxretries": "2",
}
_FILTERS = {
    "filter.lfs.process": "git-lfs filter-process",
    "filter.lfs.smudge": "git-lfs smudge -- %f",
    "filter.lfs.clean": "git-lfs clean -- %f",
    "filter.lfs.required": "true",
    # A file that cannot be brought stays a pointer, and the others come.
    "lfs.skipdownloaderrors": "true",
}
_NOT_HERE = re.compile(r"'lfs' is not a git command")
# The words of git-lfs 3.3 (lfshttp/errors.go), and of the usual hosts. The first come from servers without LFS.
_ABSENT = re.compile(
    r"Repository or object not found|batch response: Not [Ff]ound|from HTTP (404|405|410)\b|Expected JSON type, got"
    r"|Not Implemented: "
    r"|git-lfs-authenticate['\"]?:? .{0,40}(not found|not a git command)|[Uu]nknown command.{0,40}git-lfs-authenticate"
    r"|(?i:lfs (support )?(is|has been) (not|disabled)|lfs disabled|does not support (git )?lfs)"
    r"|Size must be less than|missing protocol"
)
_AWAY = re.compile(
    r"(?i:connection refused|connection reset|no such host|i/o timeout|handshake timeout|network is unreachable"
    r"|no route to host|server misbehaving)|unexpected EOF|Server error|LFS: EOF|: EOF"
)
_NOISE = re.compile(r"^(Uploading LFS objects|Errors logged to|Use `git lfs logs|EOF$)")
# git-lfs 3.3 prints a whole address as Go has it, with its password.
_GO_URL = re.compile(r" ?&\{%!.*?\(MISSING\)")


def may_hold(file: DataFile) -> bool:
    """Whether git-lfs may hold the content of `file`: a link and an empty file have no pointer."""
    return file.mode != "120000" and file.size > 0


def pointer(oid: str, size: int) -> bytes:
    """What stands for a file in git (git-lfs, docs/spec.md: The Pointer); `size` in bytes."""
    return _VERSION + f"oid sha256:{oid}\nsize {size}\n".encode()


def upload(git: Git, aside: Path, url: str, files: Sequence[DataFile]) -> list[str]:
    """Give the contents of `files` to the LFS of the remote; what it has already is not sent again.

    Args:
        git: as the node calls it.
        aside: an empty directory on the disk of the files, for this alone. No repository is looked into but the new one
            that is made there: a `.lfsconfig` in the dataset cannot send the files elsewhere.
        url: of the remote.
        files: to be given.

    Returns:
        the SHA-256 of each, by which the remote has it then.

    Raises:
        RemoteRefused: its cause is `MISSING`, or `lfs-refused`, where the LFS of the remote is there and refuses.
        RemoteUnreachable: `lfs-unreachable`.
        DiskFull: there is no room for a copy, where one is needed.
        OutsideFailed: a file changed (`file-changed`).
    """
    git.run("init", "--bare", "--quiet", "--template=", ".", cwd=aside)
    oids = [_placed(aside, file, linked=not url.startswith("file:")) for file in files]
    names = sorted(set(oids))
    settings = [word for key, value in _PUSH.items() for word in ("-c", f"{key}={value}")]
    for at in range(0, len(names), _ONE_CALL):
        args = (*settings, "lfs", "push", "--object-id", "--", url, *names[at : at + _ONE_CALL])
        try:
            output = git.attempt(*args, cwd=aside)
        except RemoteUnreachable as error:  # it took too long
            raise RemoteUnreachable(error.detail, cause=_UNREACHABLE) from error
        if output.status != 0:
            raise _failure(output, args)
    return oids


def _placed(repository: Path, file: DataFile, *, linked: bool) -> str:
    """Put a file where git-lfs looks for it. It makes links of these itself for a remote on this machine."""
    digest = hashlib.sha256()
    for chunk in file.chunks():
        digest.update(chunk)
    oid = digest.hexdigest()
    place = repository / "lfs" / "objects" / oid[:2] / oid[2:4] / oid
    if place.exists():
        return oid
    place.parent.mkdir(parents=True, exist_ok=True)
    if linked:
        try:
            os.link(file.source, place)
        except OSError:  # on another disk, or one that has no links
            linked = False
    if not linked:
        with disk_errors("a copy of a large file"):
            shutil.copyfile(file.source, place)
    return oid


def is_absent(error: MaoError) -> bool:
    """Whether `upload` failed as git-lfs is not installed here."""
    return _NOT_HERE.search(error.detail) is not None


def _failure(output: Output, args: tuple[str, ...]) -> MaoError:
    said = [_GO_URL.sub("", line) for line in output.err.splitlines() if not _NOISE.match(line)]
    words = "\n".join(said)
    error = failure(Output(output.status, b"", words), args)
    if isinstance(error, DiskFull):
        return error
    if _NOT_HERE.search(words) or _ABSENT.search(words) or error.cause == "no-such-repository":
        return RemoteRefused(error.detail, cause=MISSING)
    if isinstance(error, RemoteUnreachable) or _AWAY.search(words):
        return RemoteUnreachable(error.detail, cause=_UNREACHABLE)
    return RemoteRefused(error.detail, cause=_REFUSED)


def is_here(git: Git, cwd: Path) -> bool:
    """Whether git-lfs is installed; `cwd` is any directory."""
    return git.attempt("lfs", "version", cwd=cwd).status == 0


def clone_settings(git: Git, cwd: Path) -> tuple[str, ...]:
    """Options of git and of git-clone(1) by which files come with their contents, or as pointers without git-lfs.

    What is configured for the user or on the machine does not count: it may be missing, or name a git-lfs that is.
    """
    here = is_here(git, cwd)
    chosen = _FILTERS if here else dict.fromkeys(_FILTERS, "") | {"filter.lfs.required": "false"}
    return tuple(word for key, value in chosen.items() for word in ("-c", f"{key}={value}"))


def pointers_in(git: Git, clone: Path) -> list[str]:
    """The files of a clone that are pointers still."""
    listed = git.run("--git-dir=.git", "--work-tree=.", "ls-files", "-z", "--", ":(attr:filter=lfs)", cwd=clone)
    names = [os.fsdecode(name) for name in listed.split(b"\0") if name]
    return [name for name in names if _is_pointer(clone / name)]


def _is_pointer(path: Path) -> bool:
    if path.is_symlink() or not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(len(_VERSION)) == _VERSION
