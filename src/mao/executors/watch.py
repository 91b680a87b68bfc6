"""The limits of a job: set before its program is started where the kernel keeps them, looked after where it does not.

Used in every supervisor, so it imports little.
"""

# pathlib would cost every supervisor time and memory:
# ruff: noqa: PTH116, PTH118, PTH123, PTH208
from __future__ import annotations

import contextlib
import os
import resource
import signal
import stat
import time

from mao.executors.control_groups import ControlGroups
from mao.processes import descendants

TYPE_CHECKING = False  # importing `typing` costs 5 ms
if TYPE_CHECKING:
    from typing import Any

BETWEEN_LOOKS = 0.25  # seconds, at least; and so many times what a look took:
SHARE = 20
BETWEEN_WALKS = 1.0  # seconds between looks at the disk, at least
WALK_SHARE = 50
OWN_PROCESSES = 3  # of the sandbox, while it sets itself up
SLACK = 4 << 30  # bytes that programs reserve without using them: stacks, pools of threads
TICKS = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")


class Watch:
    """What a job uses, beside what it may."""

    def __init__(self, job: dict[str, Any]) -> None:
        self.limits: dict[str, Any] = job["limits"]
        writable: list[str] = job["writable"]
        self.folders = [one for one in writable if not any(one.startswith(f"{other}/") for other in writable)]
        spare = OWN_PROCESSES if job["confined"] else 0
        most = self.limits["processes"]
        self.processes = None if most is None else most + spare
        self.groups = ControlGroups(job["groups"], {"memory": self.limits["memory"], "pids": self.processes})
        self.before = self.disk() if self.limits["disk"] is not None else 0
        self.seconds = 0.0
        """Of the processor, as last seen: what is killed all at once is waited for by nobody."""
        self.next_look = time.monotonic() + BETWEEN_LOOKS
        self.next_walk = time.monotonic() + BETWEEN_WALKS

    def enter(self) -> None:
        """Put this process under the limits that the kernel keeps; what it becomes cannot leave them."""
        self.groups.enter()
        memory, cpu_time = self.limits["memory"], self.limits["cpu_time"]
        # Of each process; a limit for all of them together is kept by looking. What programs reserve is more than
        # they use, so this one only slows down what would fill the memory between two looks.
        _lower(resource.RLIMIT_DATA, None if memory is None else 2 * memory + SLACK)
        _lower(resource.RLIMIT_CPU, None if cpu_time is None else int(cpu_time) + 2)
        _lower(resource.RLIMIT_FSIZE, self.limits["file_size"])
        _lower(resource.RLIMIT_NOFILE, self.limits["open_files"])
        _lower(resource.RLIMIT_CORE, 0)

    def patience(self) -> float:
        """Seconds until it is time to look again."""
        return max(0.0, min(self.next_look, self.next_walk) - time.monotonic())

    def passed(self) -> str | None:
        """Which limit was passed, in words, if it is time to look and one was."""
        met = None
        if (begun := time.monotonic()) >= self.next_look:
            met = self.look()
            self.next_look = (now := time.monotonic()) + max(BETWEEN_LOOKS, SHARE * (now - begun))
        if met is None and (begun := time.monotonic()) >= self.next_walk:
            met = self.walk()
            self.next_walk = (now := time.monotonic()) + max(BETWEEN_WALKS, WALK_SHARE * (now - begun))
        return met

    def passed_at_the_end(self, code: int | None) -> str | None:
        """Likewise, when no process is left: what passes a limit between two looks is no success either.

        Args:
            code: the exit code of the program, or -N for signal N.
        """
        file_size, cpu_time = self.limits["file_size"], self.limits["cpu_time"]
        if code == -signal.SIGXFSZ and file_size is not None:
            return f"file size: {in_words(file_size)} at most"
        if code == -signal.SIGXCPU and cpu_time is not None:
            return f"processor time: {cpu_time:g} s at most"
        return self.look() or self.walk()

    def look(self) -> str | None:
        used = [use for pid, _ in descendants() if (use := _use(pid))]
        self.seconds = max(self.seconds, sum(seconds for _, _, seconds, _ in used))
        memory, cpu_time = self.limits["memory"], self.limits["cpu_time"]
        if self.groups.met("memory") or (memory is not None and self.takes(memory, used)):
            return f"memory: {in_words(memory)} at most"
        threads = sum(threads for _, threads, _, _ in used)
        if self.groups.met("pids") or (self.processes is not None and threads > self.processes):
            return f"processes: {self.limits['processes']} at most"
        if cpu_time is not None and self.seconds > cpu_time:
            return f"processor time: {cpu_time:g} s at most"
        return None

    def takes(self, memory: int, used: list[tuple[int, int, float, int]]) -> bool:
        """Whether the processes have more; what several share is looked at once that decides."""
        if "memory" in self.groups.made or sum(anonymous for _, _, _, anonymous in used) <= memory:
            return False
        return sum(_proportional(pid, anonymous) for pid, _, _, anonymous in used) > memory

    def walk(self) -> str | None:
        disk = self.limits["disk"]
        if disk is None or self.disk() - self.before <= disk:
            return None
        return f"disk: {in_words(disk)} at most"

    def disk(self) -> int:
        """Bytes of all files in the folders, those included that are open and have no name any more."""
        total, devices = 0, set[int]()
        for folder in self.folders:
            for path, status in _below(folder):
                total += max(status.st_size, status.st_blocks * 512)
                if path == folder:
                    devices.add(status.st_dev)
        return total + sum(_nameless(pid, devices) for pid, _ in descendants())

    def close(self) -> None:
        self.groups.remove()


