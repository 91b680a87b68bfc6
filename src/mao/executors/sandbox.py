"""Runs jobs in a sandbox, made by bubblewrap: they see and touch what their confinement names, and nothing else."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from mao.errors import Unavailable
from mao.executor import Confinement
from mao.executors.bubblewrap import MESSAGE, STATUS_FD
from mao.executors.supervised import SupervisedExecutor

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from mao.executor import Job

PROBE_TIME = 10.0  # seconds
PROGRAMS = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/opt", "/nix/store", "/gnu/store")
# Of /etc what programs need to run; not what tells of this machine's services, its keys or its users' passwords.
SETTINGS = (
    *("alternatives", "bash.bashrc", "fonts", "gai.conf", "group", "host.conf", "hosts", "inputrc", "java*"),
    *("ld.so.cache", "ld.so.conf", "ld.so.conf.d", "locale.alias", "localtime", "machine-id", "magic", "mime.types"),
    *("nsswitch.conf", "passwd", "profile", "profile.d", "protocols", "R", "resolv.conf", "services", "terminfo"),
    *("timezone", "ca-certificates", "crypto-policies", "ssl/certs", "ssl/openssl.cnf", "ssl/cert.pem"),
    *("pki/ca-trust", "pki/tls/certs", "pki/tls/cert.pem", "pki/tls/openssl.cnf", "python3*", "ImageMagick-*"),
)
PROCESSORS = ("/sys/devices/system/cpu", "/sys/devices/system/node")  # how many there are
DEVICES = ("full", "null", "random", "tty", "urandom", "zero")
NOBODY = 65534


class SandboxExecutor(SupervisedExecutor):
    """Satisfies `mao.executor.Executor`.

    Args:
        folder: where it keeps what it needs itself; it is made.
        wake: as that of `SupervisedExecutor`.

    Raises:
        Unavailable: no sandbox can be made on this machine; it says why, and what to do.
    """

    confines = True

    def __init__(self, folder: Path, wake: Path | None = None) -> None:
        self._bwrap, self._options = _bubblewrap()
        self._devices = _own_devices(folder)
        self._probe()
        super().__init__(wake)

    def describe(self) -> str:
        told = subprocess.run([self._bwrap, "--version"], capture_output=True, text=True, check=False)
        missing = [option for option in ("--disable-userns", "--size") if option not in self._options]
        return f"sandbox by {told.stdout.strip()}{''.join(f', without {o}' for o in missing)}; {self.limits()}"

    def program(self, job: Job) -> tuple[str, ...]:
        return (*self._sandbox(job.confinement), "--json-status-fd", str(STATUS_FD), "--", *job.argv)

    def _probe(self) -> None:
        """Make a sandbox: whether the kernel, its security modules and a container allow that is not to be read off."""
        argv = [*self._sandbox(Confinement(network=False)), "--", "/bin/sh", "-c", ":"]
        try:
            done = subprocess.run(argv, env={}, cwd="/", capture_output=True, timeout=PROBE_TIME, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise Unavailable(f"No sandbox can be made here: {error}.") from error
        if done.returncode:
            said = done.stderr.decode(errors="replace").strip().removeprefix(MESSAGE) or f"status {done.returncode}"
            raise Unavailable(
                f"No sandbox can be made here: {said}. Processes that are no root's must be allowed to make user"
                " namespaces: see 'when it does not work' in docs/how-to/confine-tools.md."
            )

    def _sandbox(self, confinement: Confinement) -> Iterator[str]:
        """How bwrap is called. The environment is not in it: command lines are seen by everybody."""
        yield from (self._bwrap, "--unshare-all", "--unshare-user", "--die-with-parent", "--new-session")
        # A user who is root outside would keep the rights over what is in the namespace.
        yield from ("--cap-drop", "ALL")
        if "--disable-userns" in self._options:
            yield "--disable-userns"
        if confinement.network:
            yield "--share-net"
        yield from _system()
        temporary = confinement.limits.temporary
        size = ("--size", str(temporary)) if temporary is not None and "--size" in self._options else ()
        # Read-only: for root, the files of /proc/sys are writable whatever rights have been given up.
        yield from ("--proc", "/proc", "--remount-ro", "/proc", "--dev", "/dev")
        for device in self._devices:
            yield from ("--dev-bind", str(device), f"/dev/{device.name}")
        yield from ("--perms", "1777", *size, "--tmpfs", "/dev/shm", "--remount-ro", "/dev")  # noqa: S108
        yield from ("--perms", "1777", *size, "--tmpfs", "/tmp")  # noqa: S108
        shown = [path.resolve() for path in (*map(Path, PROGRAMS), *confinement.read)]
        hidden = [path for path in _real(confinement.hidden) if any(path.is_relative_to(other) for other in shown)]
        binds = [(path, "--tmpfs") for path in hidden]
        binds += [(path, "--ro-bind") for path in confinement.read if path not in hidden]
        binds += [(path, "--bind") for path in confinement.write]
        for path, option in sorted(binds, key=lambda bind: len(bind[0].parts)):  # the deeper ones lie on the others
            yield from (option, *([str(path)] if option == "--tmpfs" else [str(path)] * 2))
        for path in (*hidden, Path("/")):
            yield from ("--remount-ro", str(path))


def _bubblewrap() -> tuple[str, str]:
    """The path of bwrap, and what it says of its options: they differ from version to version."""
    bwrap = shutil.which("bwrap")
    if bwrap is None:
        raise Unavailable("No sandbox can be made here: bubblewrap is not installed (Debian: apt install bubblewrap).")
    told = subprocess.run([bwrap, "--help"], capture_output=True, text=True, timeout=PROBE_TIME, check=False)
    if "--json-status-fd" not in told.stdout or "--perms" not in told.stdout:
        raise Unavailable(f"No sandbox can be made here: {bwrap} is too old, 0.5 or later is needed.")
    return bwrap, told.stdout


def _system() -> Iterator[str]:
    settings = (str(path) for name in SETTINGS for path in Path("/etc").glob(name))
    for path in (*PROGRAMS, *settings, *PROCESSORS):
        yield from ("--ro-bind-try", path, path)


def _real(paths: Iterable[Path]) -> list[Path]:
    return [real for path in paths if (real := path.resolve()).is_dir()]


def _own_devices(folder: Path) -> list[Path]:
    """Devices that are not root's, if this process is: a tool of root's could lock all others out of `/dev/null`."""
    if os.geteuid() != 0:
        return []
    folder.mkdir(parents=True, exist_ok=True)
    devices = [folder / name for name in DEVICES]
    try:
        for device in devices:
            if not device.exists():
                os.mknod(device, stat.S_IFCHR | 0o666, Path("/dev", device.name).stat().st_rdev)
                device.chmod(0o666)
            os.chown(device, NOBODY, NOBODY)
        (folder / "null").open("rb").close()  # not where the disk is mounted without devices
    except OSError:
        return []
    return devices
