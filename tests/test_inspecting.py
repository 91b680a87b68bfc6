from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from mao.inspecting import Found, _media_type

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("head", "name", "media_type"),
    [
        (b"a,b\n1,2\n", b"a.csv", "text/plain; charset=utf-8"),
        (b"", b"empty", "text/plain; charset=utf-8"),
        ("grün".encode()[:3], b"cut", "text/plain; charset=utf-8"),
        (b"gr\xfcn und", b"latin.txt", "application/octet-stream"),
        (b"a\0b", b"a.csv", "application/octet-stream"),
        (b"\xff\xd8\xff\xe0", b"a.txt", "image/jpeg"),
        (b"GIF89a", b"a", "image/gif"),
        (b"RIFF\n\0\0\0WEBPVP8 ", b"a", "image/webp"),
        (b"<svg/>", b"a.SVG", "image/svg+xml"),
        (b"<html>", b"a.png", "text/plain; charset=utf-8"),
    ],
)
def test_a_file_is_what_its_content_says(head: bytes, name: bytes, media_type: str) -> None:
    assert _media_type(head, name) == media_type


def test_a_file_that_becomes_longer_or_shorter_does_not_come_as_another_one(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x" * 200_000)
    assert sum(map(len, Found(tmp_path, b"a", 150_000, "").chunks())) == 150_000
    with pytest.raises(OSError, match="shorter"):
        list(Found(tmp_path, b"a", 300_000, "").chunks())
    assert Found(tmp_path, b"a", 200_000, "").part(199_990, 100) == b"x" * 10
