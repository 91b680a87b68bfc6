"""Tools get secrets that are named, and nobody else does: through the API, on a node that serves."""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from crashing import STEPS_OF_SECRETS
from mao.secret import forms
from support import ServedNode, bare, commit, eventually, published, tool_files, trailers

if TYPE_CHECKING:
    from collections.abc import Iterator

TOKEN = 's3cr3t/v4lue+of the "node"'  # noqa: S105  # an example
KEY = "\n".join(
    ["-----BEGIN KEY-----", *("abcdefghijklmnop" * 3 + str(line) for line in range(3)), "-----END KEY-----"]
)

# What it is given is told apart from what is found on the disk by being turned round.
ASK = """\
set -eu
touch "$1.begun"
while ! test -e "$1.go"; do sleep 0.02; done
printf 'it is %s.' "$MAO_SECRET_TOKEN"
printf %s "user:$MAO_SECRET_TOKEN" | base64 -w0
first="${MAO_SECRET_TOKEN%????????}"
printf '\\n%s' "$first" && sleep 0.1 && printf '%s.\\n' "${MAO_SECRET_TOKEN#"$first"}"
printf '%s\\n' "${MAO_SECRET_TOKEN:0:5} done"
printf %s "$MAO_SECRET_TOKEN" | rev > "$MAO_DATA_DIR/$2"
"""
LEAK = """\
set -eu
cd "$MAO_DATA_DIR"
mkdir -p deep
printf 'one\\ntwo\\n%s three' "$MAO_SECRET_TOKEN" > deep/plain.txt
{ head -c 1500000 /dev/zero; printf '\\n'; printf %s "$MAO_SECRET_TOKEN" | base64 -w0; } > encoded
touch "${MAO_SECRET_TOKEN//\\//_}" "$(printf %s "$MAO_SECRET_TOKEN" | od -An -vtx1 | tr -d ' \\n')"
printf 'innocent' > other
"""
COUNT = 'set -eu\nprintf x >> "$1"\necho "$MAO_SECRET_TOKEN"\nprintf %s "$MAO_SECRET_TOKEN" > "$MAO_DATA_DIR/out"\n'
COMMANDS = """\
Commands:
  - {Name: Ask, Command: bash, Script: Ask.sh,
     Arguments: [{Name: Token, Type: secret}, {Name: Gate}, {Name: File}]}
  - {Name: Leak, Command: bash, Script: Leak.sh, Arguments: [{Name: Token, Type: secret}]}
  - {Name: Number, Command: bash, Script: Leak.sh, Arguments: [{Name: Token, Type: secret, Pattern: '[0-9]+'}]}
  - {Name: Count, Command: bash, Script: Count.sh, Arguments: [{Name: Token, Type: secret}, {Name: File}]}
"""


def _tool(place: Path, *, fresh: bool = True) -> Path:
    files = tool_files(bare(place / "data.git"), fresh=fresh, scripts={"Ask": ASK, "Leak": LEAK, "Count": COUNT})
    files["mao.yaml"] = files["mao.yaml"].partition("Commands:")[0] + COMMANDS
    commit(place / "probe", files)
    return place / "probe"


KEYRING = {f"keyring/{name}.json" for name in ("token", "key", "elsewhere")}
"""Files of the home of `node` in which the secrets may be for good."""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("secrets")
    allowed = place / "allowed"
    (allowed / "below").mkdir(parents=True)
    (allowed / "token").write_text(TOKEN + "\n")
    (allowed / "below" / "link").symlink_to("../token")
    (place / "outside").write_text("nobody gave this")
    (allowed / "leaving").symlink_to(place / "outside")
    (allowed / "folder").symlink_to(place)
    (allowed / "short").write_text("1234567")
    os.mkfifo(allowed / "pipe")
    return place


@pytest.fixture(scope="module")
def node(place: Path) -> Iterator[ServedNode]:
    settings = {
        "MAO_SECRETS__FILES": f"{place / 'nowhere'} {place / 'allowed'}",
        "MAO_SECRETS__ENVIRONMENT": "DEMO_TOKEN NOT_SET",
        "DEMO_TOKEN": TOKEN,
        "OTHER_TOKEN": "of the node alone",
    }
    node = ServedNode(place / "home", settings=settings).start()
    node.install(_tool(place))
    node.api("PUT", "/secrets/token", {"value": TOKEN})
    node.api("PUT", "/secrets/Key", {"value": KEY, "tools": ["Probe"]})
    node.api("PUT", "/secrets/elsewhere", {"value": TOKEN, "tools": ["another"]})
    yield node
    node.stop()


