from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest

from mao.client import Client, Event, at
from mao.errors import (
    BadArguments,
    BadBody,
    BadName,
    BadPage,
    BadSetting,
    CommandNotFound,
    Conflict,
    DatasetNotFound,
    Denied,
    IdempotencyKeyReused,
    InvalidRequest,
    MaoError,
    NameTaken,
    NodeUnreachable,
    NotFound,
    NotInstalled,
    OutsideFailed,
    RouteNotFound,
    RunNotFound,
    StaleRevision,
    ToolNotFound,
    Unavailable,
)
from mao.node_address import NodeAddress
from support import ServedNode, bare, commit, eventually, free_port, tool_files

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

GATE = 'for i in 1 2 3; do echo "línea $i"; until [ -e "$1/$i" ]; do sleep 0.02; done; done\n'


def _prepared(directory: Path) -> ServedNode:
    repository = directory / "probe"
    files = tool_files(
        bare(directory / "data.git"), scripts={"Gate": GATE, "True": "true\n"}, arguments={"Gate": 1, "True": 1}
    )
    commit(repository, files)
    node = ServedNode(directory / "home")
    try:
        node.start().install(repository)
    except BaseException:
        node.stop()
        raise
    return node


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedNode]:
    """Shared by the tests that neither stop it nor mind each other."""
    served = _prepared(tmp_path_factory.mktemp("node"))
    yield served
    served.stop()


@pytest.fixture
def own_node(tmp_path: Path) -> Iterator[ServedNode]:
    served = _prepared(tmp_path)
    yield served
    served.stop()


def client_of(node: ServedNode, patience: float = 60.0) -> Client:
    return Client(node.url, patience=patience)


