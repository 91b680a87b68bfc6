"""Processes that nobody waits for: those below this one, and those with a mark in their environment.

Used in every supervisor, so it imports little.
"""

# pathlib would cost every supervisor time and memory:
# ruff: noqa: PTH123, PTH208
from __future__ import annotations

import contextlib
import errno
import os
import signal
import time

TYPE_CHECKING = False  # importing `typing` costs 5 ms
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LOOKS = 2  # one look can miss what was forked while it went on


def descendants() -> Iterator[tuple[int, int]]:
    """Every process below this one with its parent, parents first, each found just before it is yielded."""
    pending, seen = [os.getpid()], set[int]()
    while pending:
        parent = pending.pop()
        for pid in _children(parent):
            if pid not in seen:
                seen.add(pid)
                pending.append(pid)
                yield pid, parent


def signal_descendant(pid: int, parent: int, number: int) -> None:
    """Signal what `descendants` yielded, never another process that has its number since."""
    if parent == os.getpid():
        with contextlib.suppress(OSError):  # a setuid program, that only its owner may signal
            os.kill(pid, number)  # nobody but this process can reap it and so set its number free
    else:
        _signal(pid, number, lambda: _parent(pid) in (parent, os.getpid()))


def marked(name: str, value: str) -> set[int]:
    """The processes started with `name=value` in their environment and all below them, without this one.

    A process that shows another environment and has outlived its marked parents is not found.
    """
    entry = os.fsencode(f"{name}={value}")
    parents: dict[int, int] = {}
    found: set[int] = set()
    for pid in (int(entry) for entry in os.listdir("/proc") if entry.isdecimal()):
        parent = _parent(pid)
        if parent is not None:
            parents[pid] = parent
            if _carries(pid, entry):
                found.add(pid)
    while below := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= below
    return found - {os.getpid()}


def kill_marked(name: str, value: str, patience: float = 5.0) -> bool:
    """Kill `marked` until none is left; whether that came true within `patience` seconds."""
    entry = os.fsencode(f"{name}={value}")
    give_up = time.monotonic() + patience
    in_vain = 0
    while in_vain < LOOKS:
        found = marked(name, value)
        in_vain = 0 if found else in_vain + 1
        for pid in found:
            _kill(pid, entry, found)
        if found:
            if time.monotonic() > give_up:
                return False
            time.sleep(0.005)
    return True


def _kill(pid: int, entry: bytes, family: set[int]) -> None:
    _signal(pid, signal.SIGKILL, lambda: _carries(pid, entry) or _parent(pid) in family)


def _children(pid: int) -> list[int]:
    found: list[int] = []
    with contextlib.suppress(OSError):  # it has just ended
        for thread in os.listdir(f"/proc/{pid}/task"):
            found += map(int, _read(f"/proc/{pid}/task/{thread}/children").split())
    return found


def _parent(pid: int) -> int | None:
    """None for what has ended, whether it was waited for or not."""
    with contextlib.suppress(OSError):
        state, parent = _read(f"/proc/{pid}/stat").rpartition(b")")[2].split()[:2]
        if state not in b"ZX":
            return int(parent)
    return None


def _carries(pid: int, entry: bytes) -> bool:
    with contextlib.suppress(OSError):  # it has just ended, or belongs to somebody else
        return entry in _read(f"/proc/{pid}/environ").split(b"\0")
    return False


def _read(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def _signal(pid: int, number: int, is_the_one: Callable[[], bool]) -> None:
    """Signal a process that is not a child of this one: its number may belong to another at any moment."""
    try:
        process = os.pidfd_open(pid)
    except OSError as error:
        if error.errno == errno.ENOSYS and is_the_one():  # Linux before 5.3
            os.kill(pid, number)
        return
    try:
        if is_the_one():
            signal.pidfd_send_signal(process, number)
    except OSError:
        pass  # it has just ended, or only its owner may signal it
    finally:
        os.close(process)