def _holders(root: Path) -> set[str]:
    """Paths of files below `root` in which a secret is, in any form; of repositories, what their objects hold."""
    needles = [form.encode() for value in (TOKEN, KEY) for form in forms(value)]
    found = set()
    for path in root.rglob("*"):
        if path.is_file() and any(needle in path.read_bytes() for needle in needles):
            found.add(str(path.relative_to(root)))
        if path.is_dir() and (path / "objects").is_dir() and (path / "HEAD").is_file():
            listing = ["git", "cat-file", "--batch-all-objects", "--batch"]
            content = subprocess.run(listing, cwd=path, capture_output=True, check=True).stdout
            found |= {f"objects of {path.name}" for needle in needles if needle in content}
    return found


@pytest.mark.parametrize(
    ("reference", "secret"),
    [("@keyring:TOKEN", TOKEN), ("@keyring:key", KEY), ("@env:DEMO_TOKEN", TOKEN), ("@/{}/below/link", TOKEN)],
    ids=["keyring", "key of many lines", "environment", "file"],
)
def test_a_secret_reaches_its_tool_and_nothing_else(node: ServedNode, place: Path, reference: str, secret: str) -> None:
    reference = reference.format(str(place / "allowed").lstrip("/"))
    gate, name = place / f"gate-{len(reference)}", f"turned-{len(reference)}"
    run = node.run("Ask", reference, str(gate), name)
    eventually(gate.with_suffix(".begun").exists)

    lines = list(_command_lines())
    assert any(str(gate) in line for line in lines)
    assert not any(form in line for line in lines for form in forms(secret))
    kept = node.home / "runs" / run["id"] / "secrets.json"
    assert kept.stat().st_mode & 0o777 == 0o600
    assert _holders(node.home) <= {str(kept.relative_to(node.home)), *KEYRING}
    gate.with_suffix(".go").touch()
    run = node.ended(run)

    assert run["state"] == "succeeded", run
    assert run["arguments"] == {"Token": reference, "Gate": str(gate), "File": name}
    assert json.loads(trailers(place / "data.git", "MAO-Arguments")[0]) == run["arguments"]
    turned = subprocess.run(["rev"], input=secret, capture_output=True, check=True, text=True).stdout
    assert published(place / "data.git")[name] == turned.strip()
    log = node.request("GET", f"/api/v1/runs/{run['id']}/log").body.decode()
    first, second, third = log.splitlines()
    assert (first[:21], second, third) == ("it is [secret Token].", "[secret Token].", f"{secret[:5]} done")
    assert "[secret Token]" in first[21:]
    answers = [
        node.request("GET", f"/api/v1{path}").body.decode() for path in (f"/runs/{run['id']}", "/runs", "/secrets")
    ]
    assert [form for form in forms(secret) if any(form in answer for answer in (*answers, log))] == []
    assert _holders(node.home) == KEYRING
    assert _holders(place / "data.git") == set()


def _command_lines() -> Iterator[str]:
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):  # it has ended meanwhile
            yield " ".join(process.cmdline())


@pytest.mark.parametrize(
    ("command", "given", "words"),
    [
        ("Leak", TOKEN, "must be a reference"),
        ("Leak", f"@{TOKEN}", "must be a reference"),
        ("Leak", "@keyring:nothing", "'mao secret set nothing'"),
        ("Leak", "@keyring:elsewhere", "is not for the tool 'probe'"),
        ("Leak", "@env:OTHER_TOKEN", "secrets.environment does not name"),
        ("Leak", "@env:NOT_SET", "without the variable NOT_SET"),
        ("Leak", "@{}/../outside", "must not hold '..'"),
        ("Leak", "@/etc/passwd", "secrets.files"),
        ("Leak", "@{}/leaving", "a link on the way"),
        ("Leak", "@{}/folder/outside", "a link on the way"),
        ("Leak", "@{}/absent", "No such file"),
        ("Leak", "@{}/below", "is no file"),
        ("Leak", "@{}/pipe", "is no file"),
        ("Leak", "@{}/short", "7 bytes"),
        ("Number", "@env:DEMO_TOKEN", "must match the pattern"),
    ],
)
def test_what_is_no_secret_for_the_tool_is_refused_and_not_repeated(
    node: ServedNode, place: Path, command: str, given: str, words: str
) -> None:
    before = len(node.api("GET", "/runs")["items"])
    wish = {"tool": "probe", "command": command, "arguments": [given.format(place / "allowed")]}
    for path, more in (("/runs", {}), ("/schedules", {"cron": "daily"})):
        refused = node.request("POST", f"/api/v1{path}", wish | more, {"Idempotency-Key": f"{command} {len(given)}"})
        assert (refused.status, refused.json["code"]) == (422, "bad-arguments"), refused.body
        assert words in refused.json["detail"]
        assert [fault["argument"] for fault in refused.json["errors"]] == ["Token"]
        assert not any(form in refused.body.decode() for form in forms(TOKEN))
    assert len(node.api("GET", "/runs")["items"]) == before
    assert _holders(node.home) == KEYRING


