"""What goes on by itself: logs and changes, as server-sent events that can be resumed."""

from __future__ import annotations

import codecs
import json
import re
from itertools import zip_longest
from typing import TYPE_CHECKING, Annotated

from fastapi import Header, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import FileResponse, StreamingResponse

from mao import finding
from mao.catalogue import DATASETS, HEADS, SCHEDULES, SLOTS
from mao.errors import BadRange
from mao.log_file import size_of
from mao.registry import Change
from mao.web import problems
from mao.web.access import Node  # noqa: TC001  # FastAPI reads the annotations
from mao.web.routing import api

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from mao.local_node import LocalNode
    from mao.web.access import Changes

router = api("events")

_LOOK = 0.1  # seconds between two looks at a log that grows
_SILENCE = 15.0  # seconds after which a stream says that it is still there
_CHUNK = 65536
_TEXT = "text/plain; charset=utf-8"
_RANGE = re.compile(r"bytes=(?P<first>[0-9]{0,15})-(?P<last>[0-9]{0,15})", re.ASCII | re.IGNORECASE)
_HEADERS = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}


def _event(data: str, *, event: str | None = None, event_id: str | None = None) -> str:
    """One event of a stream (HTML Standard, 9.2)."""
    lines = [f"event: {event}"] if event else []
    lines += [f"id: {event_id}"] if event_id is not None else []
    lines += [f"data: {line}" for line in data.replace("\r\n", "\n").replace("\r", "\n").split("\n")]
    return "\n".join(lines) + "\n\n"


async def log_response(
    request: Request, path: Path, is_ended: Callable[[], bool], final: Callable[[], str]
) -> Response:
    """The log at `path` as text, or followed until `is_ended`, with `final` as the last event."""
    if "text/event-stream" in request.headers.get("accept", ""):
        last = re.fullmatch("[0-9]{1,12}", request.headers.get("last-event-id", ""))
        stream = _followed(request, path, int(last[0]) if last else 0, is_ended, final)
        return StreamingResponse(stream, media_type="text/event-stream", headers=_HEADERS)
    over = await run_in_threadpool(is_ended)
    size = await run_in_threadpool(size_of, path)
    wanted = _range(request, size)
    if size and over and wanted is None:
        return FileResponse(path, media_type=_TEXT)
    # A log that grows while it is sent would be longer than its Content-Length.
    start, end = wanted or (0, size)
    if wanted is not None and start >= end:
        error = BadRange(f"The log has {size} bytes so far, and none of those that are asked for.")
        refused = problems.response(error, request.state.request_id)
        refused.headers["Content-Range"] = f"bytes */{size}"
        return refused
    headers = {"Content-Length": str(end - start), "Accept-Ranges": "bytes"}
    if wanted is not None:
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
    status = 200 if wanted is None else 206
    return StreamingResponse(_part(path, start, end), status, media_type=_TEXT, headers=headers)


def _range(request: Request, size: int) -> tuple[int, int] | None:
    """Where the bytes begin and end that are asked for (RFC 9110, 14.2); None for all.

    Several ranges, and those that are asked for under a condition, are left to those who serve files.
    """
    found = _RANGE.fullmatch(request.headers.get("range", ""))
    if found is None or "if-range" in request.headers:
        return None
    first, last = found["first"], found["last"]
    if first:
        return (int(first), min(int(last) + 1, size) if last else size) if not last or int(first) <= int(last) else None
    return (max(0, size - int(last)), size) if last else None


async def _part(path: Path, start: int, end: int) -> AsyncIterator[bytes]:
    for offset in range(start, end, _CHUNK):
        yield (await run_in_threadpool(_read, path, offset))[: end - offset]


