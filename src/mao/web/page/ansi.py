"""What a terminal would show of a tool's output, as HTML: colours are classes, and what could mislead is made visible.

Sequences as in ECMA-48; colours as xterm has them. What moves the cursor or asks the terminal for something is left
out. A line that is written over by carriage returns is what it was last.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from markupsafe import Markup, escape

if TYPE_CHECKING:
    from collections.abc import Iterator

MOST_MARKS = 10_000
"""What is found in a window more often than that is not marked."""

_SPECIAL = re.compile(
    r"""
      \x1b\[ (?P<sgr>[0-9;:]*) m
    | (?P<dropped>
          \x1b\[ [0-?]* [ -/]* [@-~]                      # other control sequences
        | \x1b\] [^\x07\x1b]{0,2000} (?:\x07|\x1b\\)      # commands to the terminal: titles, links
        | \x1b[P^_X] [^\x1b]{0,2000} \x1b\\
        | \x1b [ -/]* [0-OQ-WYZ\\`-~] )
    | (?P<return> \r+ )
    | (?P<sign> (?: [\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e]
                  | [\u2060-\u206f\ufeff\ufff9-\ufffb\udc80-\udcff\U000e0000-\U000e007f] )+ )
    """,
    re.VERBOSE,
)
"""What is no text; lone surrogates stand for bytes that are not UTF-8."""

_BASE = ((0, 0, 0), (205, 0, 0), (0, 205, 0), (205, 205, 0), (0, 0, 238), (205, 0, 205), (0, 205, 205), (229, 229, 229))
_BRIGHT = (
    *((127, 127, 127), (255, 0, 0), (0, 255, 0), (255, 255, 0)),
    *((92, 92, 255), (255, 0, 255), (0, 255, 255), (255, 255, 255)),
)
_PALETTE = _BASE + _BRIGHT
_STEPS = (0, 95, 135, 175, 215, 255)
_CUBE, _GREYS = 16, 232


class Style(NamedTuple):
    """How text is shown."""

    colour: int | None = None
    ground: int | None = None
    bold: bool = False
    faint: bool = False
    italic: bool = False
    underline: bool = False
    struck: bool = False
    inverse: bool = False


PLAIN = Style()


class _Piece(NamedTuple):
    at: int  # characters from the beginning of the line
    text: str
    classes: str
    exact: bool  # whether its characters are those of the line


class _Line(NamedTuple):
    text: str
    pieces: list[_Piece]
    style: Style


def style_after(content: bytes) -> Style:
    """The style in which text would come after `content`."""
    style = PLAIN
    for found in re.finditer(rb"\x1b\[([0-9;:]*)m", content):
        style = _changed(style, found[1].decode())
    return style


def html(content: bytes, start: int, style: Style = PLAIN, *, begins_line: bool = True, find: str = "") -> Markup:
    """`content` as lines of HTML.

    Args:
        content: what was printed.
        start: where it is in the log; each line and each mark says where it begins (`data-at`).
        style: in which it begins.
        begins_line: whether a line begins with it, or goes on.
        find: what is marked, in whatever case.
    """
    pattern = re.compile(re.escape(find), re.IGNORECASE) if find else None
    left = MOST_MARKS
    out: list[str] = []
    at = start
    for text in _split(content.decode("utf-8", "surrogateescape")):
        line = _read(text, style)
        style = line.style
        spans = [found.span() for found in pattern.finditer("".join(p.text for p in line.pieces))] if pattern else []
        out += (
            f'<div class="line{"" if begins_line else " on"}" data-at="{at}">',
            *(_shown(line, at, spans[:left]) if line.pieces else ("<br>",)),
            "</div>",
        )
        left = max(0, left - len(spans))
        begins_line = True
        at += len(text.encode("utf-8", "surrogateescape"))
    return Markup("".join(out))  # noqa: S704  # each text was escaped where it was put in


def _split(text: str) -> Iterator[str]:
    """The lines of `text`, with their ends; other separators than that of terminals are none."""
    begin = 0
    while begin < len(text):
        end = text.find("\n", begin) + 1 or len(text)
        yield text[begin:end]
        begin = end


def _read(line: str, style: Style) -> _Line:
    pieces: list[_Piece] = []
    over, returned = 0, False
    end = len(line) - line.endswith("\n")

    def add(at: int, text: str, classes: str, *, exact: bool) -> None:
        nonlocal returned
        if returned:
            pieces.clear()
            returned = False
        pieces.append(_Piece(at, text, classes, exact))

    for found in _SPECIAL.finditer(line, 0, end):
        if found.start() > over:
            add(over, line[over : found.start()], _classes(style), exact=True)
        over = found.end()
        match found.lastgroup:
            case "sgr":
                style = _changed(style, found["sgr"])
            case "return":
                returned = True
            case "sign":
                add(found.start(), "".join(map(_sign, found[0])), "sign", exact=False)
            case _:
                pass
    if end > over:
        add(over, line[over:end], _classes(style), exact=True)
    return _Line(line, pieces, style)


def _sign(character: str) -> str:
    """What stands for a character that cannot be seen, or changes how others are."""
    code = ord(character)
    if code < 0x20:  # noqa: PLR2004  # each has a picture
        return chr(0x2400 + code)
    if code == 0x7F:  # noqa: PLR2004  # likewise
        return "\u2421"
    return f"\\x{code - 0xDC00:02x}" if 0xDC80 <= code <= 0xDCFF else f"U+{code:04X}"  # noqa: PLR2004  # PEP 383


def _shown(line: _Line, start: int, spans: list[tuple[int, int]]) -> Iterator[str]:
    """The pieces of a line as HTML, with what is at `spans` of the text that is seen marked."""
    seen, counted = 0, 0  # characters of what is seen; of the line, up to which bytes were counted
    left = iter(spans)
    span = next(left, None)
    for piece in line.pieces:
        at, length = 0, len(piece.text)
        while at < length:
            while span is not None and span[1] <= seen + at:
                span = next(left, None)
            if span is None or span[0] >= seen + length:
                yield _tag("span", piece.classes, piece.text[at:])
                break
            if span[0] > seen + at:
                yield _tag("span", piece.classes, piece.text[at : span[0] - seen])
                at = span[0] - seen
            end = min(span[1] - seen, length)
            reached = piece.at + (at if piece.exact else 0)
            start += len(line.text[counted:reached].encode("utf-8", "surrogateescape"))
            counted = reached
            yield f'<mark data-at="{start}">{_tag("span", piece.classes, piece.text[at:end])}</mark>'
            at = end
        seen += length


def _tag(name: str, classes: str, text: str) -> str:
    text = str(escape(text))
    return f'<{name} class="{classes}">{text}</{name}>' if classes else text


@lru_cache(maxsize=1024)
def _classes(style: Style) -> str:
    colour, ground = style.colour, style.ground
    if style.inverse:
        colour, ground = ground, colour
    words = [name for name in ("bold", "faint", "italic", "underline", "struck") if getattr(style, name)]
    if ground is not None:
        words.append(f"g{ground}")  # a ground has the text that can be read on it, whatever the tool would have
    elif style.inverse:
        words.append("inverse")
    elif colour is not None:
        words.append(f"c{colour}")
    return " ".join(words)


@lru_cache(maxsize=4096)
def _changed(style: Style, parameters: str) -> Style:
    """`style` after a sequence of SGR (ECMA-48, 8.3.117)."""
    numbers = iter(parameters.split(";"))
    for text in numbers:
        first, *more = text.split(":")
        code = int(first[:4] or 0)
        if code in {38, 48}:
            colour = _extended([*more] if more else numbers)
            if colour is not None:
                style = style._replace(colour=colour) if code == 38 else style._replace(ground=colour)  # noqa: PLR2004  # ECMA-48
        elif code == 4 and more[:1] == ["0"]:  # noqa: PLR2004  # likewise
            style = style._replace(underline=False)
        else:
            style = _simple(style, code)
    return style


_ON = {1: "bold", 2: "faint", 3: "italic", 4: "underline", 7: "inverse", 9: "struck", 21: "underline"}
_OFF = {22: ("bold", "faint"), 23: ("italic",), 24: ("underline",), 27: ("inverse",), 29: ("struck",)}
_COLOURS: dict[int, tuple[bool, int | None]] = {39: (False, None), 49: (True, None)}
for _first, _ground, _bright in ((30, False, 0), (40, True, 0), (90, False, 8), (100, True, 8)):
    _COLOURS |= {_first + i: (_ground, _bright + i) for i in range(8)}
"""Whether a code is about the ground, and the number of its colour."""


def _simple(style: Style, code: int) -> Style:
    if code == 0:
        return PLAIN
    if code in _ON:
        return style._replace(**{_ON[code]: True})
    if code in _OFF:
        return style._replace(**dict.fromkeys(_OFF[code], False))
    if code in _COLOURS:
        ground, number = _COLOURS[code]
        return style._replace(ground=number) if ground else style._replace(colour=number)
    return style


def _extended(numbers: Iterator[str] | list[str]) -> int | None:
    """The nearest of the sixteen to a colour of 256 or of all, taken from `numbers`."""
    if isinstance(numbers, list):  # with colons; there may be an empty colour space
        if numbers[:1] == ["2"] and len(numbers) > 4:  # noqa: PLR2004  # 2, the space, red, green, blue
            numbers = [numbers[0], *numbers[2:]]
        numbers = iter(numbers)
    kind = next(numbers, "")
    wanted = {"5": 1, "2": 3}.get(kind, 0)
    values = [min(int(next(numbers, "")[:4] or 0), 255) for _ in range(wanted)]
    if wanted == 1:
        return _indexed(values[0])
    return _nearest(*values) if wanted else None


def _indexed(number: int) -> int:
    if number < _CUBE:
        return number
    if number < _GREYS:
        red, rest = divmod(number - _CUBE, 36)
        return _nearest(_STEPS[red], *(_STEPS[part] for part in divmod(rest, 6)))
    return _nearest(*[8 + 10 * (number - _GREYS)] * 3)


@lru_cache(maxsize=4096)
def _nearest(red: int, green: int, blue: int) -> int:
    wanted = (red, green, blue)
    return min(range(len(_PALETTE)), key=lambda i: sum((a - b) ** 2 for a, b in zip(_PALETTE[i], wanted, strict=True)))