@contextmanager
def answering(status: int, body: bytes) -> Iterator[str]:
    """The address of a server that answers every GET so."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


ERRORS: list[tuple[type[MaoError], Callable[[Client], object]]] = [
    (ToolNotFound, lambda c: c.get(at("tools", "nothing"))),
    (DatasetNotFound, lambda c: c.delete(at("datasets", "nothing"))),
    (RunNotFound, lambda c: c.get(at("runs", "nothing"))),
    (NotInstalled, lambda c: c.get(at("installations", "nothing"))),
    (RouteNotFound, lambda c: c.get(at("nothing"))),
    (CommandNotFound, lambda c: c.post("/runs", {"tool": "probe", "command": "nothing"})),
    (BadArguments, lambda c: c.post("/runs", {"tool": "probe", "command": "True", "arguments": ["1", "2"]})),
    (BadBody, lambda c: c.post("/runs", {"tool": "probe"})),
    (BadName, lambda c: c.get(at("tools", ""))),
    (NameTaken, lambda c: c.post("/tools", {"url": c.get(at("tools", "probe"))["url"]})),
    (StaleRevision, lambda c: c.post("/tools", {"url": c.get(at("tools", "probe"))["url"]}, if_match='"99999"')),
    (BadPage, lambda c: list(c.pages("/tools", page_size=0))),
]


@pytest.mark.parametrize(("kind", "ask"), ERRORS, ids=[kind.__name__ for kind, _ in ERRORS])
def test_the_very_error_of_the_node_is_raised(
    node: ServedNode, kind: type[MaoError], ask: Callable[[Client], object]
) -> None:
    with pytest.raises(kind) as caught:
        ask(client_of(node))
    assert type(caught.value) is kind
    assert caught.value.detail


def test_an_error_brings_its_faults(node: ServedNode) -> None:
    with pytest.raises(BadBody) as caught:
        client_of(node).post("/runs", {"tool": "probe"})
    assert [fault["path"] for fault in caught.value.faults] == ["command"]


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (422, InvalidRequest),
        (404, NotFound),
        (409, Conflict),
        (502, OutsideFailed),
        (503, Unavailable),
        (403, Denied),
        (401, Denied),
        (500, MaoError),
    ],
)
def test_an_error_of_a_newer_node_is_told_by_its_status(status: int, kind: type[MaoError]) -> None:
    problem = json.dumps({"code": "not-known-here", "detail": "so it is"}).encode()
    with answering(status, problem) as url, pytest.raises(kind, match="so it is") as caught:
        Client(url).get("/tools")
    assert type(caught.value) is kind


@pytest.mark.parametrize(("status", "body"), [(404, b"<html>"), (302, b""), (500, b'"text"'), (502, b"[]")])
def test_something_else_that_answers_there_is_told_from_a_node(status: int, body: bytes) -> None:
    with answering(status, body) as url, pytest.raises(NodeUnreachable, match="is no MAO node"):
        Client(url).get("/tools")


def test_nobody_there_is_told_at_once_with_what_to_do() -> None:
    with pytest.raises(NodeUnreachable, match="'mao serve' starts one"):
        Client(f"http://127.0.0.1:{free_port()}", patience=600).get("/tools")


def test_a_node_that_hangs_is_not_waited_for_without_end() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        client = Client(f"127.0.0.1:{silent.getsockname()[1]}", timeout=0.1, patience=600)
        with pytest.raises(NodeUnreachable, match="no answer in time"):
            client.get("/tools")


@pytest.mark.parametrize(
    "url",
    ["https://", "ftp://a", "unix:", "unix://h/a", "http://a:0", "http://a:x", "http://a/b", "http://", "http://a?b"],
)
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(BadSetting):
        Client(url)


def test_whatever_is_in_a_name_stays_in_its_part_of_the_path(node: ServedNode) -> None:
    assert at("a b", "c/d", "é?#%", "..") == "/a%20b/c%2Fd/%C3%A9%3F%23%25/.."
    with pytest.raises(ToolNotFound, match="a b"):
        client_of(node).get(at("tools", "a b?search=probe"))


def test_lists_come_page_after_page(node: ServedNode, tmp_path: Path) -> None:
    client = client_of(node)
    for i in range(5):
        client.post("/datasets", {"name": f"paged-{i}", "url": str(bare(tmp_path / f"{i}.git"))})
    names = [dataset["name"] for dataset in client.pages("/datasets", page_size=2, search="paged")]
    assert names == [f"paged-{i}" for i in range(5)]


def test_a_tool_is_replaced_by_its_etag(node: ServedNode) -> None:
    client = client_of(node)
    answer = client.ask("GET", at("tools", "probe"))
    client.post("/tools", {"url": answer.json["url"]}, if_match=answer.etag)
    with pytest.raises(StaleRevision):
        client.post("/tools", {"url": answer.json["url"]}, if_match=answer.etag)


def test_the_node_says_what_it_is(node: ServedNode) -> None:
    assert client_of(node).ready()["status"] == "ok"


def test_waiting_returns_when_the_run_has_ended(node: ServedNode) -> None:
    client = client_of(node)
    run = client.post("/runs", {"tool": "probe", "command": "True"})
    ended = client.wait(at("runs", run["id"]), lambda run: run["state"] == "succeeded")
    assert ended["exit_code"] == 0
    assert client.get(at("runs", run["id"]), wait=60)["state"] == "succeeded"


def test_a_request_whose_answer_was_lost_starts_one_run_only(node: ServedNode) -> None:
    before = {run["id"] for run in client_of(node).pages("/runs")}
    with socket.create_server(("127.0.0.1", 0)) as way:
        thread = threading.Thread(target=_forward, args=(way, node, 2))
        thread.start()
        client = Client(NodeAddress(f"http://127.0.0.1:{way.getsockname()[1]}", node.token("run")))
        run = client.post("/runs", {"tool": "probe", "command": "True"})
        thread.join()
    assert {run["id"] for run in client_of(node).pages("/runs")} - before == {run["id"]}


def test_a_request_that_must_not_be_repeated_is_not(node: ServedNode) -> None:
    with socket.create_server(("127.0.0.1", 0)) as way:
        thread = threading.Thread(target=_forward, args=(way, node, 1))
        thread.start()
        with pytest.raises(NodeUnreachable, match="look before you ask again"):
            Client(f"http://127.0.0.1:{way.getsockname()[1]}").delete(at("tools", "nothing"))
        thread.join()


def _forward(way: socket.socket, node: ServedNode, connections: int) -> None:
    """Pass so many connections on to the node, the first one without its answer."""
    for number in range(connections):
        caller, _ = way.accept()
        with caller, socket.create_connection(("127.0.0.1", node.port)) as onward:
            request = caller.recv(65536)
            head, _, rest = request.partition(b"\r\n\r\n")
            wanted = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0] or 0)
            while len(rest) < wanted:
                rest += caller.recv(65536)
            host = f"127.0.0.1:{way.getsockname()[1]}".encode()
            onward.sendall(head.replace(host, f"127.0.0.1:{node.port}".encode()) + b"\r\n\r\n" + rest)
            answer = b""
            while chunk := onward.recv(65536):
                answer += chunk
            if number:
                caller.sendall(answer)


def test_the_same_key_with_another_request_is_refused(node: ServedNode) -> None:
    client = client_of(node)
    key = {"Idempotency-Key": "one"}
    first = client.ask("POST", "/runs", {"tool": "probe", "command": "True"}, headers=key)
    again = client.ask("POST", "/runs", {"tool": "probe", "command": "True"}, headers=key)
    assert first.location == again.location
    with pytest.raises(IdempotencyKeyReused):
        client.ask("POST", "/runs", {"tool": "probe", "command": "Gate"}, headers=key)


def logged(events: list[Event]) -> str:
    return "".join(json.loads(event.data) for event in events if event.name == "log")


def test_following_goes_on_from_an_id(node: ServedNode, tmp_path: Path) -> None:
    client = client_of(node)
    for name in "123":
        (tmp_path / name).touch()
    run = client.post("/runs", {"tool": "probe", "command": "Gate", "arguments": [str(tmp_path)]})
    path = at("runs", run["id"], "log")
    events = list(client.follow(path))
    assert logged(events) == "línea 1\nlínea 2\nlínea 3\n"
    assert json.loads(events[-1].data)["state"] == "succeeded"
    assert logged(list(client.follow(path, last_event_id="9"))) == "línea 2\nlínea 3\n"


def test_events_of_the_whole_node_can_be_followed(node: ServedNode) -> None:
    client = client_of(node)
    events = client.follow("/events")
    assert next(events).name == "hello"
    run = client.post("/runs", {"tool": "probe", "command": "True"})
    assert any(event.name == "run" and json.loads(event.data)["id"] == run["id"] for event in events)
    events.close()  # type: ignore[attr-defined]  # it is a generator


@pytest.mark.parametrize("end", ["kill", "stop"])
def test_what_is_followed_or_waited_for_survives_a_restart(own_node: ServedNode, tmp_path: Path, end: str) -> None:
    told: list[str] = []
    client = Client(own_node.url, tell=told.append)
    gate = tmp_path / "gate"
    gate.mkdir()
    run = client.post("/runs", {"tool": "probe", "command": "Gate", "arguments": [str(gate)]})
    ended: list[str] = []
    waiting = threading.Thread(
        target=lambda: ended.append(
            client.wait(at("runs", run["id"]), lambda run: run["state"] not in {"queued", "running", "publishing"})[
                "state"
            ]
        )
    )
    waiting.start()
    stream = client.follow(at("runs", run["id"], "log"))
    events = [next(stream)]
    getattr(own_node, end)()
    (gate / "1").touch()
    threading.Thread(target=lambda: eventually(lambda: told) and own_node.start()).start()
    events.append(next(stream))
    (gate / "2").touch()
    (gate / "3").touch()
    events += stream
    waiting.join()
    assert logged(events) == "línea 1\nlínea 2\nlínea 3\n"
    assert ended == ["succeeded"]
    assert "is away; waiting up to 60 s" in told[0]


def test_patience_ends(own_node: ServedNode, tmp_path: Path) -> None:
    client = client_of(own_node, patience=0.3)
    run = client.post("/runs", {"tool": "probe", "command": "Gate", "arguments": [str(tmp_path)]})
    stream = client.follow(at("runs", run["id"], "log"))
    next(stream)
    own_node.kill()
    with pytest.raises(NodeUnreachable, match="No node serves"):
        list(stream)
    own_node.start().api("POST", f"/runs/{run['id']}/cancel")
    own_node.ended(run)


def test_a_stream_that_is_broken_off_for_ever_is_given_up() -> None:
    with answering(200, b": nothing\n\n") as url, pytest.raises(NodeUnreachable, match="breaks every stream off"):
        list(Client(url, patience=0.3).follow("/events"))


def test_it_needs_nothing_but_the_standard_library() -> None:
    program = "import sys, mao.client; print(*sorted({'pydantic', 'fastapi', 'click', 'asyncio'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "\n"
