"""Where a node answers: at the socket in its home, for its owner; over TCP, for who has a token; for other nodes."""

from __future__ import annotations

import os
import socket
import ssl
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from ipaddress import ip_address
from typing import TYPE_CHECKING

from mao.errors import BadSetting
from mao.web.callers import Entrance
from mao.web.guard import LOOPBACK
from mao.web.peers import PeerProtocol, server_context, show_certificate
from mao.web.protocols import BoundedProtocol, OwnProtocol

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import ExitStack
    from pathlib import Path

    from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

    from mao.config import Config

BACKLOG = 2048
_EVERYWHERE = frozenset({"0.0.0.0", "::"})  # noqa: S104  # to refuse it where it is not meant


@dataclass(frozen=True)
class Door:
    """A socket that listens, what is spoken there, and the TLS, if any."""

    socket: socket.socket
    protocol: type[HttpToolsProtocol]
    context: ssl.SSLContext | None = None


def doors(config: Config, closing: ExitStack) -> tuple[list[Door], Entrance]:
    """All that the node listens at, until `closing`, and what is known of the address for others than its owner.

    Raises:
        BadSetting: it cannot listen there, or must not.
    """
    _check(config)
    found = [Door(closing.enter_context(own_socket(config.home)), OwnProtocol)]
    url = None
    if config.listen is not None:
        listening = closing.enter_context(listen(*config.listen))
        found.append(Door(listening, BoundedProtocol, _context(config)))
        url = _url(config, config.listen[0], listening.getsockname()[1])
    if others := config["cluster.listen"]:
        peers = closing.enter_context(listen(others[0], others[1], "cluster.listen"))
        found.append(Door(peers, PeerProtocol, server_context(config)))
    return found, Entrance(url, _hosts(config), config["server.behind_proxy"])


def _check(config: Config) -> None:
    """See that nobody's token goes over a network where others can read it."""
    if (config["server.certificate"] is None) != (config["server.key"] is None):
        raise BadSetting("Of server.certificate and server.key only one is set. Set both, or none.")
    if config.listen is None:
        return
    host = config.listen[0]
    if not (_is_loopback(host) or config["server.certificate"] or config["server.behind_proxy"]):
        raise BadSetting(
            f"server.listen is '{host}', which others than this machine can reach, and tokens would go there for all to"
            " read. Set server.certificate and server.key, or, if a proxy with TLS stands before the node,"
            " server.behind_proxy (--behind-proxy). An SSH tunnel to 127.0.0.1 needs neither."
        )
    if host in _EVERYWHERE and not config["server.hosts"]:
        raise BadSetting(f"server.listen is '{host}': set server.hosts to the names by which the node may be asked.")


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _hosts(config: Config) -> frozenset[str]:
    """The names by which the node may be asked over TCP."""
    if config.listen is None:
        return frozenset()
    host = config.listen[0]
    names = {_in_url(host).lower()} - _EVERYWHERE | set(config["server.hosts"])
    return frozenset(names | LOOPBACK if _is_loopback(host) else names)


def _in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _url(config: Config, host: str, port: int) -> str:
    """Where a browser finds the node."""
    hosts: tuple[str, ...] = config["server.hosts"]
    if config["server.behind_proxy"] and hosts:
        return f"https://{hosts[0]}"
    scheme = "https" if config["server.certificate"] else "http"
    return f"{scheme}://{hosts[0] if host in _EVERYWHERE else _in_url(host)}:{port}"


def _context(config: Config) -> ssl.SSLContext | None:
    certificate, key = config["server.certificate"], config["server.key"]
    if certificate is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    show_certificate(context, certificate, key, "server")
    return context


@contextmanager
def own_socket(home: Path) -> Iterator[socket.socket]:
    """A socket that listens in the node's home, which this process must hold; only the home's owner can open it.

    Raises:
        BadSetting: the file system has no sockets.
    """
    # An address of a socket holds 107 bytes, a path more: by way of the directory any home has one.
    directory = os.open(home, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with suppress(FileNotFoundError):
            os.unlink("socket", dir_fd=directory)  # of an earlier life that was killed
        os.fchmod(listening.fileno(), 0o600)  # the file is made with that mode
        try:
            listening.bind(f"/proc/self/fd/{directory}/socket")
        except OSError as error:
            raise BadSetting(
                f"The node cannot make its socket in '{home}': {error.strerror}. Give it a home (node.home) on a disk"
                " of this machine."
            ) from error
        listening.listen(BACKLOG)
        yield listening
        with suppress(FileNotFoundError):
            os.unlink("socket", dir_fd=directory)
    finally:
        listening.close()
        os.close(directory)


def listen(host: str, port: int, setting: str = "server.listen") -> socket.socket:
    """A socket that listens where `setting` says.

    Raises:
        BadSetting: the address is taken.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Without the protocol asyncio leaves Nagle's algorithm on: each answer would wait 40 ms for the client's ACK.
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
    except OSError as error:
        listening.close()
        raise BadSetting(
            f"The server cannot listen on {host}:{port}: {error.strerror}. Is another node there? Set {setting}"
            f" (MAO_{setting.upper().replace('.', '__')}) to another address."
        ) from error
    listening.listen(BACKLOG)
    return listening
