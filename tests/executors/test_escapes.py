"""Tools that try to get out: each attempt fails in the sandbox, and succeeds without where that harms nothing."""

from __future__ import annotations

import functools
import json
import os
import re
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from escapes import ATTEMPTS
from sandboxes import need_sandbox

if TYPE_CHECKING:
    from collections.abc import Iterator

TESTS = Path(__file__).parents[1]
NOBODY = 65534
CAP_SYS_RESOURCE = 1 << 24  # linux/capability.h
SECRET = "SECRET_OF_ANOTHER_RUN=only-its-own-tool-knows"  # noqa: S105  # it is looked for
NOT_WITHOUT_EITHER = {"type into a terminal"}
"""What no job can: none has a terminal."""
NOT_AS_NOBODY = {
    *("read the passwords of the machine", "change the kernel", "use the rights of root", "raise a limit"),
    *("change the mode of /dev/null", "write beside the programs of the system", "fill the memory from /dev"),
    *("fill the memory from the root directory",),
}
"""What a user who is not root cannot do anyway."""


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    """A folder that other users reach, too."""
    folder = Path(tempfile.mkdtemp(prefix="mao-escapes-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def python() -> str:
    """One that every user may start."""
    found = shutil.which("python3", path="/usr/bin:/usr/local/bin")
    if found is None:
        pytest.skip("the system has no python3 for all users: escapes of other users are NOT tested here")
    return found


class Stage:
    """A node's home and an owner's, with what a hostile tool would like; nothing of this machine."""

    def __init__(self, place: Path, *, nobody: bool) -> None:
        self.place = place / ("nobody" if nobody else "own")
        self.nobody = nobody
        self.home = self.place / "node"
        self.data, self.tree = self.home / "runs" / "1" / "data", self.home / "tools" / "probe" / "1" / "tree"
        self.victim = subprocess.Popen(["sleep", "1000"], env=dict([SECRET.split("=")]), user=self.user)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.named, self.abstract = socket.socket(socket.AF_UNIX), socket.socket(socket.AF_UNIX)
        self.places = self._prepared()
        (self.tree / "places.json").write_text(json.dumps(self.places))
        self.named.bind(self.places["socket"])
        self.abstract.bind("\0" + self.places["abstract"][1:])
        for listening in (self.named, self.abstract):
            listening.listen()
        for path in (self.place, *self.place.rglob("*")):
            if path.name != "id" and nobody:
                os.chown(path, NOBODY, NOBODY)

    @property
    def user(self) -> int | None:
        return NOBODY if self.nobody else None

    def _prepared(self) -> dict[str, Any]:
        files = {
            "key": self.place / "owner" / ".ssh" / "id_ed25519",
            "secret": self.home / "runs" / "2" / "secrets.json",
            "store": self.home / "store.sqlite",
            "other_tool": self.home / "tools" / "other" / "1" / "tree" / "run.sh",
            "other_data": self.home / "runs" / "2" / "data" / "file",
            "cache": self.home / "datasets" / "probe-data.git" / "config",
            "record": self.home / "runs" / "1" / "exit.json",
            "program": self.tree / "escapes.py",
        }
        for path in files.values():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("of somebody else\n")
        files["program"].write_text((TESTS / "escapes.py").read_text())
        self.data.mkdir(parents=True)
        (self.place / "shown").mkdir()
        setuid = str(shutil.copy("/usr/bin/id", self.place / "shown" / "id"))
        Path(setuid).chmod(0o4755)
        return {
            **{name: str(path) for name, path in files.items()},
            "user": str(self.place / "owner"),
            "socket": str(self.home / "socket"),
            "abstract": f"@{self.home}",
            "port": self.listener.getsockname()[1],
            "server": self.victim.pid,
            "value": SECRET.partition("=")[2],
            "setuid": setuid,
            "none": None,
            "usr": "/usr/mao-probe",
            "root": "/mao-probe",
            "dev": "/dev/mao-probe",
            "null": "/dev/null",
            "shadow": "/etc/shadow",
            "kernel": "/proc/sys/kernel/core_pattern",
        }

    def run(self, executor: str, *argv: str, **more: Any) -> dict[str, Any]:
        """How a job ended, by an executor of the user of this stage."""
        for left in self.data.iterdir():
            left.unlink()
        with tempfile.TemporaryDirectory(dir=self.place) as folder:
            if self.nobody:
                os.chown(folder, NOBODY, NOBODY)
            wanted = {
                "executor": executor,
                "folder": f"{folder}/job",
                "read": [str(self.tree), str(self.place / "shown")],
                "write": [str(self.data)],
                "argv": argv,
                **more,
            }
            done = subprocess.run(
                [python(), "-S", "-B", str(self.driver / "confined_run.py"), json.dumps(wanted)],
                env={"PYTHONPATH": str(self.driver), "PATH": "/usr/bin:/bin", "HOME": self.places["user"]},
                cwd="/",
                capture_output=True,
                text=True,
                user=self.user,
                extra_groups=[] if self.nobody else None,
                check=False,
            )
            assert done.returncode == 0, done.stderr
            ended: dict[str, Any] = json.loads(done.stdout)
            return ended

    @functools.cached_property
    def driver(self) -> Path:
        """A copy of what drives the executor, where every user may read it."""
        copy = self.place / "driver"
        shutil.copytree(TESTS.parent / "src" / "mao", copy / "mao", ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(TESTS / "confined_run.py", copy)
        return copy

    @property
    def pointless(self) -> set[str]:
        """Who is root already becomes it by no program, and who is not cannot make one for the others to try."""
        return set() if self.nobody else {"become root by a setuid program"}

    @functools.lru_cache  # noqa: B019  # the stages live as long as the module
    def succeeded(self, executor: str, *, network: bool) -> set[str]:
        """Which of the attempts did."""
        program = (python(), "-I", "-S", self.places["program"], str(self.tree / "places.json"))
        end = self.run(executor, *program, network=network)
        assert (end["cause"], end["exit_code"]) == ("exited", 0), end
        return {name for name, said in json.loads(end["log"]).items() if said == ""} - self.pointless

    def close(self) -> None:
        self.victim.kill()
        self.victim.wait()
        for listening in (self.listener, self.named, self.abstract):
            listening.close()


@pytest.fixture(scope="module", params=["own", "nobody"])
def stage(request: pytest.FixtureRequest, place: Path) -> Iterator[Stage]:
    need_sandbox()
    nobody = request.param == "nobody"
    if nobody and os.geteuid() != 0:
        pytest.skip("only root can be another user: the sandbox of a plain user is tested as this one")
    stage = Stage(place, nobody=nobody)
    yield stage
    stage.close()


def test_every_attempt_fails_in_the_sandbox(stage: Stage) -> None:
    assert stage.succeeded("sandbox", network=False) == set()


def test_without_a_sandbox_they_succeed_so_that_they_are_attempts_indeed(stage: Stage) -> None:
    rights = int(re.findall(r"CapEff:\s*(\w+)", Path("/proc/self/status").read_text())[0], 16)
    expected = (
        set(ATTEMPTS)
        - (set() if rights & CAP_SYS_RESOURCE else {"raise a limit"})
        - NOT_WITHOUT_EITHER
        - (NOT_AS_NOBODY if stage.nobody or os.geteuid() else set())
    )
    assert stage.succeeded("process", network=True) == expected - stage.pointless


def test_with_the_network_only_what_has_no_path_is_reached(stage: Stage) -> None:
    reached = {"reach the port of the server", "reach a socket without a path"}
    assert stage.succeeded("sandbox", network=True) == reached


def test_the_machine_is_as_it_was_after_all_attempts(stage: Stage) -> None:
    assert stage.succeeded("sandbox", network=False) == set()
    assert stat_of("/dev/null") == 0o20666
    assert stage.victim.poll() is None


def stat_of(path: str) -> int:
    return Path(path).stat().st_mode


@pytest.mark.parametrize("stage", ["own"], indirect=True)
def test_what_a_tool_gets_is_not_seen_in_the_list_of_processes(stage: Stage) -> None:
    """bwrap gets the environment as the tool does, not as arguments."""
    end = stage.run(
        "sandbox", "sh", "-c", "tr '\\0' ' ' </proc/1/cmdline; echo; echo $HIDDEN", environment={"HIDDEN": "x1y2"}
    )
    command_line, value = end["log"].splitlines()
    assert "bwrap" in command_line
    assert "x1y2" not in command_line
    assert value == "x1y2"


FORKS = """
import os, time
for _ in range(500):
    try:
        if os.fork() == 0:
            time.sleep(20)
            os._exit(0)
    except OSError:
        pass
time.sleep(20)
"""
MEMORY = "import time; block = bytearray(300_000_000); time.sleep(%s)"
SHARED = """
import os, time
block = bytearray(60_000_000)
for _ in range(4):
    if os.fork() == 0:
        time.sleep(0.7)
        os._exit(0)
time.sleep(1)
"""
DISK = "open('big', 'wb').write(bytes(30_000_000))"
NAMELESS = (
    "import os, time; f = open('big', 'wb'); os.unlink('big'); f.write(bytes(30_000_000)); f.flush(); time.sleep(20)"
)
TEMPORARY = """
for folder in ("/tmp", "/dev/shm"):
    try:
        for name in ("/big", "/more"):
            with open(folder + name, "wb") as file:
                file.write(bytes(30_000_000))
    except OSError as error:
        print(folder, error.strerror)
"""
SPIN = "while True: pass"
UNHANDLED = "import signal; signal.signal(signal.SIGXFSZ, signal.SIG_DFL)\n"


LIMITS = {
    "fork bomb": ({"processes": 40}, FORKS, "processes: 40 at most"),
    "memory": ({"memory": 150_000_000}, MEMORY % 20, "memory: 150 MB at most"),
    "disk": ({"disk": 20_000_000}, DISK, "disk: 20 MB at most"),
    "disk, by files without a name": ({"disk": 20_000_000}, NAMELESS, "disk: 20 MB at most"),
    "file size": ({"file_size": 10_000_000}, UNHANDLED + DISK, "file size: 10 MB at most"),
    "processor": ({"cpu_time": 0.3}, SPIN, "processor time: 0.3 s at most"),
}


@pytest.mark.parametrize("limit", LIMITS)
def test_a_limit_that_is_passed_ends_the_job_and_is_named(stage: Stage, limit: str) -> None:
    """Of nobody by looking, as that user makes no control groups; of root by those, where the machine has any."""
    limits, program, error = LIMITS[limit]
    inside = f"import os; os.chdir({str(stage.data)!r})\n{program}"
    end = stage.run("sandbox", python(), "-c", inside, limits=limits)
    assert (end["cause"], end["error"], end["confined"]) == ("over-limit", error, True)


@pytest.mark.parametrize("stage", ["nobody"], indirect=True)
def test_without_a_sandbox_the_limits_hold_too(stage: Stage) -> None:
    end = stage.run("process", python(), "-c", FORKS, limits={"processes": 40})
    assert (end["cause"], end["error"], end["confined"]) == ("over-limit", "processes: 40 at most", False)


@pytest.mark.parametrize("stage", ["nobody"], indirect=True)
def test_what_processes_share_counts_once(stage: Stage) -> None:
    end = stage.run("sandbox", python(), "-c", SHARED, limits={"memory": 150_000_000})
    assert (end["cause"], end["exit_code"]) == ("exited", 0), end


@pytest.mark.parametrize("stage", ["own"], indirect=True)
def test_within_its_limits_a_job_is_left_alone(stage: Stage) -> None:
    generous = {"processes": 600, "memory": 2_000_000_000, "disk": 1_000_000_000, "cpu_time": 60, "file_size": 10**9}
    inside = f"import os; os.chdir({str(stage.data)!r})\n{DISK}\n{MEMORY % 0.3}"
    end = stage.run("sandbox", python(), "-c", inside, limits=generous)
    assert (end["cause"], end["exit_code"]) == ("exited", 0), end


@pytest.mark.parametrize("stage", ["own"], indirect=True)
def test_private_folders_take_what_they_may_and_no_more(stage: Stage) -> None:
    end = stage.run("sandbox", python(), "-c", TEMPORARY, limits={"temporary": 40_000_000})
    assert end["log"].splitlines() == ["/tmp No space left on device", "/dev/shm No space left on device"]  # noqa: S108
