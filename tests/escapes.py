"""What a hostile tool tries. Run by an executor as the tool of a job, it says what it could do, as JSON.

Each attempt gets a place (a path, a port, a number) and raises what the system said when it could not.
Nothing is harmed where an attempt succeeds.
"""

from __future__ import annotations

import ctypes
import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

CLONE_NEWUSER = 0x10000000  # linux/sched.h
PTRACE_SEIZE, PTRACE_DETACH = 0x4206, 17  # linux/ptrace.h
PATIENCE = 5

libc = ctypes.CDLL(None, use_errno=True)


def called(result: int) -> None:
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def read(place: str) -> None:
    Path(place).read_bytes()


def write(place: str) -> None:
    """Without changing anything."""
    os.close(os.open(place, os.O_WRONLY))


def create(place: str) -> None:
    Path(place).touch()
    Path(place).unlink()


def listed(place: str) -> None:
    if not list(Path(place).iterdir()):
        raise FileNotFoundError(place)


def connect(port: int) -> None:
    socket.create_connection(("127.0.0.1", port), PATIENCE).close()


def connect_by_name(place: str) -> None:
    """To a Unix socket; a name that begins with `@` is in no folder."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect("\0" + place[1:] if place.startswith("@") else place)


def see(value: str) -> None:
    """A value in the environment or the command line of any process but this one."""
    for process in Path("/proc").glob("[0-9]*"):
        if int(process.name) == os.getpid():
            continue
        for name in ("environ", "cmdline"):
            try:
                if value.encode() in (process / name).read_bytes():
                    return
            except OSError:
                continue
    raise FileNotFoundError(value)


def kill(pid: int) -> None:
    """Whether it could be: the signal 0 does nothing."""
    os.kill(pid, 0)


def trace(pid: int) -> None:
    called(libc.ptrace(PTRACE_SEIZE, pid, None, None))
    libc.ptrace(PTRACE_DETACH, pid, None, None)


def be_root_of_a_namespace(_: Any) -> None:
    called(libc.unshare(CLONE_NEWUSER))


def name_the_machine(_: Any) -> None:
    """As it is called already, which takes the right to."""
    name = os.uname().nodename.encode()
    called(libc.sethostname(name, len(name)))


def lock_others_out(place: str) -> None:
    """With the mode that it has already, which takes to be its owner."""
    Path(place).chmod(0o666)


def type_into_the_terminal(_: Any) -> None:
    os.close(os.open("/dev/tty", os.O_RDWR))


def become_root(program: str) -> None:
    """By a copy of `id` that belongs to root, and has it run as root."""
    said = subprocess.run([program, "-u"], capture_output=True, text=True, check=True).stdout
    if said.strip() != "0":
        raise PermissionError(said)


def raise_a_limit(_: Any) -> None:
    import resource  # noqa: PLC0415  # what is tried here is to go without the limits that are set

    resource.setrlimit(resource.RLIMIT_NOFILE, (100, 100))
    resource.setrlimit(resource.RLIMIT_NOFILE, (101, 101))


ATTEMPTS: dict[str, tuple[Callable[[Any], None], str]] = {
    "read the key of the owner": (read, "key"),
    "list the home of the owner": (listed, "user"),
    "read a secret that the node keeps": (read, "secret"),
    "read the store": (read, "store"),
    "write the store": (write, "store"),
    "write another tool": (write, "other_tool"),
    "read another tool": (read, "other_tool"),
    "write the data of another run": (write, "other_data"),
    "write the git cache": (write, "cache"),
    "write what is recorded of this run": (write, "record"),
    "change its own program": (write, "program"),
    "write beside the programs of the system": (create, "usr"),
    "fill the memory from the root directory": (create, "root"),
    "fill the memory from /dev": (create, "dev"),
    "read the passwords of the machine": (read, "shadow"),
    "change the kernel": (write, "kernel"),
    "change the mode of /dev/null": (lock_others_out, "null"),
    "see a secret of another run": (see, "value"),
    "kill the server": (kill, "server"),
    "trace the server": (trace, "server"),
    "reach the socket of the server": (connect_by_name, "socket"),
    "reach a socket without a path": (connect_by_name, "abstract"),
    "reach the port of the server": (connect, "port"),
    "use the rights of root": (name_the_machine, "none"),
    "become root by a setuid program": (become_root, "setuid"),
    "raise a limit": (raise_a_limit, "none"),
    "type into a terminal": (type_into_the_terminal, "none"),
    "make a namespace of its own": (be_root_of_a_namespace, "none"),  # last: in one, it has no rights outside
}


def main() -> None:
    places = json.loads(Path(sys.argv[1]).read_bytes())
    said = {}
    for name, (attempt, place) in ATTEMPTS.items():
        try:
            attempt(places[place])
        except OSError as error:
            said[name] = str(error)
        except ValueError as error:
            said[name] = str(error)
        else:
            said[name] = ""
    print(json.dumps(said))  # noqa: T201


if __name__ == "__main__":
    main()