def test_a_secret_is_the_one_that_there_is_at_the_start_and_a_run_without_it_is_not_started(
    node: ServedNode, place: Path
) -> None:
    wish = {"tool": "probe", "command": "Count", "arguments": ["@keyring:rotated", str(place / "rotated")]}
    node.api("PUT", "/secrets/rotated", {"value": "the first value"})
    schedule = node.api("POST", "/schedules", wish | {"cron": "monthly"})
    assert schedule["arguments"] == wish["arguments"]
    node.stop()
    waiting = ServedNode(node.home, settings=node.settings | {"MAO_RUNS__LIMIT": "1"}).start()
    with contextlib.ExitStack() as closing:
        closing.callback(node.start)
        closing.callback(waiting.stop)
        _rotate(waiting, place, wish)
        waiting.api("DELETE", f"/schedules/{schedule['id']}")


def _rotate(waiting: ServedNode, place: Path, wish: dict[str, Any]) -> None:
    gate = place / "gate-rotated"
    first = waiting.run("Ask", "@keyring:token", str(gate), "rotated")
    second, third = (waiting.api("POST", "/runs", wish) for _ in range(2))
    waiting.api("PUT", "/secrets/rotated", {"value": "the second value"})
    assert not (waiting.home / "runs" / second["id"]).exists()
    waiting.api("POST", f"/runs/{third['id']}/cancel")
    gate.with_suffix(".go").touch()
    waiting.ended(first)
    second = waiting.ended(second)
    assert (second["state"], second["publication"]["cause"]) == ("unpublished", "secret-in-data")
    assert (waiting.home / "runs" / second["id"] / "data" / "out").read_text() == "the second value"

    gate.with_suffix(".go").unlink()
    gate.with_suffix(".begun").unlink()
    first = waiting.run("Ask", "@keyring:token", str(gate), "rotated")
    eventually(gate.with_suffix(".begun").exists)
    second = waiting.api("POST", "/runs", wish)
    waiting.api("DELETE", "/secrets/rotated")
    gate.with_suffix(".go").touch()
    second = waiting.ended(second)
    assert second["state"] == "failed"
    assert "not started: Argument 'Token' cannot be had" in second["reason"]
    assert (place / "rotated").read_text() == "x"
    waiting.ended(first)


def test_a_secret_in_the_files_of_a_run_stops_their_push_until_somebody_decides(node: ServedNode, place: Path) -> None:
    before = trailers(place / "data.git", "MAO-Run")
    run = node.ended(node.run("Leak", "@keyring:token"))

    publication = run["publication"]
    assert (run["state"], publication["state"], publication["cause"]) == ("unpublished", "blocked", "secret-in-data")
    told = publication["message"]
    assert "'deep/plain.txt', line 3, holds the secret Token" in told
    assert "'encoded', line 2, holds the secret Token" in told
    assert "the name of the file '[secret Token]' holds a secret" in told
    assert "other" not in told.replace("another", "")
    assert not any(form in json.dumps(run) for form in forms(TOKEN))
    _forgotten(node.home / "runs" / run["id"])
    assert trailers(place / "data.git", "MAO-Run") == before
    assert not any(holder.startswith("objects") for holder in _holders(node.home))

    refused = node.request("POST", f"/api/v1/runs/{run['id']}/publish")
    assert (refused.status, refused.json["code"]) == (409, "secret-in-data")
    assert "deep/plain.txt" in refused.json["detail"]
    assert "despite" in refused.json["detail"]

    data = node.home / "runs" / run["id"] / "data"
    for path in [path for path in data.rglob("*") if path.is_file() and path.name != "other"]:
        path.unlink()
    node.api("POST", f"/runs/{run['id']}/publish", {"despite_secret": True})
    run = node.ended(run)
    assert (run["state"], [file["path"] for file in run["publication"]["files"]]) == ("succeeded", ["other"])
    assert published(place / "data.git")["other"] == "innocent"


