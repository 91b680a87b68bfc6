"""Tools in the sandbox, over whole runs of a node; and what a node does where there is none."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from mao.executor import Confinement, Job, Limits
from mao.executors.process import ProcessExecutor
from mao.executors.sandbox import SandboxExecutor
from mao.local_node import choose_executor
from mao.workspace import Workspace
from sandboxes import need_sandbox
from support import GIT_ENVIRONMENT, ServedNode, bare, commit, eventually, published, tool_files

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DENIED = """
set -eu
denied() {
    if "$@" 2>/dev/null; then
        echo "not denied: $*"
        exit 1
    fi
}
"""
INSTALLER = f"""{DENIED}
echo made >made
mkdir -p "$HOME/lib"
echo brought >"$HOME/lib/thing"
denied touch .git/config
denied cat "$(cat owner)/.ssh/id_ed25519"
"""
LOOK = f"""{DENIED}
cat made "$HOME/lib/thing" >"$MAO_DATA_DIR/found"
denied touch made
denied touch "$HOME/lib/thing"
denied ls "$(cat owner)"
denied test -e "$(dirname "$MAO_DATA_DIR")/log"
denied bash -c "exec 3<>/dev/tcp/127.0.0.1/$1"
echo "secret: $(printf %s "$MAO_SECRET_KEY" | wc -c)"
for line in /proc/[0-9]*/cmdline; do
    case "$(tr '\\0' ' ' <"$line")" in *"$MAO_SECRET_KEY"*) exit 1 ;; esac
done
df --output=size -B1 /tmp | tail -n 1
"""
FILL = 'head -c 30000000 /dev/zero >"$MAO_DATA_DIR/big"\n'
WAIT = 'touch "$MAO_DATA_DIR/begun"; until test -e "$MAO_DATA_DIR/go"; do sleep 0.02; done\n'
MORE = """
Network: none
Resources: {Disk: 20 MB, Processes: 50}
"""
KEY = "      - {Name: Key, Type: secret, Required: false}"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("confined")


@pytest.fixture(scope="module")
def node(place: Path) -> Iterator[ServedNode]:
    """A node that confines its tools, with two of them: `guest` is written for it, `scribe` for the prototype."""
    need_sandbox()
    owner = place / "owner"
    (owner / ".ssh").mkdir(parents=True)
    (owner / ".ssh" / "id_ed25519").write_text("key")
    limits = {"MAO_SANDBOX__TEMPORARY": "5 MB", "MAO_SANDBOX__DISK": "25 MB", "MAO_SANDBOX__WRITABLE_TOOLS": "trusted"}
    node = ServedNode(place / "home", settings={"MAO_RUNS__EXECUTOR": "sandbox", "HOME": str(owner)} | limits)
    node.start()
    scripts = {"Look": LOOK, "Fill": FILL, "Wait": WAIT}
    files = tool_files(
        bare(place / "guest-data.git"),
        name="guest",
        scripts=scripts,
        arguments={"Look": 1},
        installer=INSTALLER,
        more=MORE,
    )
    files["mao.yaml"] = files["mao.yaml"].replace("Required: false}\n", f"Required: false}}\n{KEY}\n", 1)
    commit(place / "guest", files | {"owner": str(owner)})
    assert node.install(place / "guest", "guest")["state"] == "installed", node.installed("guest")["attempt"]
    yield node
    node.stop()


def log(node: ServedNode, run: Any) -> str:
    return node.request("GET", f"/api/v1/runs/{run['id']}/log").body.decode()


def test_a_run_sees_its_tool_and_writes_its_data_and_nothing_else(node: ServedNode, place: Path) -> None:
    node.api("PUT", "/secrets/key", {"value": "not-to-be-seen"})
    run = node.ended(node.run("Look", str(node.port), "@keyring:key", tool="guest"))
    assert (run["state"], run["confined"]) == ("succeeded", "sandbox"), (run, log(node, run))
    assert published(place / "guest-data.git") == {"found": "made\nbrought"}
    assert log(node, run).split() == ["secret:", "14", str(-(-5_000_000 // 4096) * 4096)]


def test_a_run_that_passes_a_limit_of_its_definition_fails_and_publishes_nothing(node: ServedNode, place: Path) -> None:
    before = published(place / "guest-data.git")
    run = node.ended(node.run("Fill", tool="guest"))
    assert run["state"] == "failed"
    assert run["reason"].startswith("it used more than it may, and was ended: disk: 20 MB at most (")
    assert run["publication"] is None
    assert published(place / "guest-data.git") == before


def test_an_installer_that_passes_a_limit_of_the_node_fails(node: ServedNode, place: Path) -> None:
    installer = "head -c 30000000 /dev/zero >big\n"
    commit(place / "greedy", tool_files(bare(place / "greedy-data.git"), name="greedy", installer=installer))
    attempt = node.install(place / "greedy", "greedy")["attempt"]
    assert attempt["error"] == "installer-failed"
    assert "used more than it may, and was ended: disk: 25 MB at most" in attempt["detail"]


def test_a_tool_of_the_prototype_writes_its_data_directory_and_its_own_files_only_if_that_is_allowed(
    node: ServedNode, place: Path
) -> None:
    script = "echo data >data/file; echo log >>beside.log || exit 3\n"
    for name, state in (("scribe", "failed"), ("trusted", "succeeded")):
        files = tool_files(bare(place / f"{name}-data.git"), name=name, fresh=False, scripts={"Write": script})
        commit(place / name, files)
        node.install(place / name, name)
        run = node.ended(node.run("Write", tool=name))
        assert (run["state"], "Read-only file system" in log(node, run)) == (state, state == "failed")
    assert published(place / "trusted-data.git") == {"file": "data"}


def test_a_run_goes_on_and_is_told_of_when_the_node_is_started_with_another_executor(node: ServedNode) -> None:
    run = node.run("Wait", tool="guest")
    data = node.home / "runs" / run["id"] / "data"
    eventually((data / "begun").exists)
    node.kill()
    node.settings["MAO_RUNS__EXECUTOR"] = "process"
    node.start()
    (data / "go").touch()
    assert node.ended(run)["confined"] == "sandbox"
    plain = node.run("Wait", tool="guest")
    data = node.home / "runs" / plain["id"] / "data"
    eventually((data / "begun").exists)
    node.api("POST", f"/runs/{plain['id']}/cancel")
    plain = node.ended(plain)
    assert (plain["state"], plain["confined"]) == ("cancelled", "none")


def without_bubblewrap(place: Path) -> str:
    """A PATH with all that a node needs but that."""
    folder = place / "programs"
    folder.mkdir()
    for name in ("git", "bash"):
        (folder / name).symlink_to(shutil.which(name) or "")
    return str(folder)


def test_where_there_is_no_sandbox_auto_says_so_and_a_node_that_needs_one_does_not_start(tmp_path: Path) -> None:
    environment = GIT_ENVIRONMENT | {
        "PATH": without_bubblewrap(tmp_path),
        "HOME": str(tmp_path),
        "MAO_NODE__HOME": str(tmp_path / "home"),
    }
    mao = [sys.executable, "-m", "mao"]
    told = subprocess.run([*mao, "doctor", "-o", "json"], env=environment, capture_output=True, text=True, check=True)
    found = next(finding for finding in json.loads(told.stdout) if finding["check"] == "executor")
    assert found["result"] == "warn"
    assert found["found"].startswith("no sandbox; limits kept by")
    assert "apt install bubblewrap" in found["advice"]

    needs = environment | {"MAO_RUNS__EXECUTOR": "sandbox"}
    refused = subprocess.run([*mao, "serve"], env=needs, capture_output=True, text=True, check=False)
    assert refused.returncode == 6
    assert "bubblewrap is not installed" in refused.stderr


def test_where_the_kernel_allows_no_sandbox_its_words_are_told(tmp_path: Path) -> None:
    """In a sandbox without user namespaces, as in many containers, none can be made."""
    need_sandbox()
    script = f"""