def in_words(size: int) -> str:
    for unit, factor in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if size >= factor:
            return f"{size / factor:.4g} {unit}"
    return f"{size} bytes"


def _lower(kind: int, most: int | None) -> None:
    if most is None:
        return
    limits = [most if now == resource.RLIM_INFINITY else min(now, most) for now in resource.getrlimit(kind)]
    resource.setrlimit(kind, (limits[0], limits[1]))


def _use(pid: int) -> tuple[int, int, float, int] | None:
    """Of a process: its number, its threads, its seconds of the processor, its anonymous memory in bytes.

    The seconds are those of its children, too, once they have been waited for.
    """
    with contextlib.suppress(OSError):
        fields = _read(f"/proc/{pid}/stat").rpartition(")")[2].split()  # proc_pid_stat(5), from the third on
        _, resident, shared, *_ = _read(f"/proc/{pid}/statm").split()
        seconds = sum(map(int, fields[11:15])) / TICKS
        return pid, int(fields[17]), seconds, (int(resident) - int(shared)) * PAGE
    return None


def _proportional(pid: int, anonymous: int) -> int:
    """Its anonymous memory, of what it shares with others only its part; all of it if the system does not tell."""
    with contextlib.suppress(OSError):
        for line in _read(f"/proc/{pid}/smaps_rollup").splitlines():
            if line.startswith("Pss_Anon:"):
                return int(line.split()[1]) * 1024
    return anonymous


def _below(folder: str) -> list[tuple[str, os.stat_result]]:
    found = []
    pending = [folder]
    while pending:
        path = pending.pop()
        with contextlib.suppress(OSError):
            status = os.lstat(path)
            found.append((path, status))
            if stat.S_ISDIR(status.st_mode):
                pending += [os.path.join(path, name) for name in os.listdir(path)]
    return found


def _nameless(pid: int, devices: set[int]) -> int:
    total = 0
    with contextlib.suppress(OSError):
        for fd in os.listdir(f"/proc/{pid}/fd"):
            with contextlib.suppress(OSError):
                status = os.stat(f"/proc/{pid}/fd/{fd}")
                if status.st_nlink == 0 and stat.S_ISREG(status.st_mode) and status.st_dev in devices:
                    total += status.st_blocks * 512
    return total


def _read(path: str) -> str:
    with open(path) as file:
        return file.read()
