from __future__ import annotations

import re
import time
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mao.web.page import ansi

CLASSES = re.compile(
    r"line( on)?|sign|((bold|faint|italic|underline|struck|inverse|[cg](\d|1[0-5]))( (?!$)|$))+", re.ASCII
)


class Seen(HTMLParser):
    """What a browser makes of the HTML; it has nothing but what the renderer may give."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.text = ""
        self.open: list[str] = []
        self.marks: list[tuple[int, str]] = []
        self.lines: list[int] = []
        self.classes: dict[str, str] = {}
        self.feed(str(html))
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "br":
            assert not attrs
            return
        given = dict(attrs)
        assert tag in {"div", "span", "mark"}
        assert set(given) <= {"class", "data-at"}
        assert CLASSES.fullmatch(given.get("class") or "line"), given
        at = given.get("data-at")
        if at is not None:
            assert at.isdecimal()
        if tag == "mark":
            self.marks.append((int(at or 0), ""))
        if tag == "div":
            self.lines.append(int(at or 0))
        self.open.append(tag)
        self.style = given.get("class") or ""

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag
        self.text += "\n" if tag == "div" else ""

    def handle_data(self, data: str) -> None:
        self.text += data
        if "mark" in self.open:
            self.marks[-1] = (self.marks[-1][0], self.marks[-1][1] + data)
        if "span" in self.open:
            self.classes[data] = self.style

    def handle_comment(self, data: str) -> None:
        raise AssertionError(data)

    def handle_decl(self, decl: str) -> None:
        raise AssertionError(decl)

    def handle_pi(self, data: str) -> None:
        raise AssertionError(data)

    def unknown_decl(self, data: str) -> None:
        raise AssertionError(data)


def seen(content: bytes | str, find: str = "") -> Seen:
    raw = content.encode() if isinstance(content, str) else content
    return Seen(ansi.html(raw, 0, find=find))


SEQUENCES = st.sampled_from(
    [
        "\x1b[31m",
        "\x1b[0m",
        "\x1b[1;4;97m",
        "\x1b[38;5;123m",
        "\x1b[48;2;1;2;3m",
        "\x1b[K",
        "\x1b]0;title\x07",
        "\x1b[2J",
    ]
)
PLAIN = st.text(st.characters(exclude_categories=["C", "Z"], include_characters=" <>&\"'"), min_size=1)


@given(st.binary())
def test_there_is_never_any_markup_but_ours(content: bytes) -> None:
    seen(content)


@given(st.lists(st.sampled_from([*"\x1b[]m;:0123458;\\\x07<>&\"'ab\r\n\x9b?"]), max_size=60).map("".join))
def test_nor_in_what_is_nearly_an_escape_sequence(content: str) -> None:
    seen(content)


@given(st.lists(st.one_of(PLAIN, SEQUENCES, st.just("\n"))))
def test_all_text_is_kept(pieces: list[str]) -> None:
    text = "".join(piece for piece in pieces if not piece.startswith("\x1b"))

    shown = seen("".join(pieces)).text

    assert shown.rstrip("\n") == text.rstrip("\n")


@given(PLAIN, st.lists(st.one_of(PLAIN, SEQUENCES, st.just("\n"))))
def test_a_mark_is_where_the_text_is(needle: str, pieces: list[str]) -> None:
    content = "".join(pieces) + needle

    found = seen(content, needle)

    assert found.marks
    for at, text in found.marks:
        assert content.encode()[at:].decode().casefold().startswith(text[0].casefold()) or not text[0].isascii()


@pytest.mark.parametrize(
    ("sequence", "classes"),
    [
        ("31", "c1"),
        ("1;32", "bold c2"),
        ("97", "c15"),
        ("44", "g4"),
        ("103", "g11"),
        ("38;5;9", "c9"),
        ("38;5;196", "c9"),
        ("38;5;255", "c7"),
        ("38;2;255;0;0", "c9"),
        ("38:2::255:0:0", "c9"),
        ("48:5:2", "g2"),
        ("4:3", "underline"),
        ("7;31", "g1"),
        ("7", "inverse"),
        ("2;3;9", "faint italic struck"),
        ("38;5", "c0"),
        ("38;7;1", "bold"),
        ("31;39", ""),
        ("1;22;4;24", ""),
        ("99999999999", ""),
        ("1;;31", "c1"),
    ],
)
def test_colours_are_classes(sequence: str, classes: str) -> None:
    assert seen(f"\x1b[{sequence}mtext\x1b[0m").classes.get("text", "") == classes


def test_a_colour_goes_on_over_lines_and_windows() -> None:
    shown = seen("\x1b[35mone\ntwo\n")
    assert shown.classes == {"one": "c5", "two": "c5"}

    later = ansi.html(b"three", 9, ansi.style_after(b"\x1b[35mone\ntwo\n"), begins_line=False)

    assert later == '<div class="line on" data-at="9"><span class="c5">three</span></div>'


def test_markup_of_tools_is_text() -> None:
    for text in ("<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "&lt;b&gt;", "<!-- -->", "]]>"):
        assert seen(text).text == f"{text}\n"


def test_a_progress_bar_is_what_it_was_last() -> None:
    assert seen("10 %\r50 %\r100 %\nnext\r\nlast\r").text == "100 %\nnext\nlast\n"


def test_what_asks_the_terminal_for_something_is_left_out() -> None:
    text = "a\x1b]0;title\x07b\x1b]8;;http://x\x1b\\c\x1b[2J\x1b[?25ld\x1bPq\x1b\\e\x1b(Bf\x1b=g"

    assert seen(text).text == "abcdefg\n"


def test_what_could_mislead_is_made_visible() -> None:
    shown = seen(b"a\0b\x07c\x7fd\xff\xfee \xe2\x80\xae\xe2\x80\x8b\xef\xbb\xbf\xc2\x9b31m \x1b!")

    assert shown.text == "a␀b␇c␡d\\xff\\xfee U+202EU+200BU+FEFFU+009B31m ␛!\n"


def test_lines_say_where_they_begin() -> None:
    assert seen("é\n\n\u2028x\x0by\n").lines == [0, 3, 4]


def test_what_is_found_is_marked_also_across_colours() -> None:
    shown = seen("an \x1b[31mEr\x1b[0mror, error", "error")

    assert "".join(text for _, text in shown.marks) == "Errorerror"
    assert shown.marks[0] == (8, "Er")


@pytest.mark.parametrize("piece", [b"\x1b[3", b"\x1b]0;", b"a\r", b"\0e", b"\x1bP", b"\x1b[31me", b"e"])
def test_a_window_of_the_worst_kind_does_not_take_long(piece: bytes) -> None:
    begun = time.monotonic()

    ansi.html(piece * (65_536 // len(piece)), 0, ansi.style_after(piece * 4000), find="e")

    assert time.monotonic() - begun < 10
