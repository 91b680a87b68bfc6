"""git over HTTP on loopback, by `git http-backend`; it counts the bytes of each repository in both directions."""

from __future__ import annotations

import http.server
import io
import os
import subprocess
import sys
import threading
from collections import Counter
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from support import GIT_ENVIRONMENT

if TYPE_CHECKING:
    from collections.abc import Iterator


class GitServer(http.server.ThreadingHTTPServer):
    """Serves the bare repositories below `root`.

    `up` and `down` hold the bytes received and sent for each repository, with the headers of HTTP, without those of
    TCP.
    """

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, root: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.root = root
        self.up: Counter[str] = Counter()
        self.down: Counter[str] = Counter()

    def url(self, repository: Path) -> str:
        return f"http://127.0.0.1:{self.server_port}/{repository.relative_to(self.root)}"


@contextmanager
def served(root: Path) -> Iterator[GitServer]:
    """A server in threads of this process; what it calls is a child of this process."""
    with GitServer(root) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


class _Counted(io.BufferedIOBase):
    """A stream that counts what goes through it."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self.count = 0

    def _counted(self, data: bytes) -> bytes:
        self.count += len(data)
        return data

    def read(self, size: int | None = -1, /) -> bytes:
        return self._counted(self._stream.read(size))

    def readline(self, size: int | None = -1, /) -> bytes:
        return self._counted(self._stream.readline(size))

    def write(self, data: Any, /) -> int:
        self.count += len(data)
        written: int = self._stream.write(data)
        return written

    def flush(self) -> None:
        self._stream.flush()

    def close(self) -> None:
        self._stream.close()

    @property
    def closed(self) -> bool:
        return bool(self._stream.closed)


class _Handler(http.server.BaseHTTPRequestHandler):
    server: GitServer
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = 1 << 16

    def setup(self) -> None:
        super().setup()
        self.received = _Counted(self.rfile)
        self.sent = _Counted(self.wfile)
        self.rfile, self.wfile = self.received, self.sent

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def _serve(self) -> None:
        path, _, query = self.path.partition("?")
        environment = os.environ | GIT_ENVIRONMENT
        environment |= {
            "GIT_PROJECT_ROOT": str(self.server.root),
            "GIT_HTTP_EXPORT_ALL": "1",
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "REQUEST_METHOD": self.command,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": self.headers.get("Content-Length", ""),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
        }
        with subprocess.Popen(
            ["git", "http-backend"], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            for chunk in self._body():
                process.stdin.write(chunk)
            process.stdin.close()
            self._answer(process.stdout)
        repository = path[1 : path.find(".git") + len(".git")]
        self.server.up[repository] += self.received.count
        self.server.down[repository] += self.sent.count
        self.received.count = self.sent.count = 0
        self.wfile.flush()  # not before it is counted: with the last of it, git may be done

    def _body(self) -> Iterator[bytes]:
        if self.headers.get("Transfer-Encoding") == "chunked":
            while size := int(self.rfile.readline(), 16):
                yield self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return
        rest = int(self.headers.get("Content-Length") or 0)
        while rest and (chunk := self.rfile.read(min(rest, 1 << 16))):
            rest -= len(chunk)
            yield chunk

    def _answer(self, output: IO[bytes]) -> None:
        """Pass on what a CGI program prints (RFC 3875)."""
        status, headers = 200, list[tuple[str, str]]()
        while line := output.readline().decode().strip():
            name, _, value = line.partition(": ")
            if name == "Status":
                status = int(value.split()[0])
            else:
                headers.append((name, value))
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        while chunk := output.read1(1 << 16):  # type: ignore[attr-defined]  # a pipe of Popen is buffered
            self.wfile.write(b"%x\r\n%s\r\n" % (len(chunk), chunk))
        self.wfile.write(b"0\r\n\r\n")
