from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING, Any

import pytest

from serving import Serving, follow, serving
from support import commit, published, tool_files

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SCRIPTS = {
    "Write": 'printf %s "${1-}" > "$MAO_DATA_DIR/${2-x.txt}"\necho written\n',
    "Wait": 'echo begun\nuntil test -e "$1"; do sleep 0.05; done\necho done\n',
    "Odd": r"""printf 'a\r\nb\rc\0\033[31mred\033[0m\xff\xc3\xa4\xe2\x82\xac end\n\ndata: x\n'
printf '\xe2\x82'
""",
    "Fail": "exit 3\n",
}


@pytest.fixture
def node(served: Serving, tmp_path: Path, remote: Path) -> Serving:
    """A node with a tool `probe` whose commands are `SCRIPTS`."""
    commit(tmp_path / "probe", tool_files(remote, scripts=SCRIPTS, arguments={"Wait": 1}))
    served.install(tmp_path / "probe")
    return served


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[Path]:
    """The file that `Wait` waits for; made at the latest when the test ends."""
    path = tmp_path / "gate"
    yield path
    path.touch()


def ids(page: Any) -> list[str]:
    return [run["id"] for run in page["items"]]


def test_a_run_is_started_and_shown(node: Serving, remote: Path) -> None:
    body = {"tool": "PROBE", "command": "Write", "arguments": ["42", "a.txt"]}

    asked = node.request("POST", "/api/v1/runs", body)

    assert (asked.status, asked.headers["location"]) == (202, f"/api/v1/runs/{asked.json['id']}")
    assert asked.json["state"] in {"queued", "running"}
    run = node.api("GET", f"/runs/{asked.json['id']}", Prefer="respond-async, wait=60")
    assert (run["state"], run["exit_code"], run["arguments"]) == ("succeeded", 0, {"A1": "42", "A2": "a.txt"})
    assert run["publication"]["files"] == [{"path": "a.txt", "size": 2, "published_as": None, "lfs": None}]
    assert published(remote) == {"a.txt": "42"}


def test_arguments_may_be_given_by_name(node: Serving) -> None:
    run = node.api("POST", "/runs", {"tool": "probe", "command": "Write", "arguments": {"A2": "a.txt", "A1": "1"}})

    assert run["arguments"] == {"A1": "1", "A2": "a.txt"}
    node.ended(run)


@pytest.mark.parametrize(
    ("body", "status", "code", "words"),
    [
        ({"tool": "prob", "command": "Write"}, 404, "not-installed", "did you mean 'probe'"),
        ({"tool": "probe", "command": "Wirte"}, 404, "command-not-found", "did you mean 'Write'"),
        ({"tool": "probe", "command": "Write", "arguments": ["1", "2", "3"]}, 422, "bad-arguments", ""),
        ({"tool": "probe", "command": "Write", "arguments": {"A3": "x"}}, 422, "bad-arguments", "A3"),
        ({"tool": "probe", "command": "Write", "arguments": [["x"]]}, 422, "bad-arguments", ""),
        ({"tool": "probe", "command": "Write", "arguments": ["a\u0000b"]}, 422, "bad-arguments", ""),
        ({"tool": "probe", "command": "Write", "arguments": ["x" * 1_500_000]}, 422, "bad-arguments", ""),
        ({"tool": "probe", "command": "Write", "arguments": "x"}, 422, "bad-body", "arguments"),
        ({"tool": "probe", "command": "Write", "publish": "perhaps"}, 422, "bad-body", "publish"),
        ({"tool": "probe", "command": "Write", "argument": []}, 422, "bad-body", "argument"),
        ({"tool": "probe"}, 422, "bad-body", "command"),
    ],
)
def test_what_cannot_be_run_starts_nothing(
    node: Serving, body: dict[str, Any], status: int, code: str, words: str
) -> None:
    before = node.count()

    reply = node.request("POST", "/api/v1/runs", body)

    assert (reply.status, reply.json["code"]) == (status, code)
    assert words in reply.json["detail"]
    assert node.count() == before
    assert list(node.node.workspace.runs.iterdir()) == []


