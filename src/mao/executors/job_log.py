"""The file that a job's output goes to."""

from __future__ import annotations

import contextlib
import os

TYPE_CHECKING = False  # importing `typing` costs 5 ms
if TYPE_CHECKING:
    from collections.abc import Mapping

    from mao.executors.blotting import Blotter


class JobLog:
    """Keeps output up to a limit; what is not kept is counted, and owned up to in the log itself.

    Args:
        fd: of the file.
        limit: bytes that are kept.
        hidden: what must not get into the file, with what is to stand there instead.
    """

    def __init__(self, fd: int, limit: int, hidden: Mapping[str, str] | None = None) -> None:
        self.fd = fd
        self.limit = limit
        self.kept = 0
        self.beyond = 0  # dropped because of the limit
        self.unwritten = 0  # dropped because the disk was full
        self._missing = 0  # those of the unwritten that are not owned up to yet
        self._end = b"\n"
        self._blotter: Blotter | None = None
        if hidden:
            from mao.executors.blotting import Blotter  # noqa: PLC0415  # few jobs need it

            self._blotter = Blotter(hidden)

    def write(self, data: bytes) -> None:
        self._keep(data if self._blotter is None else self._blotter.blot(data))

    def _keep(self, data: bytes) -> None:
        wanted = data[: self.limit - self.kept]
        self.beyond += len(data) - len(wanted)
        try:
            while wanted:
                self._note_missing()
                written = os.write(self.fd, wanted)
                self.kept += written
                self._end, wanted = wanted[written - 1 : written], wanted[written:]
        except OSError:
            self.unwritten += len(wanted)
            self._missing += len(wanted)

    def finish(self) -> None:
        if self._blotter is not None:
            self._keep(self._blotter.rest())
        with contextlib.suppress(OSError):  # the record of the end has the numbers, too
            self._note_missing()
            if self.beyond:
                self._note(f"the log limit of {self.limit} bytes was reached; {self.beyond} bytes more were dropped")
            if self.kept:
                os.fsync(self.fd)

    def _note_missing(self) -> None:
        if self._missing:
            self._note(f"the log could not be written; {self._missing} bytes were dropped here")
            self._missing = 0

    def _note(self, text: str) -> None:
        start = "" if self._end == b"\n" else "\n"
        os.write(self.fd, f"{start}[mao] {text}\n".encode())
        self._end = b"\n"
