"""What git finds around it when this node calls it: its settings, its variables, and the limits of the system."""

from __future__ import annotations

import os
import re
import resource
import shutil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

MARKER = "MAO_GIT_OF"
"""The variable by which the git processes of a node are found again after the node was killed."""

# What would point git at another repository, as inside a hook (git rev-parse --local-env-vars), or have it say more.
_MISLEADING = re.compile(
    r"GIT_(ALTERNATE_OBJECT_DIRECTORIES|CEILING_DIRECTORIES|COMMON_DIR|CONFIG|CONFIG_COUNT|CONFIG_PARAMETERS|DIR"
    r"|GRAFT_FILE|IMPLICIT_WORK_TREE|INDEX_FILE|INTERNAL_SUPER_PREFIX|NAMESPACE|NO_REPLACE_OBJECTS|OBJECT_DIRECTORY"
    r"|PREFIX|QUARANTINE_PATH|REPLACE_REF_BASE|SHALLOW_FILE|TEMPLATE_DIR|TRACE.*|WORK_TREE)"
)

_SETTINGS = {
    # A repository's own hooks and monitors are other people's code.
    "core.fsmonitor": "false",
    "core.hooksPath": "/dev/null",
    "core.symlinks": "true",
    "core.fsync": "committed",
    "core.quotePath": "false",
    # A file that other systems would take for '.git' is none here either, whoever checks it out.
    "core.protectHFS": "true",
    "core.protectNTFS": "true",
    # A file that is larger is never held in memory, but goes through it in pieces.
    "core.bigFileThreshold": "50m",
    "fastimport.unpackLimit": "1",
    # Every object is looked at before it is kept.
    "fetch.fsckObjects": "true",
    # What a remote names besides itself is not gone to.
    "transfer.bundleURI": "false",
    "fetch.uriProtocols": "",
    # Nothing of ours is tidied behind our back, nor while somebody waits.
    "gc.auto": "0",
    "maintenance.auto": "false",
    "advice.detachedHead": "false",
    "init.defaultBranch": "main",
    "submodule.recurse": "false",
    # The one in which a remote gives single objects and says where its HEAD points while it is empty.
    "protocol.version": "2",
    # A connection that brings less than 1 kB/s for three minutes is dead: HTTP has no other time limit. Not sooner: a
    # host that checks a large push says nothing meanwhile but, every 5 seconds, the 5 bytes of receive.keepAlive.
    "http.lowSpeedLimit": "1000",
    "http.lowSpeedTime": "180",
    "user.useConfigOnly": "false",
}
# Faults that old versions of git, and what was converted to git, have left in honest histories (git-fsck(1)). Only
# what is read of commits and tags is spoilt by them, never what is written to the disk. What is missing in a partial
# clone is no fault at all.
_HARMLESS = (
    *("badDate", "badDateOverflow", "badEmail", "badName", "badTimezone", "missingEmail", "missingNameBeforeEmail"),
    *("missingSpaceBeforeDate", "missingSpaceBeforeEmail", "missingTaggerEntry", "multipleAuthors", "zeroPaddedDate"),
    *("zeroPaddedFilemode", "nulInCommit", "nullSha1", "badTagName", "gitmodulesMissing", "gitattributesMissing"),
)
_SETTINGS |= {f"fetch.fsck.{fault}": "ignore" for fault in _HARMLESS}

_PRLIMIT = shutil.which("prlimit")


def environment(home: Path, *, allow_http: bool, more: Mapping[str, str]) -> dict[str, str]:
    """The environment of every git command.

    Args:
        home: of the node; marks the processes as its own.
        allow_http: whether remotes without encryption may be used.
        more: settings besides those that git always has.
    """
    kept = {name: value for name, value in os.environ.items() if not _MISLEADING.fullmatch(name)}
    settings = [*_SETTINGS.items(), *more.items()]
    numbered = {f"GIT_CONFIG_KEY_{i}": key for i, (key, _) in enumerate(settings)}
    numbered |= {f"GIT_CONFIG_VALUE_{i}": value for i, (_, value) in enumerate(settings)}
    own = {
        "GIT_CONFIG_COUNT": str(len(settings)),
        MARKER: str(home),
        "LC_ALL": "C",
        "LANGUAGE": "",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_OPTIONAL_LOCKS": "0",
        "GIT_ALLOW_PROTOCOL": "https:ssh:file" + (":http" if allow_http else ""),
        "GIT_SSH_COMMAND": os.environ.get("GIT_SSH_COMMAND", "ssh")
        + " -oBatchMode=yes -oConnectTimeout=20 -oServerAliveInterval=15 -oServerAliveCountMax=4"
        # A shared connection that outlives git keeps its pipes open, and git would seem to hang.
        + " -oControlMaster=no",
    }
    return kept | numbered | own


def without_filters(listed: bytes) -> dict[str, str]:
    """The settings by which filters do nothing, of those that `git config --name-only -z` lists.

    A file of a repository says which of the user's filters git runs over its files. That of git-lfs is set where
    a dataset is cloned.
    """
    names = {key.partition(".")[2].rpartition(".")[0] for key in listed.decode("utf-8", "replace").split("\0") if key}
    off = {"clean": "", "smudge": "", "process": "", "required": "false"}
    return {f"filter.{name}.{key}": value for name in names - {"lfs"} for key, value in off.items()}


def limited(memory: int, largest: int | None) -> list[str]:
    """The words before `git` by which it, and what it starts, get limits; none where there is no prlimit(1).

    The system puts a limit to one process at a time. It is set by a program of its own, as what git starts would
    escape a limit that is set once git runs.

    Args:
        memory: bytes that a process may have.
        largest: bytes that a file may have which it writes.
    """
    if _PRLIMIT is None:
        return []
    wanted = {"data": (resource.RLIMIT_DATA, memory), "core": (resource.RLIMIT_CORE, 0)}
    if largest is not None:
        wanted["fsize"] = (resource.RLIMIT_FSIZE, largest)
    return [_PRLIMIT, *(f"--{name}={_at_most(*asked)}" for name, asked in wanted.items()), "--"]


def _at_most(kind: int, asked: int) -> int:
    """What can be set of what is asked for: nobody but root gets more than there is."""
    hard = resource.getrlimit(kind)[1]
    return asked if hard == resource.RLIM_INFINITY else min(asked, hard)


def verb(args: Iterable[str]) -> str:
    """The command of git that `args` call."""
    words = iter(args)
    for word in words:
        if word == "-c":
            next(words, None)
        elif not word.startswith("-"):
            return word
    return ""
