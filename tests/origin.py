"""The process from which nodes and commands are forked: `python origin.py FD` takes requests at that socket.

It has loaded what they need. It has one thread, and no connection of grpc, as neither survives a fork.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import gc
import importlib
import json
import os
import pkgutil
import selectors
import socket
import sys
import threading
from pathlib import Path

import mao.cli
from crashing import begin
from forking import Process

_CLONE_NEWNET = 0x40000000
_LOADED = (
    "anyio._backends._asyncio",
    "mao.certificates",
    "mao.client",
    "mao.clustering",
    "mao.registries.etcd",
    "mao.web.server",
    "uvicorn.lifespan.on",
    "uvicorn.loops.asyncio",
    "uvicorn.protocols.http.httptools_impl",
)


def _load() -> None:
    """Load what a node and its commands may need."""
    for name in (*_LOADED, *(f"mao.cli.{module.name}" for module in pkgutil.iter_modules(mao.cli.__path__))):
        importlib.import_module(name)
    gc.collect()
    gc.freeze()  # the collector would write to, and so copy, pages that are shared


class _Forking:
    """What the process does that forks."""

    def __init__(self, requests: socket.socket) -> None:
        self._requests = requests
        self._children: dict[int, tuple[int, socket.socket]] = {}
        """Their pids by their handles, and where their end is told."""
        self._selector = selectors.DefaultSelector()
        self._selector.register(requests, selectors.EVENT_READ)
        self._loaded = False

    def until_forked(self) -> list[str]:
        """Fork whenever it is asked for. Returns in each process that was forked: the arguments it goes on with."""
        while True:
            for key, _ in self._selector.select():
                if key.fileobj is not self._requests:
                    self._end(key.fd)
                elif args := self._fork():
                    return args

    def _end(self, handle: int) -> None:
        pid, told = self._children.pop(handle)
        self._selector.unregister(handle)
        os.close(handle)
        _tell(told, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
        told.close()

    def _fork(self) -> list[str]:
        message, descriptors, _, _ = socket.recv_fds(self._requests, 1, 5)
        if not message:  # whoever has started those that were forked ends them
            os._exit(0)
        told, file, *descriptors = descriptors
        what = Process(**json.loads(os.pread(file, os.fstat(file).st_size, 0)))
        os.close(file)
        if not what.fresh and not self._loaded:
            _load()
            self._loaded = True
        if (pid := os.fork()) == 0:
            os.close(told)
            self._forget()
            return _become(what, *descriptors)
        handle = os.pidfd_open(pid)
        self._children[handle] = pid, socket.socket(fileno=told)
        self._selector.register(handle, selectors.EVENT_READ)
        for descriptor in descriptors:
            os.close(descriptor)
        _tell(self._children[handle][1], pid)
        return []

    def _forget(self) -> None:
        """In a process that was forked: close what is not its own."""
        self._selector.close()
        self._requests.close()
        for handle, (_, told) in self._children.items():
            os.close(handle)
            told.close()


def _tell(told: socket.socket, number: int) -> None:
    with contextlib.suppress(OSError):  # nobody may listen any more
        told.send(str(number).encode())


def _enter(network: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)  # setns(2), which Python has from 3.12 on
    if libc.setns(network, _CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "the process cannot enter the network of the test")


def _become(what: Process, out: int, err: int, network: int) -> list[str]:
    """Be the process that was asked for."""
    os.setsid()
    os.chdir(what.cwd)
    os.environ.clear()
    os.environ.update(what.env)
    os.dup2(out, 1)
    os.dup2(err, 2)
    if Path(f"/proc/self/fd/{network}").readlink() != Path("/proc/self/ns/net").readlink():
        _enter(network)
    for descriptor in (out, err, network):
        os.close(descriptor)
    if what.fresh:
        program = [sys.executable, str(Path(__file__).with_name("crashing.py")), *what.args]
        os.execve(sys.executable, program, what.env)  # noqa: S606  # no shell is wanted
    return what.args


def _be(args: list[str]) -> None:
    """Do what was asked for, and end as the interpreter does; but without taking apart what is there of all modules.

    That would copy the pages that are shared, and takes longer than most commands.
    """
    status = None
    try:
        begin(args)
    except SystemExit as end:
        if not isinstance(end.code, int | None):
            raise
        status = end.code
    threading._shutdown()  # type: ignore[attr-defined]  # the interpreter waits so for threads
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status or 0)


if __name__ == "__main__":
    _be(_Forking(socket.socket(fileno=int(sys.argv[1]))).until_forked())