from pathlib import Path
from mao.errors import Unavailable
from mao.executors.sandbox import SandboxExecutor
try:
    SandboxExecutor(Path({str(tmp_path)!r}) / "devices")
except Unavailable as error:
    print(error.detail)
"""
    nested = ["bwrap", "--dev-bind", "/", "/", "--unshare-user", "--disable-userns", "--cap-drop", "ALL"]
    done = subprocess.run([*nested, sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("No sandbox can be made here: ")
    assert "docs/how-to/confine-tools.md" in done.stdout


def test_an_older_bubblewrap_confines_by_the_options_that_it_has(tmp_path: Path) -> None:
    need_sandbox()
    executor = SandboxExecutor(tmp_path / "devices")
    executor._options = ""
    assert "without --disable-userns, without --size" in executor.describe()
    limits = Limits(temporary=1_000_000)
    job = Job(tmp_path, ("ls", "/home"), tmp_path, {}, None, 1000, confinement=Confinement(limits=limits))
    options, separator, program = " ".join(executor.program(job)).partition(" --json-status-fd 100 -- ")
    assert separator
    done = subprocess.run([*options.split(), *program.split()], capture_output=True, text=True, check=False)
    assert "cannot access '/home'" in done.stderr
    executor.close()


@pytest.mark.parametrize(
    ("wanted", "kind", "why"), [("process", ProcessExecutor, "runs.executor is"), ("auto", None, "")]
)
def test_the_safest_executor_that_works_is_chosen(tmp_path: Path, wanted: str, kind: type | None, why: str) -> None:
    from conftest import settings  # noqa: PLC0415  # it is no module of its own

    if kind is None:
        need_sandbox()
    executor, said = choose_executor(settings(tmp_path, **{"runs.executor": wanted}), Workspace(tmp_path))
    executor.close()
    assert isinstance(executor, kind or SandboxExecutor)
    assert said.startswith(why)
    assert bool(said) == bool(why)
