"""Where a node answers, and a connection to there: the socket in its home, or an address of the network with a token.

TLS is loaded only where it is spoken: it takes as long as a third of all the rest of a command.
"""

from __future__ import annotations

import os
import socket
from http.client import HTTPConnection
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from mao.errors import BadSetting, NodeUnreachable, NotSignedIn

if TYPE_CHECKING:
    from ssl import SSLContext

DEFAULT_URL = "unix:~/mao/socket"
_EXAMPLES = "unix:/home/ada/mao/socket or https://mao.example.org"
_PORTS = {"http": 80, "https": 443}
_HERE = frozenset({"127.0.0.1", "localhost", "::1"})


class NodeAddress:
    """An address, with what lets somebody in there.

    Args:
        url: `unix:PATH` of a socket, `http://HOST:PORT` or `https://HOST:PORT`.
        token: to send there; not to a socket, whose owner is known.
        ca: file with the certificate authority (PEM) to trust, in place of the system's.
    """

    def __init__(self, url: str, token: str | None = None, ca: str | None = None) -> None:
        parts = urlsplit(url if ":" in url.partition("/")[0] and not _is_port(url) else f"http://{url}")
        self.headers: dict[str, str] = {}
        self._ca = ca
        self._socket = Path(parts.path).expanduser() if parts.scheme == "unix" else None
        try:
            port = _PORTS.get(parts.scheme, 0) if parts.port is None else parts.port
            self._host, self._port = parts.hostname or "", port if parts.scheme in _PORTS else 0
        except ValueError:
            self._host, self._port = "", 0
        if self._socket is not None and parts.path and not parts.netloc:
            self.url = f"unix:{self._socket}"
            return
        if not self._host or not self._port or parts.path.strip("/") or parts.query:
            raise BadSetting(f"'{url}' is not the address of a node, such as {_EXAMPLES}.")
        self.url, self._is_tls = f"{parts.scheme}://{parts.netloc}", parts.scheme == "https"
        if token and not self._is_tls and self._host not in _HERE:
            raise BadSetting(
                f"A token is not sent to {self.url}, where others could read it on its way. Ask with https://, or"
                " through an SSH tunnel to 127.0.0.1. Nothing was sent."
            )
        if token:
            self.headers["Authorization"] = f"Bearer {token}"

    def connection(self, timeout: float) -> HTTPConnection:
        """A connection that is to be made."""
        if self._socket is not None:
            return _ToSocket(self._socket, timeout)
        if self._is_tls:
            return _WithTls(self._host, self._port, timeout, self._ca)
        return HTTPConnection(self._host, self._port, timeout=timeout)

    def nobody(self, words: str) -> NodeUnreachable:
        """What to say if none answers."""
        if self._socket is not None:
            return NodeUnreachable(
                f"No node serves in {self._socket.parent} ({words}). 'mao serve' starts one; if yours has another home,"
                " say so with node.home (MAO_NODE__HOME), or give its address with --node-url."
            )
        return NodeUnreachable(
            f"No node answers at {self.url} ({words}). 'mao serve' starts one; if yours is elsewhere, say so with"
            " --node-url (MAO_URL)."
        )


def _is_port(url: str) -> bool:
    """Whether what follows the first `:` is a port, and not what a scheme begins."""
    return url.partition("/")[0].rpartition(":")[2].isdigit()


class _ToSocket(HTTPConnection):
    """A connection to the socket in a node's home."""

    def __init__(self, path: Path, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        try:
            # An address of a socket holds 107 bytes, a path more: by way of the directory any home has one.
            directory = os.open(self._path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
                self.sock.settimeout(self.timeout)
                self.sock.connect(f"/proc/self/fd/{directory}/{self._path.name}")
            finally:
                os.close(directory)
        except PermissionError:
            self.close()
            raise NotSignedIn(
                f"The node in {self._path.parent} is for {_owner(self._path.parent)} alone to reach there. Ask whoever"
                " keeps it for a token ('mao token create') and an address: --node-url (MAO_URL) and MAO_TOKEN."
            ) from None


def _owner(home: Path) -> str:
    from pwd import getpwuid  # noqa: PLC0415  # for an error

    try:
        return f"'{getpwuid(home.stat().st_uid).pw_name}'"
    except (OSError, KeyError):
        return "another user"


class _WithTls(HTTPConnection):
    """A connection with TLS; `http.client` has none if it was loaded without (see `mao.cli.asking`)."""

    def __init__(self, host: str, port: int, timeout: float, ca: str | None) -> None:
        super().__init__(host, port, timeout=timeout)
        self._ca = ca

    def connect(self) -> None:
        import ssl  # noqa: PLC0415  # as above

        context = self._context()
        super().connect()
        try:
            self.sock = context.wrap_socket(self.sock, server_hostname=self.host)
        except ssl.SSLError as error:
            reason = getattr(error, "verify_message", None) or error.reason or error
            raise NodeUnreachable(
                f"What answers at {self.host}:{self.port} does not show a certificate that is trusted ({reason})."
                " MAO_CA names the file of another authority. Nothing was sent."
            ) from error

    def _context(self) -> SSLContext:
        import ssl  # noqa: PLC0415  # as above

        try:
            return ssl.create_default_context(cafile=self._ca)
        except (OSError, ssl.SSLError) as error:
            raise BadSetting(f"MAO_CA: {self._ca} holds no certificate in PEM ({error}).") from error