def test_runs_are_listed_the_newest_first_in_pages_and_by_filters(node: Serving, tmp_path: Path, remote: Path) -> None:
    commit(tmp_path / "other", tool_files(remote, name="other"))
    node.install(tmp_path / "other", "other")
    mine = [node.ended(node.run("Fail"))["id"] for _ in range(3)]
    others = [node.ended(node.run("Write", "1", tool="other"))["id"] for _ in range(2)]

    everything = [*reversed(others), *reversed(mine)]
    first = node.api("GET", "/runs?page_size=3")
    second = node.api("GET", f"/runs?page_size=3&page_token={first['next_page_token']}")
    assert (ids(first) + ids(second), second["next_page_token"]) == (everything, None)
    assert ids(node.api("GET", "/runs?tool=PROBE")) == mine[::-1]
    assert ids(node.api("GET", "/runs?state=failed&page_size=2")) == mine[:0:-1]
    assert ids(node.api("GET", "/runs?dataset=other-DATA&state=succeeded")) == others[::-1]
    assert ids(node.api("GET", "/runs?tool=probe&state=succeeded")) == []
    assert node.request("GET", "/api/v1/runs?state=asleep").json["code"] == "bad-body"


def test_the_log_is_text_while_the_run_goes_on_and_afterwards(node: Serving, gate: Path) -> None:
    run = node.run("Wait", str(gate))
    assert next(follow(node, f"/runs/{run['id']}/log")).data == '"begun\\n"'

    part = node.request("GET", f"/api/v1/runs/{run['id']}/log")
    assert (part.status, part.body, part.headers["content-length"]) == (200, b"begun\n", "6")
    assert part.headers["content-type"] == "text/plain; charset=utf-8"
    gate.touch()
    node.ended(run)
    assert node.request("GET", f"/api/v1/runs/{run['id']}/log").body == b"begun\ndone\n"
    end = node.request("GET", f"/api/v1/runs/{run['id']}/log", headers={"Range": "bytes=-5"})
    assert (end.status, end.body) == (206, b"done\n")


def test_a_log_that_is_followed_comes_as_it_grows_and_ends_with_the_run(node: Serving, gate: Path) -> None:
    run = node.run("Wait", str(gate))
    stream = follow(node, f"/runs/{run['id']}/log")

    assert next(stream).id == "6"
    gate.touch()
    *logs, end = stream

    assert "".join(json.loads(event.data) for event in logs) == "done\n"
    assert (end.event, end.id) == ("end", "11")
    assert json.loads(end.data)["id"] == run["id"]
    assert json.loads(end.data)["exit_code"] == 0


def test_following_goes_on_after_the_last_byte_that_came(node: Serving) -> None:
    run = node.ended(node.run("Write", "1"))
    path = f"/runs/{run['id']}/log"

    assert [event.data for event in follow(node, path, "3")][:-1] == ['"tten\\n"']
    assert [event.event for event in follow(node, path, "8")] == ["end"]
    assert [event.event for event in follow(node, path, "999999999999")] == ["end"]
    for nonsense in ("", "x", "-1", "²", "9" * 300):
        assert json.loads(next(follow(node, path, nonsense)).data) == "written\n"


def test_a_log_with_anything_in_it_reaches_the_reader_whole(node: Serving) -> None:
    run = node.ended(node.run("Odd"))
    path = f"/runs/{run['id']}/log"
    raw = node.request("GET", f"/api/v1{path}").body
    assert b"\r\nb\rc\0\033[31m" in raw

    *logs, end = follow(node, path)

    assert "".join(json.loads(event.data) for event in logs) == raw.decode("utf-8", "replace")
    assert end.id == str(len(raw))