async def _followed(
    request: Request, path: Path, offset: int, is_ended: Callable[[], bool], final: Callable[[], str]
) -> AsyncIterator[str]:
    changes: Changes = request.app.state.changes
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    silent = 0.0
    over, seen = False, None
    while not changes.stopping:
        ticket = changes.ticket()
        if ticket is not seen:  # asked before reading: what was written before the end is then all there
            over, seen = over or await run_in_threadpool(is_ended), ticket
        chunk = await run_in_threadpool(_read, path, offset) if size_of(path) > offset else b""
        offset += len(chunk)
        text = decoder.decode(chunk, final=over and not chunk)
        if text:
            silent = 0.0
            # Who resumes after half a character gets it whole.
            yield _event(json.dumps(text), event="log", event_id=str(offset - len(decoder.getstate()[0])))
        elif over and not chunk:
            yield _event(await run_in_threadpool(final), event="end", event_id=str(offset))
            return
        elif not chunk:
            silent += _LOOK
            if silent >= _SILENCE:
                silent = 0.0
                yield ": still here\n\n"
            await changes.after(ticket, _LOOK)


def _read(path: Path, offset: int) -> bytes:
    try:
        with path.open("rb") as file:
            file.seek(offset)
            return file.read(_CHUNK)
    except FileNotFoundError:
        return b""


@router.get("/events", response_class=Response)
async def events(
    request: Request,
    node: Node,
    last_event_id: Annotated[str | None, Header(pattern=r"^[0-9]{1,18}\.[0-9]{1,18}$")] = None,
) -> Response:
    """Everything that changes on this node and in the registry, as server-sent events.

    The name of an event is what changed (`run`, `schedule`, `slot`, `installation`, `clone`, `alarm`, `tool`,
    `dataset`, `node`), its data the new state, or `{"key": ..., "gone": true}` (of an alarm, `KIND:SUBJECT` in lower
    case). `Last-Event-ID` goes on after that event: of what changed in between, the newest state.
    """
    if last_event_id is None:
        seq, position = node.store.last_seq(), node.mirror.position
    else:
        seq, position = map(int, last_event_id.split("."))
    return StreamingResponse(_events(request, node, seq, position), media_type="text/event-stream", headers=_HEADERS)


def _datasets_whole(node: LocalNode, found: list[Change]) -> list[Change]:
    """These changes, in which what is told of a dataset has become one of the dataset."""
    whole: dict[tuple[str, int], Change] = {}
    for change in found:
        key = change.key.replace(HEADS, DATASETS, 1)
        entry = node.mirror.get(key) if key.startswith(DATASETS) and change.value is not None else None
        if entry is not None:
            whole[key, change.revision] = Change(key, finding.shown(node, entry), change.revision)
        elif key == change.key:
            whole[key, change.revision] = change
    return list(whole.values())


async def _events(request: Request, node: LocalNode, seq: int, position: int) -> AsyncIterator[str]:
    changes: Changes = request.app.state.changes
    yield _event("{}", event="hello", event_id=f"{seq}.{position}")
    while not changes.stopping:
        ticket = changes.ticket()
        told = False
        for change in await run_in_threadpool(node.store.events, seq):
            seq, told = change.seq, True
            yield _event(
                change.body or json.dumps({"key": change.key, "gone": True}),
                event=change.kind,
                event_id=f"{seq}.{position}",
            )
        found, present = node.mirror.changed_since(position)
        found = [change for change in found if not change.key.startswith((SCHEDULES, SLOTS))]  # in the store, too
        found = _datasets_whole(node, found)
        for entry, after in zip_longest(found, found[1:]):
            told = True
            if after is None or after.revision != entry.revision:  # who resumes between two of one write gets both
                position = entry.revision
            noun = entry.key.split("/")[3].removesuffix("s")
            data = entry.value.decode() if entry.value is not None else json.dumps({"key": entry.key, "gone": True})
            yield _event(data, event=noun, event_id=f"{seq}.{position}")
        position = present
        if not told:
            await changes.after(ticket, _SILENCE)
            if ticket.is_set():
                continue
            yield ": still here\n\n"
