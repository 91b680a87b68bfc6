"""See whether the tags by which tools were registered still name the commits that were registered."""

from __future__ import annotations

import logging
import zlib
from functools import lru_cache
from typing import TYPE_CHECKING

from mao.alarm import Alarm, AlarmKind, alarm_key
from mao.alarming import end_alarm, raise_alarm
from mao.catalogue import TOOLS, Tool, tool_key
from mao.errors import GitFailed, MaoError, Stopping
from mao.reading import NO_SUCH_REF, resolve
from mao.values import now

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mao.local_node import LocalNode
    from mao.reading import Pinned

log = logging.getLogger("mao.checking")

_TAGS = "refs/tags/"
_EVERY = 3600.0
"""Seconds between two looks at one tag."""
_LONGEST = 60.0
"""Seconds that a remote may take to name a tag: others wait for their turn meanwhile."""


def check_tags(node: LocalNode, turns: dict[str, float], moment: float) -> None:
    """Look at the tags whose turn it is, one after another.

    Those are looked at by which tools were registered that are installed here or that this node registered, and those
    of which it knows that they moved. A remote that does not answer says nothing about its tags.

    Args:
        node: that looks.
        turns: when it is the turn of each tool, by its key; kept from one call to the next.
        moment: on the same clock, in seconds.
    """
    watched = {tool_key(tool.name): tool for tool in _watched(node)}
    for key in turns.keys() - watched.keys():
        del turns[key]
    for key in watched:
        # Spread over the time between two looks, on each node otherwise: no host is asked for all at once.
        turns.setdefault(key, moment + _EVERY * (zlib.crc32(f"{node.config.node} {key}".encode()) / 2**32))
    for key in sorted(watched, key=turns.__getitem__):
        if turns[key] > moment:
            return
        turns[key] = moment + _EVERY
        try:
            check_tag(node, watched[key])
        except Stopping:
            return
        except MaoError as error:
            log.debug("the tag of '%s' could not be looked at: %s", watched[key].name, error.detail)


def _watched(node: LocalNode) -> Iterator[Tool]:
    here = {tool_key(tool) for tool, _ in node.store.bodies("installation")}
    here |= {tool_key(alarm.subject) for alarm in node.store.alarms(AlarmKind.TAG_MOVED)}
    ours = node.config.node.lower()
    for entry in node.mirror.entries(TOOLS):
        # To read thousands of definitions would take seconds.
        if entry.key in here or ours.encode() in entry.value.lower():
            tool = Tool.model_validate_json(entry.value)
            if tool.ref.startswith(_TAGS) and (entry.key in here or tool.registered_by.lower() == ours):
                yield tool


def check_tag(node: LocalNode, tool: Tool) -> str | None:
    """Look at the tag by which `tool` was registered; what is the matter with it in words, if anything.

    An alarm is raised then, and ended otherwise.

    Raises:
        OutsideFailed: the remote could not be asked; an alarm that is raised stays.
    """
    if not tool.ref.startswith(_TAGS):
        return None
    try:
        commit = resolve(node, tool.url, tool.ref, time_limit=_LONGEST).commit
    except GitFailed as error:
        if error.cause != NO_SUCH_REF:
            raise
        commit = None
    return _compare(node, tool, commit)


def seen(node: LocalNode, tool: Tool, url: str, pinned: Pinned) -> None:
    """Take notice of what a ref at `url` was just seen to name: it may be the tag by which `tool` was registered."""
    if (url, pinned.ref) == (tool.url, tool.ref) and tool.ref.startswith(_TAGS):
        _compare(node, tool, pinned.commit)


def _compare(node: LocalNode, tool: Tool, commit: str | None) -> str | None:
    key = alarm_key(AlarmKind.TAG_MOVED, tool.name)
    with node.locked("alarm", key):
        if commit == tool.commit:
            present = node.store.alarm(key)
            if present is not None and present.about == _about(tool):
                end_alarm(node, present, "the tag names the registered commit again.")
            return None
        detail = _words(tool, commit)
        if _is_registered(node, _about(tool), tool.name):
            kind, about = AlarmKind.TAG_MOVED, _about(tool)
            raise_alarm(node, Alarm(kind=kind, subject=tool.name, about=about, detail=detail, since=now()))
        return detail


def _words(tool: Tool, commit: str | None) -> str:
    tag = tool.ref.removeprefix(_TAGS)
    present = f"names {commit} now" if commit else "is gone now"
    remedy = (
        f" If the new commit is right, node '{tool.registered_by}' registers it with 'mao tool register --replace', and"
        f" 'mao tool update {tool.name}' shows what it changes."
    )
    return (
        f"The tag {tag} of '{tool.name}' named commit {tool.commit} when it was registered, and {present}. Ask whoever"
        f" keeps it why. What is installed stays as it is.{remedy if commit else ''}"
    )


def end_outdated(node: LocalNode) -> None:
    """End the alarms about registrations that were replaced or withdrawn since."""
    for alarm in node.store.alarms(AlarmKind.TAG_MOVED):
        if not _is_registered(node, alarm.about, alarm.subject):
            end_alarm(node, alarm, "the registration was replaced or withdrawn.")


def _about(tool: Tool) -> str:
    return f"{tool.url} {tool.ref} {tool.commit}"


def _is_registered(node: LocalNode, about: str, name: str) -> bool:
    entry = node.mirror.get(tool_key(name))
    return entry is not None and _about_registered(entry.value) == about


@lru_cache(maxsize=256)
def _about_registered(value: bytes) -> str:
    """It is asked for at every look of the daemon."""
    return _about(Tool.model_validate_json(value))
