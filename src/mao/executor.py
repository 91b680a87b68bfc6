"""The port of executors: start a job, ask after it, end it. A handle is a string that outlives the server."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Limits:
    """The most that a job may use; None for no limit. Passing one ends the job ("over-limit")."""

    memory: int | None = None
    """Bytes, of all its processes."""
    processes: int | None = None
    """Processes and threads at a time."""
    open_files: int | None = None
    """Of each process; more cannot be opened, which does not end the job."""
    file_size: int | None = None
    """Bytes of each file that it writes."""
    cpu_time: float | None = None
    """Seconds of all its processes."""
    disk: int | None = None
    """Bytes by which what lies in `Confinement.write` may grow."""
    temporary: int | None = None
    """Bytes of a private `/tmp`, and of `/dev/shm`; more cannot be written, which does not end the job."""


@dataclass(frozen=True, slots=True)
class Confinement:
    """What a job may touch and use. An executor that cannot hide the rest still keeps the limits.

    Args:
        read: what it may read, beside the programs and libraries of the system.
        write: where it may write, too. Of two paths that hold a file, the deeper counts.
        hidden: what it must not see, wherever that lies, but for the paths above.
        network: whether it may use the network of the machine.
        limits: the most that it may use.
    """

    read: tuple[Path, ...] = ()
    write: tuple[Path, ...] = ()
    hidden: tuple[Path, ...] = ()
    network: bool = True
    limits: Limits = Limits()


@dataclass(frozen=True, slots=True)
class Job:
    """What is to be executed, once.

    Args:
        directory: of this job alone; it holds the log (`log`), the record of the end and whatever else the
            executor needs to find the job again. It exists, on a local disk.
        argv: the program (looked up on the PATH of `environment`) and its arguments, exactly.
        cwd: the working directory.
        environment: the whole environment of the program.
        time_limit: seconds until the job is ended; None for no limit.
        log_limit: bytes of output that are kept; what comes after is read, counted and dropped.
        grace: seconds between TERM and KILL when the job is ended.
        output: the directory the program writes to; None if nothing of it has to be kept. What was written there is on
            stable storage once the end is on record: else a loss of power could leave empty files behind a success.
        confinement: what it may touch and use.
        hidden: what must not get into the log, with what is to stand there instead. Like the `environment`, it is on
            the disk until the program is started, and no longer.
    """

    directory: Path
    argv: tuple[str, ...]
    cwd: Path
    environment: dict[str, str]
    time_limit: float | None
    log_limit: int
    grace: float = 10.0
    output: Path | None = None
    confinement: Confinement = Confinement()
    hidden: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class Running:
    """The job was started and has not ended."""

    started_at: float | None
    """Seconds since the epoch; None while the program has not been started yet."""


@dataclass(frozen=True, slots=True)
class Ended:
    """The job's program has ended and none of its processes is left.

    `cause` says what ended it: itself ("exited"), a call of `cancel` ("cancelled"), its time limit ("timed-out"),
    another limit ("over-limit": `error` says which), or that it could not be started ("not-started": `error` says
    why, in the system's words).
    Times are seconds since the epoch, `cpu_seconds` the user and system time of all its processes that were waited
    for, `max_rss` bytes of the largest of them.
    """

    cause: Literal["exited", "cancelled", "timed-out", "over-limit", "not-started"]
    exit_code: int | None
    signal: int | None
    started_at: float | None
    ended_at: float
    cpu_seconds: float
    max_rss: int
    log_bytes: int
    log_dropped: int
    error: str | None = None
    flushed: bool = False
    """Whether what was written to the job's `output` is on stable storage."""
    confined: bool = False
    """Whether it could touch nothing but what its `confinement` names."""


@dataclass(frozen=True, slots=True)
class Lost:
    """The job was started, nobody watches it any more and no end was recorded; no process of it is left."""


class Executor(Protocol):
    """One contract test (`tests/executors/test_contract.py`) runs over all of them."""

    confines: bool
    """Whether jobs can touch nothing but what their `confinement` names."""

    def describe(self) -> str:
        """In a few words, what jobs are confined by on this machine."""

    def start(self, job: Job) -> str:
        """Start `job` and return its handle; for a job that was started before, only return its handle.

        However often it is called for one directory, also by several processes and after a kill -9 at any moment,
        the program is started once.
        """

    def poll(self, handle: str) -> Running | Ended | Lost:
        """How the job is doing; from any process, also after the one that started it is gone."""

    def cancel(self, handle: str) -> None:
        """Ask for the end of the whole process tree; `poll` tells when it is empty. Again does nothing new."""

    def close(self) -> None:
        """Let go of what this process holds; jobs go on."""
