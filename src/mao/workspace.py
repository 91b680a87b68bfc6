"""The directories of this node: where everything is, and how it gets there so that a kill leaves no half of it."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import shutil
import subprocess
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING
from uuid import uuid4

from mao.errors import BadSetting, DiskFull, NodeRunning

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Workspace:
    """Below `home`: `tools/<name>/<attempt>/tree`, `runs/<id>`, `datasets/<name>.git`, `clones/<name>`, `kept`, `tmp`.

    What is being removed has `.gone-` before its name.
    """

    def __init__(self, home: Path) -> None:
        self.home = home
        self.tools = home / "tools"
        self.runs = home / "runs"
        self.datasets = home / "datasets"
        self.clones = home / "clones"
        self.kept = home / "kept"
        self.keyring = home / "keyring"
        self.temporary = home / "tmp"
        self.tally = self.datasets / "tally.sqlite"
        self.store = home / "store.sqlite"
        self.audit = home / "audit.sqlite"
        self.registry = home / "registry.sqlite"
        self.mirror = home / "mirror.sqlite"
        self.access = home / "access.sqlite"
        self.wake = home / "wake"
        self.socket = home / "socket"
        self._id: str | None = None
        self.lock = home / "lock"

    def check(self) -> None:
        """See that nothing of anybody else stands where this node would write and remove.

        Raises:
            BadSetting: something does; nothing was changed.
        """
        if self.store.is_file() or self.wake.is_fifo():  # then it is a node's home, as it was left
            return
        directories = (self.tools, self.runs, self.datasets, self.clones, self.kept, self.temporary)
        foreign = [path.name for path in directories if path.exists() and not _is_empty(path)]
        foreign += [self.wake.name] if self.wake.exists() else []
        foreign += [self.socket.name] if self.socket.exists() and not self.socket.is_socket() else []
        foreign += [self.lock.name] if self.lock.exists() and not _is_lock(self.lock) else []
        if foreign:
            raise BadSetting(
                f"'{self.home}' cannot be a node's home (node.home): a node writes and removes in folders of the names"
                f" {', '.join(map(repr, foreign))}, and those that are there are not a node's. Give it another home, as"
                f" '{self.home / 'node'}', or move them away. Nothing was changed."
            )

    def prepare(self) -> None:
        """Make the directories; what an earlier life left in `tmp` goes."""
        for directory in (self.tools, self.runs, self.datasets, self.clones):
            directory.mkdir(parents=True, exist_ok=True)
        self.home.chmod(0o700)
        remove_tree(self.temporary)
        self.temporary.mkdir()
        if not self.wake.exists():
            os.mkfifo(self.wake, 0o600)

    def id(self) -> str:
        """A UUID that this home has been given once: it tells this node from another one of the same name."""
        if self._id is None:
            path = self.home / "id"
            if not path.exists():
                write_durably(path, str(uuid4()).encode(), mode=0o600)
            self._id = path.read_text()
        return self._id

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold this home for this process alone.

        Raises:
            NodeRunning: another process holds it.
            BadSetting: something of anybody else is in the way.
        """
        self.check()
        self.home.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self.lock, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                owner = os.pread(descriptor, 100, 0).decode()
                raise NodeRunning(
                    f"The node in {self.home} is served by another process already ({owner or 'starting'})."
                    " Stop that one, or give this one another home (MAO_NODE__HOME)."
                ) from None
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"pid {os.getpid()}".encode(), 0)
            yield
        finally:
            os.close(descriptor)

    @contextmanager
    def aside(self, name: str) -> Iterator[Path]:
        """A temporary directory, gone afterwards; if this process is killed, gone at the next start."""
        directory = self.temporary / name
        directory.mkdir()
        try:
            yield directory
        finally:
            remove_tree(directory)

    def run(self, run_id: str) -> Path:
        return self.runs / run_id

    def run_data(self, run_id: str) -> Path:
        """The files that the run added or changed; for a run with `Fresh` it writes here itself."""
        return self.run(run_id) / "data"

    def attempt(self, tool: str, attempt_id: str) -> Path:
        """The directory of one attempt to install: the job of its installer, and `tree`."""
        return self.tools / tool.lower() / attempt_id

    def tree(self, tool: str, attempt_id: str) -> Path:
        """The tool's files. They are built where they stay, as installers write absolute paths into them."""
        return self.attempt(tool, attempt_id) / "tree"

    def cache(self, dataset: str) -> Path:
        """What publishing needs of a dataset: a bare repository that can be thrown away."""
        return self.datasets / f"{dataset.lower()}.git"

    def history(self, dataset: str) -> Path:
        """The commits of a dataset alone, to count them: a bare repository that can be thrown away."""
        return self.datasets / f"{dataset.lower()}.history"

    def clone(self, dataset: str) -> Path:
        return self.clones / dataset


def _is_empty(path: Path) -> bool:
    return path.is_dir() and not any(path.iterdir())


def _is_lock(path: Path) -> bool:
    """Whether a file is one that a node holds its home by; the first start of one may have been cut short."""
    return path.is_file() and re.fullmatch(rb"(pid \d+)?", path.read_bytes()) is not None


@contextmanager
def disk_errors(doing: str) -> Iterator[None]:
    """Turn the system's "no space left" into a `DiskFull` that says what could not be done."""
    try:
        yield
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise DiskFull(f"There is no room on the disk for {doing} ({error}). Make room.") from error
        raise


def write_durably(path: Path, content: bytes, mode: int = 0o644) -> None:
    """Give `path` this content so that a kill or a power loss leaves the old or the new, never a part.

    Raises:
        DiskFull: the old is still there.
    """
    # The command line and the node may write the same file in the same moment.
    part = path.with_name(f"{path.name}.{os.getpid()}-{threading.get_native_id()}.part")
    with disk_errors(f"'{path}'"):
        try:
            descriptor = os.open(part, os.O_CREAT | os.O_WRONLY | os.O_TRUNC | os.O_CLOEXEC, mode)
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(descriptor)
            part.replace(path)
        except OSError:
            part.unlink(missing_ok=True)
            raise
        fsync(path.parent)


def fsync(path: Path) -> None:
    """Put a file, or the names in a directory, on stable storage."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def flush_all(path: Path) -> None:
    """Put all of the file system that `path` is on on stable storage: quicker than very many files one by one.

    Raises:
        DiskFull: the system could not write it.
    """
    done = subprocess.run(["sync", "--file-system", "--", path], capture_output=True, check=False)
    if done.returncode:
        raise DiskFull(f"'{path}' could not be put on the disk: {done.stderr.decode('utf-8', 'replace').strip()}")


def remove_tree(path: Path) -> None:
    """Remove a directory with all that is in it, read-only folders too; it may be half gone already."""
    gone = path.with_name(f".gone-{path.name}")
    _remove(gone)  # what a call that was killed has left
    with contextlib.suppress(FileNotFoundError):
        path.rename(gone)  # from here on nothing takes a half of it for the whole
        _remove(gone)


def _remove(doomed: Path) -> None:
    if doomed.is_symlink() or not doomed.is_dir():
        doomed.unlink(missing_ok=True)
        return
    try:
        shutil.rmtree(doomed)
    except (OSError, RecursionError):  # folders that may not be written to, or more levels than Python's stack
        subprocess.run(["chmod", "-R", "u+rwX", "--", doomed], capture_output=True, check=False)
        removed = subprocess.run(["rm", "-rf", "--", doomed], capture_output=True, check=False)
        if removed.returncode:
            raise OSError(removed.stderr.decode("utf-8", "replace").strip()) from None
