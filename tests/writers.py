"""Writers that work with a node while members and nodes fail, and note what they were told."""

from __future__ import annotations

import http.client
import json
import random
import threading
import time
from collections import Counter
from enum import Enum
from typing import TYPE_CHECKING, Any, TypeVar

from support import eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from support import Reply, ServedNode

W = TypeVar("W", bound="Writer")

_PAUSE = 0.05
_ROUND = 0.5
"""Seconds in which all nodes register one name."""


class Told(Enum):
    """What a writer knows of what it asked for."""

    DONE = "done"
    REFUSED = "refused"
    UNKNOWN = "not known"


class Writer(threading.Thread):
    """Asks a node, again and again, until `end`.

    Args:
        node: the node.
        name: of the writer's own names and files: no other writer ever had it.
    """

    def __init__(self, node: ServedNode, name: str) -> None:
        super().__init__(name=name, daemon=True)
        self.node = node
        self.told: Counter[Told] = Counter()
        self.wrong: list[str] = []
        """What must not have been answered."""
        self.chance = random.Random(name)  # noqa: S311  # no secret
        self._ending = threading.Event()
        self.start()

    def run(self) -> None:
        number = 0
        while not self._ending.is_set():
            number += 1
            try:
                self.step(number)
            except Exception as error:  # noqa: BLE001  # the test shows it
                self.wrong.append(f"{self.name}: {error!r}")
                return
            self._ending.wait(_PAUSE)

    def step(self, number: int) -> None:
        """Do one thing."""
        raise NotImplementedError

    def end(self) -> None:
        self._ending.set()

    def asked(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[Told, Reply | None]:
        """What is known after asking for this."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        reply: Reply | None = None
        try:
            reply = self.node.request(method, f"/api/v1{path}", body, sent)
            told = _told(reply)
        except ConnectionRefusedError:  # it does not serve, and was not asked
            told = Told.REFUSED
        except (OSError, http.client.HTTPException):  # killed, before or after it was done
            told = Told.UNKNOWN
        self.told[told] += 1
        return told, reply


def _told(reply: Reply) -> Told:
    if reply.status < 300:
        return Told.DONE
    detail = json.loads(reply.body)["detail"]
    if reply.status == 503 and ("not known" in detail or "has taken it" in detail):
        return Told.UNKNOWN
    return Told.REFUSED


class Registrar(Writer):
    """Registers datasets, replaces and withdraws them, and registers names that the other nodes want as well."""

    def __init__(self, node: ServedNode, name: str, remote: Path) -> None:
        self.possible: dict[str, set[str | None]] = {}
        """What each of its names can hold, as a description; None: it is not registered."""
        self.common: dict[str, Told] = {}
        """What it was told of each name that others want."""
        self._remote = str(remote)
        super().__init__(node, name)

    def step(self, number: int) -> None:
        own = [name for name, held in self.possible.items() if len(held) == 1 and None not in held]
        kind = self.chance.choice(["register", "register", "replace", "withdraw", "compete"])
        if kind == "compete":
            self._compete(f"common-{int(time.monotonic() / _ROUND)}")
        elif kind == "register" or not own:
            self._register(f"{self.name}-{number}")
        elif kind == "replace":
            self._replace(self.chance.choice(own), str(number))
        else:
            self._withdraw(self.chance.choice(own))

    def _register(self, name: str) -> None:
        self.possible[name] = {None, "new"}
        told, reply = self.asked("POST", "/datasets", {"name": name, "url": self._remote, "description": "new"})
        if told is not Told.UNKNOWN:
            self.possible[name] = {"new" if told is Told.DONE else None}
        if reply is not None and reply.status not in {201, 503}:
            self.wrong.append(f"{name}, which nobody had, was refused: {reply.body!r}")

    def _replace(self, name: str, description: str) -> None:
        told, reply = self.asked("GET", f"/datasets/{name}")
        if told is not Told.DONE or reply is None:  # a node that was killed may know less than it did
            return
        body = {"name": name, "url": self._remote, "description": description}
        before = self.possible[name]
        self.possible[name] = before | {description}
        told, reply = self.asked("POST", "/datasets", body, If_Match=reply.headers["etag"])
        if told is not Told.UNKNOWN:
            self.possible[name] = {description} if told is Told.DONE else before
        if reply is not None and reply.status not in {200, 409, 503}:
            self.wrong.append(f"{name} was not replaced: {reply.body!r}")

    def _withdraw(self, name: str) -> None:
        before = self.possible[name]
        self.possible[name] = before | {None}
        told, reply = self.asked("DELETE", f"/datasets/{name}")
        if told is not Told.UNKNOWN:
            self.possible[name] = {None} if told is Told.DONE else before
        if reply is not None and reply.status not in {204, 503}:
            self.wrong.append(f"{name}, which is registered, could not be withdrawn: {reply.body!r}")

    def _compete(self, name: str) -> None:
        if name in self.common:
            return
        self.common[name] = Told.UNKNOWN
        told, reply = self.asked("POST", "/datasets", {"name": name, "url": self._remote})
        self.common[name] = told
        if reply is not None and reply.status not in {201, 409, 503}:
            self.wrong.append(f"{name}: {reply.body!r}")
        if reply is not None and reply.status == 409 and "is registered already, by node '" not in reply.json["detail"]:
            self.wrong.append(f"{name} was refused without naming who has it: {reply.body!r}")


class Runner(Writer):
    """Runs a tool whose runs publish, one after the other."""

    def __init__(self, node: ServedNode, name: str) -> None:
        self.accepted: list[str] = []
        """The ids of the runs."""
        self.published = 0
        super().__init__(node, name)

    def step(self, number: int) -> None:
        body = {"tool": "probe", "command": "Write", "arguments": [str(number), f"{self.name}/{number}"]}
        told, reply = self.asked("POST", "/runs", body)
        if reply is None:
            return
        if told is not Told.DONE:
            self.wrong.append(f"{self.name}: a run was refused: {reply.body!r}")
            return
        run = reply.json["id"]
        self.accepted.append(run)
        while not self._ending.is_set():
            told, reply = self.asked("GET", f"/runs/{run}", Prefer="wait=1")
            if reply is not None and reply.json["state"] not in {"queued", "running", "publishing"}:
                self.published += reply.json["state"] == "succeeded"
                break
            self._ending.wait(_PAUSE)
        self._ending.wait(self.chance.uniform(0.5, 1.5))  # or each would lose its race against two others


class Work:
    """The writers of all nodes, at work.

    Args:
        nodes: that they ask.
        remote: of the datasets that they register.
        number: that no other work has.
    """

    def __init__(self, nodes: Sequence[ServedNode], remote: Path, number: int) -> None:
        self.registrars = [Registrar(node, f"{node.name}-{number}", remote) for node in nodes]
        self.runners = [Runner(node, f"{node.name}-{number}") for node in nodes]

    @property
    def writers(self) -> tuple[Writer, ...]:
        return (*self.registrars, *self.runners)

    def goes_on(self, *nodes: int, registrations: int = 4, runs: int = 1) -> None:
        """Wait until these nodes (or all) have been told so often more that something is done, and published."""
        self.told(Told.DONE, *nodes, times=registrations)
        self.publishes(*nodes, runs=runs)

    def told(self, told: Told, *nodes: int, times: int = 1) -> None:
        """Wait until the registrars of these nodes (or all) have been told this so often more."""
        _more([self.registrars[i] for i in nodes or (0, 1, 2)], lambda writer: writer.told[told], times)

    def publishes(self, *nodes: int, runs: int = 1) -> None:
        """Wait until these nodes (or all) have published so many runs more."""
        _more([self.runners[i] for i in nodes or (0, 1, 2)], lambda writer: writer.published, runs)

    def end(self) -> None:
        """Begin nothing more."""
        for writer in self.writers:
            writer.end()

    def join(self) -> None:
        """Wait until the last answers are there."""
        for writer in self.writers:
            writer.join()


def _more(writers: Sequence[W], count: Callable[[W], int], times: int) -> None:
    """Wait until the count of each of these is larger by so much."""
    wanted = [(writer, count(writer) + times) for writer in writers]
    eventually(
        lambda: all(writer.wrong or count(writer) >= number for writer, number in wanted),
        f"{', '.join(writer.name for writer in writers)} go on",
    )
