from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from cli.place import EVERY, Place, another_tool
from mao.alarm import AlarmKind
from support import commit, git

if TYPE_CHECKING:
    from pathlib import Path


def moved(place: Place, tmp_path: Path, name: str) -> str:
    """Register a tool by a tag, move the tag and ask for its installation; the commit that it names then."""
    repository = another_tool(tmp_path, name)
    git("tag", "v1", cwd=repository)
    place.mao.ok("tool", "register", "--ref", "v1", str(repository))
    newest = commit(repository, {"more": "x"})
    git("tag", "--force", "v1", cwd=repository)
    done = place.mao("tool", "install", name)
    assert done.returncode == 4
    assert newest in done.stderr
    return newest


def test_alarms_of_every_kind_can_be_asked_for() -> None:
    (kind,) = [option for option in EVERY["alarm", "list"].params if option.name == "kind"]
    assert isinstance(kind.type, click.Choice)
    assert set(kind.type.choices) == set(AlarmKind)


def test_alarms_are_listed_and_their_tools_marked(own_place: Place, tmp_path: Path) -> None:
    mao = own_place.mao
    none = mao.ok("alarm", "list")
    assert (none.stdout, none.stderr) == ("", "There is no alarm.\n")
    assert "ALARM" not in mao.ok("tool", "list").stdout

    newest = moved(own_place, tmp_path, "wandering")

    head, row = mao.ok("alarm", "list").stdout.splitlines()
    assert head.split() == ["SINCE", "ALARM", "SUBJECT", "DETAIL"]
    assert "tag-moved  wandering  The tag v1 of 'wandering' named commit" in row
    (alarm,) = mao.json("alarm", "list", "--kind", "tag-moved")
    assert (alarm["subject"], newest in alarm["detail"]) == ("wandering", True)

    for verb in (("list",), ("search", "tool")):
        head, *rows = mao.ok("tool", *verb).stdout.splitlines()
        assert head.endswith("ALARM      DESCRIPTION")
        assert [row.split()[0] for row in rows if "tag-moved" in row] == ["wandering"]
    assert "ALARM" in mao.ok("tool", "installed").stdout
    assert alarm["detail"] in mao.ok("tool", "show", "wandering").stderr
    assert mao.ok("tool", "show", "probe").stderr == ""
    assert "alarm" not in mao.json("tool", "show", "wandering")

    findings = {finding["check"]: finding for finding in json.loads(mao.ok("doctor", "-o", "json").stdout)}
    assert findings["alarms"]["result"] == "warn"
    assert findings["alarms"]["found"] == "tag-moved of wandering"
    assert "mao alarm list" in findings["alarms"]["advice"]
