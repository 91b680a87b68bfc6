"""YAML as a tree of plain text, with the line and column of every value, and without YAML's surprises.

A scalar stays the text that was written: `1.10` and `no` are no number and no boolean here. What could
make reading dangerous or unclear is a fault: anchors, aliases, tags, keys given twice, more documents, depth.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import dataclass, field
from typing import Any

import yaml

from mao.fields import shown
from mao.names import nearest
from mao.wording import SHOWN_BEFORE

Location = tuple[str | int, ...]
Mark = tuple[int, int]
"""Line and column, from 1."""

MAX_BYTES = 256 * 1024
MAX_DEPTH = 20
MAX_VALUES = 10_000
LONGEST_SHOWN = 100
"""Characters of a line that are shown with a fault in it."""

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_STRING_TAGS = {None, "!", "tag:yaml.org,2002:str"}
_NULLS = {"", "~", "null", "Null", "NULL"}
_LINE_END = re.compile("\r\n|\r|\n")
# YAML 1.2, 5.1, less the byte order mark, which nobody would see.
_UNPRINTABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True)
class Fault:
    """Something wrong at a place in the tree."""

    at: Location
    message: str
    """The end of a sentence about the place, or a whole one where there is no place."""
    word: str = ""
    known: tuple[str, ...] = ()
    """One of these may have been meant by `word`."""
    at_key: bool = False
    """Whether the key is at fault, not its value."""
    mark: Mark | None = None
    """Where no value stands at the place."""

    @property
    def path(self) -> str:
        steps = (f"[{step}]" if isinstance(step, int) else "." + shown(step)[1:-1] for step in self.at)
        return "".join(steps).removeprefix(".")

    def suggestion(self) -> str | None:
        return nearest(self.word[:100], self.known) if self.known else None


@dataclass
class Tree:
    """What the text holds: mappings, lists, text, and None where there is no value."""

    value: Any = None
    values: dict[Location, Mark] = field(default_factory=dict)
    keys: dict[Location, Mark] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    text: str = ""
    """What was read, as far as it is text."""
    broken: set[Location] = field(default_factory=set)
    """Where a fault was found that makes others at the same place meaningless."""

    def position(self, fault: Fault) -> Mark:
        """Where the fault is; what is missing is looked for at the mapping that should hold it."""
        if fault.mark:
            return fault.mark
        if fault.at_key and fault.at in self.keys:
            return self.keys[fault.at]
        at = fault.at
        while at and at not in self.values:
            at = at[:-1]
        return self.values.get(at, (1, 1))

    def described(self, faults: list[Fault], file: str) -> list[dict[str, Any]]:
        """The faults for programs and people: of each where it is, the line there, what it is, what may be meant."""
        rows = _LINE_END.split(self.text)
        found = []
        for fault in faults:
            line, column = self.position(fault)
            text = _window(rows[line - 1], column) if line <= len(rows) else ""
            message = f"{fault.path} {fault.message}" if fault.path else fault.message
            place = {"file": file, "line": line, "column": column, "path": fault.path, "text": text}
            found.append(place | {"message": message, "suggestion": fault.suggestion()})
        return found

    def spoil(self, at: Location, message: str, mark: Mark | None = None) -> None:
        """Add a fault, after which nothing more is to be said of the place."""
        self.faults.append(Fault(at, message, mark=mark))
        self.broken.add(at)


def _window(row: str, column: int) -> str:
    """What is shown of a line: what could steer a terminal, or turn the text around, is replaced."""
    start = max(0, column - 1 - SHOWN_BEFORE)
    return "".join(char if char.isprintable() else " " for char in row[start : start + LONGEST_SHOWN]).rstrip()


class _Unreadable(Exception):
    def __init__(self, message: str, mark: Mark = (1, 1)) -> None:
        super().__init__(message)
        self.fault = Fault((), message, mark=mark)


def read_tree(text: bytes | str) -> Tree:
    """The tree that `text` holds; where it could not be read, `faults` say why and `value` may be None."""
    builder = _Builder()
    builder.tree.text = _readable(text)
    try:
        builder.read(_decoded(text))
    except _Unreadable as error:
        builder.tree.faults.append(error.fault)
        builder.tree.value = None
    return builder.tree


def _readable(text: bytes | str) -> str:
    """What of `text` people can read, to show them where it is wrong."""
    if len(text) > MAX_BYTES:
        return ""
    return text if isinstance(text, str) else text.decode("utf-8-sig", "replace")


def _decoded(text: bytes | str) -> str:
    try:
        raw = text.encode() if isinstance(text, str) else text
    except UnicodeEncodeError as error:
        raise _Unreadable("holds half a character (a lone surrogate)", _Lines(error.object).mark(error.start)) from None
    if len(raw) > MAX_BYTES:
        raise _Unreadable(f"the file has {len(raw):,} bytes; a definition has at most {MAX_BYTES:,}")
    try:
        decoded = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = raw[: error.start].decode(errors="replace")
        raise _Unreadable("the file is not UTF-8 text", _Lines(before).mark(len(before))) from None
    if found := _UNPRINTABLE.search(decoded):
        message = f"the character U+{ord(found[0]):04X} cannot stand in YAML"
        raise _Unreadable(message, _Lines(decoded).mark(found.start()))
    return decoded


class _Lines:
    """Where lines begin, as editors number them: to YAML there are further ends of lines, which they do not show."""

    def __init__(self, text: str) -> None:
        self.starts = [0, *(end.end() for end in _LINE_END.finditer(text))]

    def mark(self, place: int) -> Mark:
        line = bisect_right(self.starts, place)
        return line, place - self.starts[line - 1] + 1


@dataclass
class _Open:
    """A list or mapping whose end has not been read yet."""

    at: Location
    holder: list[Any] | dict[str, Any]
    key: str | None = None
    """The key whose value comes next."""
    discard: bool = False
    """Whether that value is left out, because the key was there before."""

    @property
    def next_at(self) -> Location:
        return (*self.at, len(self.holder) if isinstance(self.holder, list) else str(self.key))


class _Builder:
    # From events, not by yaml.compose: that recurses in C, which deep nesting could crash.
    def __init__(self) -> None:
        self.tree = Tree()
        self.open: list[_Open] = []
        self.count = 0
        self.lines = _Lines("")

    def read(self, text: str) -> None:
        self.lines = _Lines(text)
        documents = 0
        try:
            for event in yaml.parse(text, Loader=_LOADER):
                documents += isinstance(event, yaml.DocumentStartEvent)
                if documents > 1:
                    raise _Unreadable("a second document begins here; a definition is one", self._mark(event))
                self._take(event)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            place = mark.index if mark else 0
            is_tab = text[place : place + 1] == "\t"
            problem = error.problem or error.context or "it cannot be read"
            message = "a tab cannot stand here: indent with spaces" if is_tab else f"is not YAML: {problem}"
            raise _Unreadable(message, self.lines.mark(place)) from None
        except (yaml.YAMLError, ValueError) as error:
            raise _Unreadable(f"is not YAML: {shown(error, 200)}") from None

    def _mark(self, event: Any) -> Mark:
        return self.lines.mark(event.start_mark.index)

    def _take(self, event: Any) -> None:
        match event:
            case yaml.ScalarEvent() | yaml.AliasEvent() if self._wants_key():
                self._take_key(event)
            case yaml.ScalarEvent():
                self._put(self._scalar(event), event)
            case yaml.AliasEvent():
                self._check_node(event)
                self._put(None, event)
            case yaml.MappingStartEvent() | yaml.SequenceStartEvent():
                self._begin(event)
            case yaml.MappingEndEvent() | yaml.SequenceEndEvent():
                self.open.pop()
            case _:
                pass

    def _wants_key(self) -> bool:
        return bool(self.open) and isinstance(self.open[-1].holder, dict) and self.open[-1].key is None

    def _at(self) -> Location:
        return self.open[-1].next_at if self.open else ()

    def _take_key(self, event: Any) -> None:
        if isinstance(event, yaml.AliasEvent):
            raise _Unreadable("a key must be text, not an alias", self._mark(event))
        parent, key = self.open[-1], event.value
        at = (*parent.at, key)
        parent.key, parent.discard = key, key in parent.holder
        self._check_node(event)
        if parent.discard:
            message = f"is there twice; the first is on line {self.tree.keys[at][0]}"
            self.tree.faults.append(Fault(at, message, mark=self._mark(event)))
        self.tree.keys.setdefault(at, self._mark(event))

    def _begin(self, event: Any) -> None:
        if self._wants_key():
            raise _Unreadable("a key must be text", self._mark(event))
        if len(self.open) >= MAX_DEPTH:
            raise _Unreadable(f"is nested deeper than {MAX_DEPTH} levels", self._mark(event))
        self._check_node(event)
        at = self._at()
        holder: list[Any] | dict[str, Any] = [] if isinstance(event, yaml.SequenceStartEvent) else {}
        self._put(holder, event)
        self.open.append(_Open(at, holder))

    def _scalar(self, event: Any) -> str | None:
        self._check_node(event)
        text: str = event.value
        if not event.style and event.tag is None and text in _NULLS:
            return None
        if any("\ud800" <= char <= "\udfff" for char in text):  # PyYAML without libyaml lets them be escaped
            self.tree.spoil(self._at(), "holds half a character (a lone surrogate)", self._mark(event))
        return text

    def _check_node(self, event: Any) -> None:
        """Refuse what would make a value mean more than is written."""
        if event.anchor is not None:
            sign = "*" if isinstance(event, yaml.AliasEvent) else "&"
            self.tree.spoil(
                self._at(), f"has an anchor or alias ({sign}), which a definition may not", self._mark(event)
            )
        tag = getattr(event, "tag", None)
        if tag not in _STRING_TAGS:
            self.tree.spoil(self._at(), f"has the tag {shown(tag)}, which a definition may not", self._mark(event))

    def _put(self, value: Any, event: Any) -> None:
        at = self._at()
        self.tree.values.setdefault(at, self._mark(event))
        self.count += 1
        if self.count > MAX_VALUES:
            raise _Unreadable(f"has more than {MAX_VALUES:,} values", self._mark(event))
        if not self.open:
            self.tree.value = value
            return
        parent = self.open[-1]
        if isinstance(parent.holder, list):
            parent.holder.append(value)
        else:
            if not parent.discard:
                parent.holder[str(parent.key)] = value
            parent.key = None
