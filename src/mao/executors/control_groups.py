"""Control groups, cgroups(7): limits that the kernel keeps for all processes of a job together.

Who is not root makes them only where the system has delegated that. Used in every supervisor, so it imports little.
"""

# pathlib would cost every supervisor time and memory:
# ruff: noqa: PTH103, PTH106, PTH110, PTH120, PTH123, PTH208
from __future__ import annotations

import contextlib
import os

ROOT = "/sys/fs/cgroup"
PREFIX = "mao-"
LIMITS = {"memory": ("memory.max", "memory.limit_in_bytes"), "pids": ("pids.max", "pids.max")}
"""By controller: the file of the limit in the version 2, and in the version 1."""
EVENTS = {
    "memory": (("memory.events", "oom_kill"), ("memory.oom_control", "oom_kill")),
    "pids": (("pids.events", "max"), ("pids.events", "max")),
}
"""Likewise the file that counts how often the limit was met, and the line in it."""

TRIAL = 1 << 20


def groups_above() -> dict[str, str]:
    """By controller, the directory below which this process can make groups; what was left in there goes.

    It is known from having made one: files alone do not tell what a container or a system's manager allows.
    """
    paths = dict[str, str]()
    for line in _read("/proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        for controller in controllers.split(",") if controllers else [""]:
            paths[controller] = path.rstrip("/")
    found = {}
    for controller in LIMITS:
        if controller in paths:
            above = f"{ROOT}/{controller}{paths[controller]}"
        else:
            # In the version 2, a group with processes has no groups below it that limit: the jobs' are made beside it.
            above = os.path.dirname(ROOT + paths.get("", ""))
            if not _is_delegated(above):
                continue
        if _is_usable(above, controller):
            found[controller] = above
    return found


def _is_delegated(group: str) -> bool:
    """Whether systemd has left what is below `group` to this service (https://systemd.io/CGROUP_DELEGATION)."""
    for name in ("user.delegate", "trusted.delegate"):
        with contextlib.suppress(OSError):
            if os.getxattr(group, name) == b"1":
                _write(f"{group}/cgroup.subtree_control", "+memory +pids")
                return True
    return False


def _is_usable(above: str, controller: str) -> bool:
    from subprocess import DEVNULL, run  # noqa: PLC0415  # supervisors do without

    with contextlib.suppress(OSError):
        sweep(above)
        groups = ControlGroups({controller: above}, {controller: TRIAL})
        try:
            if groups.made:
                program = f"echo 0 >{groups.made[controller]}/cgroup.procs"
                return run(["/bin/sh", "-c", program], stderr=DEVNULL, check=False).returncode == 0
        finally:
            groups.remove()
    return False


def sweep(above: str) -> None:
    """Remove the groups of supervisors that were killed; the kernel keeps those in which processes are left."""
    with contextlib.suppress(OSError):
        for name in os.listdir(above):
            if name.startswith(PREFIX) and not os.path.exists(f"/proc/{name.removeprefix(PREFIX)}"):
                _remove(f"{above}/{name}")


def _remove(group: str) -> None:
    with contextlib.suppress(OSError):
        os.rmdir(group)


class ControlGroups:
    """The groups of the job of this process, as far as they can be made.

    Args:
        above: as `groups_above` found it.
        limits: the most of each controller; None for no limit.
    """

    def __init__(self, above: dict[str, str], limits: dict[str, int | None]) -> None:
        self.made: dict[str, str] = {}
        for controller, limit in limits.items():
            if limit is not None and controller in above:
                with contextlib.suppress(OSError):
                    self._make(controller, f"{above[controller]}/{PREFIX}{os.getpid()}", limit)

    def _make(self, controller: str, group: str, limit: int) -> None:
        os.makedirs(group, exist_ok=True)
        self.made[controller] = group
        try:
            _write(f"{group}/{_existing(group, LIMITS[controller])}", limit)
        except OSError:
            self.made.pop(controller)
            os.rmdir(group)
            raise
        for swap, most in (("memory.memsw.limit_in_bytes", limit), ("memory.swap.max", 0), ("memory.oom.group", 1)):
            if controller == "memory" and os.path.exists(f"{group}/{swap}"):
                with contextlib.suppress(OSError):
                    _write(f"{group}/{swap}", most)

    def enter(self) -> None:
        """Put this process, and all that it will start, into the groups."""
        for group in self.made.values():
            _write(f"{group}/cgroup.procs", 0)

    def met(self, controller: str) -> bool:
        """Whether the limit of `controller` kept the job from something."""
        group = self.made.get(controller)
        if group is not None:
            with contextlib.suppress(OSError):
                for file, key in EVENTS[controller]:
                    if os.path.exists(f"{group}/{file}"):
                        return any(line == [key, *line[1:]] and line[1] != "0" for line in _lines(f"{group}/{file}"))
        return False

    def remove(self) -> None:
        for group in self.made.values():
            _remove(group)


def _existing(group: str, names: tuple[str, ...]) -> str:
    return next((name for name in names if os.path.exists(f"{group}/{name}")), names[0])


def _lines(path: str) -> list[list[str]]:
    return [line.split() for line in _read(path).splitlines()]


def _write(path: str, value: object) -> None:
    with open(path, "w") as file:
        file.write(str(value))


def _read(path: str) -> str:
    with open(path) as file:
        return file.read()