def test_the_keyring_takes_values_and_never_gives_them(node: ServedNode, place: Path) -> None:
    kept = node.api("PUT", "/secrets/new.one", {"value": "hunter2hunter2\n", "tools": ["probe"]})
    assert (kept["name"], kept["tools"], set(kept)) == ("new.one", ["probe"], {"name", "tools", "set_at"})
    assert node.api("GET", "/secrets/NEW.one") == kept
    assert kept in node.api("GET", "/secrets")["items"]
    for body in ({"value": "hunter2"}, {"value": ["hunter2"]}, {"value": "hunter2hunter2", "more": 1}, b'{"hunter2'):
        refused = node.request("PUT", "/api/v1/secrets/new.one", body)
        assert refused.status == 422
        assert b"hunter2" not in refused.body

    def mao(*words: str, given: str = "") -> subprocess.CompletedProcess[str]:
        argv = [str(Path(sys.executable).parent / "mao"), "secret", *words]
        return subprocess.run(argv, env=node.environment(), input=given, capture_output=True, text=True, check=False)

    done = mao("set", "by-hand", "--tool", "probe", given="hunter2hunter2\n")
    assert (done.returncode, "hunter2" in done.stdout + done.stderr) == (0, False)
    assert "@keyring:by-hand" in done.stderr
    assert json.loads((node.home / "keyring" / "by-hand.json").read_text())["value"] == "hunter2hunter2"
    listed = mao("list").stdout
    assert [line.split()[:2] for line in listed.splitlines()[1:] if "by-hand" in line] == [["by-hand", "probe"]]
    assert mao("remove", "by-hand").returncode == 0
    assert mao("remove", "by-hand").returncode == 3
    assert mao("set", "by-hand", given="short").returncode == 2
    node.api("DELETE", "/secrets/new.one")
    assert base64.b64encode(b"hunter2hunter2") not in (node.home / "store.sqlite").read_bytes()
    assert b"hunter2" not in (place / "home.log").read_bytes()


def test_a_server_killed_at_any_step_of_a_run_with_a_secret_keeps_it(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    node = ServedNode(tmp_path / "home").start()
    request.addfinalizer(node.stop)
    node.install(_tool(tmp_path, fresh=False))
    for number, step in enumerate(STEPS_OF_SECRETS):
        count = tmp_path / f"count-{number}"
        node.api("PUT", "/secrets/token", {"value": TOKEN})
        node.stop()
        node.start(crash_at=step)
        wish = {"tool": "probe", "command": "Count", "arguments": ["@keyring:token", str(count)]}
        _ask(node, wish)
        eventually(node.dead, f"the node dies at '{step}'")
        node.start()
        run = node.ended(node.api("GET", "/runs?page_size=1")["items"][0])

        assert (run["state"], run["publication"]["cause"]) == ("unpublished", "secret-in-data"), (step, run)
        assert "'out', line 1, holds the secret Token" in run["publication"]["message"]
        assert count.read_text() == "x", step
        directory = node.home / "runs" / run["id"]
        assert (directory / "log").read_text() == "[secret Token]\n"
        _forgotten(directory)
        left = {path.name for path in directory.iterdir()}
        assert left <= {"data", "log", "exit.json", "lock", "started", "before"}, (step, left)
    (directory / "data" / "out").unlink()
    node.api("POST", f"/runs/{run['id']}/publish", {"despite_secret": True})
    run = node.ended(run)
    assert (run["state"], run["publication"]["state"]) == ("succeeded", "unchanged"), run
    assert published(tmp_path / "data.git") == {}
    assert {Path(path).name for path in _holders(node.home)} == {"token.json", "out"}
    assert _holders(tmp_path / "data.git") == set()


def _forgotten(directory: Path) -> None:
    eventually(lambda: not (directory / "secrets.json").exists(), "it is forgotten once the end is recorded")


def _ask(node: ServedNode, wish: Any) -> None:
    """Ask once; the node may die over it."""
    try:
        node.request("POST", "/api/v1/runs", wish)
    except (OSError, http.client.HTTPException):
        eventually(node.dead)
