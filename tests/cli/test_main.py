from __future__ import annotations

import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import click
import pytest

from cli.place import EVERY, Place, alone
from mao import __version__
from support import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Iterator


def test_the_version_is_told() -> None:
    done = alone("--version")
    assert (done.returncode, done.stdout) == (0, f"mao, version {__version__}\n")


@pytest.mark.parametrize("path", EVERY, ids=" ".join)
def test_every_command_says_what_it_does(path: tuple[str, ...]) -> None:
    command = EVERY[path]
    assert command.help
    assert command.help.split("\n")[0].endswith(".")
    for option in command.params:
        assert not isinstance(option, click.Option) or option.help, option.name


def test_all_that_the_interfaces_name_is_there() -> None:
    nouns = {
        "": "serve demo doctor tool run dataset definition config completion",
        "tool": "list search register show withdraw install installed update remove help run log",
        "run": "list show log cancel publish",
        "dataset": "list register show clone refresh clones remove withdraw",
        "definition": "new check",
        "config": "show",
        "alarm": "list",
    }
    for noun, verbs in nouns.items():
        for verb in verbs.split():
            path = (noun, verb) if noun else (verb,)
            assert path in EVERY
            talks = path in {("serve",), ("demo",), ("completion",), ("definition", "new")}
            if not isinstance(EVERY[path], click.Group) and not talks:
                assert any("--output" in option.opts for option in EVERY[path].params), path


@pytest.mark.parametrize(
    ("args", "hint"),
    [
        (("tol",), "did you mean 'tool'?"),
        (("tool", "instal"), "did you mean 'install'?"),
        (("tool", "list", "--outptu", "json"), "--output"),
        (("tool", "show"), "Missing argument"),
        (("tool", "list", "-o", "xml"), "'xml'"),
        (("config", "show", "-o", "json", "x"), "unexpected extra argument"),
    ],
)
def test_what_cannot_be_understood_ends_with_2(args: tuple[str, ...], hint: str) -> None:
    done = alone(*args)
    assert (done.returncode, done.stdout) == (2, "")
    assert hint in done.stderr


def test_a_node_that_is_away_ends_with_6_and_what_to_do() -> None:
    done = alone("tool", "list")
    assert done.returncode == 6
    assert done.stderr.startswith("mao: No node serves in /dev/null/nothing/mao (")
    assert "'mao serve' starts one" in done.stderr
    problem = json.loads(alone("run", "list", "-o", "json").stderr)
    assert (problem["code"], problem["status"]) == ("node-unreachable", 503)
    assert len(alone("run", "list", "-o", "ndjson").stderr.splitlines()) == 1


@pytest.fixture
def strange() -> Iterator[str]:
    """The address of a server that answers everything with a list, as no node does."""

    class Strange(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"[]")

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Strange) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_a_bug_takes_one_line_and_ends_with_1(strange: str) -> None:
    done = alone("tool", "list", MAO_URL=strange)
    assert done.returncode == 1
    assert re.fullmatch(r"mao: this is a bug: TypeError: .* \(MAO_DEBUG=1 shows where\)\n", done.stderr)
    assert "Traceback" in alone("tool", "list", MAO_URL=strange, MAO_DEBUG="1").stderr


def test_a_pipe_that_is_closed_early_is_no_bug(place: Place) -> None:
    process = place.mao.start("config", "show", "-o", "ndjson")
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    process.wait(PATIENCE)
    assert "bug" not in process.stderr.read()
    process.stderr.close()
