"""Give a process its input and take what it says, in bounded time: of both there may be too much."""

from __future__ import annotations

import contextlib
import os
import selectors
import subprocess
import time
from functools import partial
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    Pipe = IO[bytes]

_PIECE = 1 << 16  # bytes that are read at a time
_WRITTEN = 4096  # bytes that a pipe takes without a pause, once it takes any (pipe(7): PIPE_BUF)
MOST_WORDS = 1 << 16
"""Bytes of what a process complains about that are kept, the last ones: there is the reason of its end."""


def converse(process: subprocess.Popen[bytes], given: bytes, seconds: float, take: Callable[[bytes], object]) -> bytes:
    """Give the rest of its input to a process, and wait for its end.

    Args:
        process: with pipes for its input and its output, and maybe for its complaints.
        given: what is left to be written.
        seconds: that this may take.
        take: is given each piece of the output; what it raises is passed on.

    Returns:
        the last of its complaints.

    Raises:
        subprocess.TimeoutExpired
    """
    deadline = time.monotonic() + seconds
    complaints = bytearray()
    with selectors.DefaultSelector() as pipes:
        if process.stdin and _begun(process.stdin, given):
            pipes.register(process.stdin, selectors.EVENT_WRITE)
        for pipe, taker in ((process.stdout, take), (process.stderr, partial(_complain, complaints))):
            if pipe:
                pipes.register(pipe, selectors.EVENT_READ, taker)
        rest = memoryview(given)
        while pipes.get_map():
            ready = pipes.select(max(0.0, deadline - time.monotonic()))
            if time.monotonic() >= deadline:  # also of one that goes on and on
                raise subprocess.TimeoutExpired(process.args, seconds)
            for key, event in ready:
                if event == selectors.EVENT_WRITE:
                    piece = rest = rest[_write(key.fd, rest) :]
                else:
                    piece = memoryview(os.read(key.fd, _PIECE))
                    key.data(bytes(piece))
                if not piece:
                    pipes.unregister(key.fileobj)
                    _close(key.fileobj)  # type: ignore[arg-type]  # it is a pipe that was registered here
    process.wait(max(0.0, deadline - time.monotonic()))
    return bytes(complaints[-MOST_WORDS:])


def _complain(complaints: bytearray, piece: bytes) -> None:
    complaints.extend(piece)
    if len(complaints) > 2 * MOST_WORDS:
        del complaints[:-MOST_WORDS]


def _begun(stdin: Pipe, given: bytes) -> bool:
    """Whether there is more to be written than what a dialogue has left in the pipe's buffer."""
    with contextlib.suppress(BrokenPipeError):
        stdin.flush()
    if not given:
        _close(stdin)
    return bool(given)


def _write(fd: int, rest: memoryview) -> int:
    """How much was written; all, if nobody reads it."""
    try:
        return os.write(fd, rest[:_WRITTEN])
    except BrokenPipeError:
        return len(rest)


def _close(pipe: Pipe) -> None:
    with contextlib.suppress(BrokenPipeError):
        pipe.close()
