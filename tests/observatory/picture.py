"""A picture, as tools make them: a map of the coast with its stations."""

from __future__ import annotations

import math
import struct
import zlib

_WIDTH, _HEIGHT = 480, 270
_STATIONS = ((60, 200), (130, 130), (205, 160), (270, 90), (350, 110), (420, 50))
_SHORE = [int(190 - x / 4 + 18 * math.sin(x / 41) + 7 * math.sin(x / 13)) for x in range(_WIDTH)]
_SEA, _LAND = (b"\xa9\xcc\xe3", b"\x9f\xc4\xde"), (b"\xcf\xdb\xb5", b"\xc4\xd3\xa8")
_STATION, _RADIUS = b"\xd2\x3b\x2f", 5


def coast() -> bytes:
    """A PNG (ISO/IEC 15948) of some kilobytes."""
    rows = [bytearray(b"".join(_ground(y - shore) for shore in _SHORE)) for y in range(_HEIGHT)]
    for left, top in _STATIONS:
        for down in range(-_RADIUS, _RADIUS + 1):
            wide = int(math.sqrt(_RADIUS**2 - down**2))
            rows[top + down][3 * (left - wide) : 3 * (left + wide)] = _STATION * 2 * wide
    head = struct.pack(">IIBBBBB", _WIDTH, _HEIGHT, 8, 2, 0, 0, 0)
    pixels = zlib.compress(b"".join(b"\0" + row for row in rows), 9)
    parts = _chunk(b"IHDR", head), _chunk(b"IDAT", pixels), _chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def _ground(inland: int) -> bytes:
    """The colour so many pixels away from the shore."""
    return (_SEA if inland < 0 else _LAND)[abs(inland) // 24 % 2]


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