def test_a_reader_that_was_cut_off_within_a_character_gets_it_whole(
    node: Serving, gate: Path, tmp_path: Path, remote: Path
) -> None:
    script = f"printf 'a\\xe2\\x82'\nuntil test -e {gate}; do sleep 0.05; done\nprintf '\\xac\\n'\n"
    commit(tmp_path / "half", tool_files(remote, name="half", scripts={"Half": script}))
    node.install(tmp_path / "half", "half")
    run = node.run("Half", tool="half")

    first = next(follow(node, f"/runs/{run['id']}/log"))
    gate.touch()
    rest = list(follow(node, f"/runs/{run['id']}/log", first.id))

    assert json.loads(first.data) == "a"
    assert "".join(json.loads(event.data) for event in rest[:-1]) == "€\n"


def test_a_run_is_cancelled_with_all_that_it_started(node: Serving, gate: Path) -> None:
    run = node.run("Wait", str(gate))
    next(follow(node, f"/runs/{run['id']}/log"))

    reply = node.request("POST", f"/api/v1/runs/{run['id']}/cancel")

    assert (reply.status, reply.headers["location"]) == (202, f"/api/v1/runs/{run['id']}")
    assert node.ended(run)["state"] == "cancelled"
    again = node.request("POST", f"/api/v1/runs/{run['id']}/cancel")
    assert (again.status, again.json["code"]) == (409, "run-ended")


def test_data_that_was_kept_back_is_published_on_request(node: Serving, remote: Path) -> None:
    run = node.ended(node.run("Write", "1", "a.txt", publish=False))
    assert published(remote) == {}

    reply = node.request("POST", f"/api/v1/runs/{run['id']}/publish")

    assert (reply.status, reply.headers["location"]) == (202, f"/api/v1/runs/{run['id']}")
    node.finished(run, "succeeded")
    assert published(remote) == {"a.txt": "1"}
    again = node.request("POST", f"/api/v1/runs/{run['id']}/publish")
    assert (again.status, again.json["code"]) == (409, "nothing-to-publish")


@pytest.mark.parametrize("run_id", ["x", "..", "%2e%2e", "019a0000-0000-7000-8000-000000000000", "a%00b", "%ff"])
def test_a_run_that_is_unknown_is_a_404(served: Serving, run_id: str) -> None:
    for method, path in (("GET", ""), ("GET", "/log"), ("POST", "/cancel"), ("POST", "/publish")):
        reply = served.request(method, f"/api/v1/runs/{run_id}{path}")
        assert (reply.status, reply.json["code"]) in {(404, "run-not-found"), (404, "route-not-found")}


def test_a_key_starts_one_run_however_often_it_comes(node: Serving) -> None:
    body = {"tool": "probe", "command": "Write", "arguments": ["1"]}
    found: list[str] = []

    def start() -> None:
        reply = node.request("POST", "/api/v1/runs", body, {"Idempotency-Key": "k"})
        assert reply.status == 202, reply.body
        found.append(reply.json["id"])

    threads = [threading.Thread(target=start) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(found) == 8
    assert len(set(found)) == 1
    assert ids(node.api("GET", "/runs")) == [found[0]]
    other = node.request("POST", "/api/v1/runs", body | {"arguments": ["2"]}, {"Idempotency-Key": "k"})
    assert (other.status, other.json["code"]) == (422, "idempotency-key-reused")
    node.ended({"id": found[0]})


def test_a_key_is_remembered_over_a_restart(tmp_path: Path, tool: Path) -> None:
    body = {"tool": "probe", "command": "Write", "arguments": ["1"]}
    with serving(tmp_path / "home") as node:
        node.install(tool)
        first = node.api("POST", "/runs", body, Idempotency_Key="k")
        node.ended(first)

    with serving(tmp_path / "home") as node:
        assert node.api("POST", "/runs", body, Idempotency_Key="k")["id"] == first["id"]
        assert len(node.api("GET", "/runs")["items"]) == 1
