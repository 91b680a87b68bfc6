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

GONE = -1
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
        _signal(pid, number, lambda: _parent_and_birth(pid)[0] in (parent, os.getpid()))


def marked(name: str, value: str) -> set[int]:
    """The processes started with `name=value` in their environment and all below them, without this one.

    A process that shows another environment and has outlived its marked parents is not found.
    """
    return set(_births_of_marked(os.fsencode(f"{name}={value}")))


def kill_marked(name: str, value: str, patience: float = 5.0) -> bool:
    """Kill `marked` until none is left; whether that came true within `patience` seconds.

    All are stopped before the first is killed: else those below it could no longer be found.
    """
    entry = os.fsencode(f"{name}={value}")
    give_up = time.monotonic() + patience
    in_vain = 0
    while in_vain < LOOKS:
        family: dict[int, int] = {}
        while fresh := _births_of_marked(entry, signal.SIGSTOP).items() - family.items():
            family.update(fresh)
            if time.monotonic() > give_up:
                break
        for pid, born in family.items():
            _signal_if_born(pid, born, signal.SIGKILL)
        in_vain = 0 if family else in_vain + 1
        if family and time.monotonic() > give_up:
            return False
    return True


def _births_of_marked(entry: bytes, number: int = 0) -> dict[int, int]:
    """Signals what it finds, the newest first and at once: what forks without end is gone a moment later."""
    parents: dict[int, int] = {}
    births: dict[int, int] = {}
    found: set[int] = set()
    own = os.getpid()
    for pid in sorted((int(name) for name in os.listdir("/proc") if name.isdecimal()), reverse=True):
        parents[pid], births[pid] = _parent_and_birth(pid)
        if births[pid] != GONE and pid != own and _carries(pid, entry):
            found.add(pid)
            _signal_if_born(pid, births[pid], number)
    while below := {pid for pid, parent in parents.items() if parent in found} - found - {own}:
        found |= below
        for pid in below:
            _signal_if_born(pid, births[pid], number)
    return {pid: births[pid] for pid in found}


def _signal_if_born(pid: int, born: int, number: int) -> None:
    _signal(pid, number, lambda: _parent_and_birth(pid)[1] == born)


def _children(pid: int) -> list[int]:
    found: list[int] = []
    with contextlib.suppress(OSError):  # it has just ended
        for thread in os.listdir(f"/proc/{pid}/task"):
            found += map(int, _read(f"/proc/{pid}/task/{thread}/children").split())
    return found


def _parent_and_birth(pid: int) -> tuple[int, int]:
    """`GONE` for what has ended, whether it was waited for or not; a birth is in ticks since the system's start."""
    with contextlib.suppress(OSError):
        fields = _read(f"/proc/{pid}/stat").rpartition(b")")[2].split()
        if fields[0] not in b"ZX":
            return int(fields[1]), int(fields[19])  # see proc_pid_stat(5); the first after the name is the state
    return GONE, GONE


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
