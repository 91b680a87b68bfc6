"""A way to a server on this machine that can be cut just when the server has answered."""

from __future__ import annotations

import contextlib
import math
import socket
import threading
import time
from typing import Self


class Way:
    """Listens at `endpoint` and passes on to a port of 127.0.0.1.

    Args:
        port: of the server.
        rate: how many bytes of its answers pass in a second.
    """

    def __init__(self, port: int, rate: float = math.inf) -> None:
        self._port = port
        self._rate = rate
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.endpoint = f"127.0.0.1:{self._listening.getsockname()[1]}"
        self.cut = threading.Event()
        """Set it: of what the server answers from now on nothing arrives, and the connection ends."""
        self._sockets: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # closed
            while True:
                client, _ = self._listening.accept()
                server = socket.create_connection(("127.0.0.1", self._port))
                self._sockets += [client, server]
                threading.Thread(target=self._pass_on, args=(client, server, False), daemon=True).start()
                threading.Thread(target=self._pass_on, args=(server, client, True), daemon=True).start()

    def _pass_on(self, source: socket.socket, target: socket.socket, answers: bool) -> None:  # noqa: FBT001
        with contextlib.suppress(OSError):  # the other direction has ended both
            while data := source.recv(65536):
                if answers and self.cut.is_set() and not _only_control(data):
                    break
                time.sleep(len(data) / self._rate if answers else 0.0)
                target.sendall(data)
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Let nothing through any more."""
        for end in (self._listening, *self._sockets):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()


_HEAD = 9
_DATA, _HEADERS = 0, 1


def _only_control(data: bytes) -> bool:
    """Whether these are frames of HTTP/2 that answer nothing, such as settings (RFC 9113, section 4.1)."""
    while len(data) >= _HEAD:
        if data[3] in {_DATA, _HEADERS}:
            return False
        data = data[_HEAD + int.from_bytes(data[:3], "big") :]
    return True
