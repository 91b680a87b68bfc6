"""Make a picture of a page small: as a PNG with 256 colours, which is less than half of what a browser writes."""
# ruff: noqa: INP001 -- belongs to a script, no package

from __future__ import annotations

import base64
import struct
import zlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Page

_INDEXED = """async (encoded) => {
  const bitmap = await createImageBitmap(await (await fetch(`data:image/png;base64,${encoded}`)).blob());
  const drawing = new OffscreenCanvas(bitmap.width, bitmap.height).getContext("2d");
  drawing.drawImage(bitmap, 0, 0);
  const pixels = new Uint32Array(drawing.getImageData(0, 0, bitmap.width, bitmap.height).data.buffer);
  const counts = new Map();
  for (const pixel of pixels) counts.set(pixel, (counts.get(pixel) ?? 0) + 1);
  const parts = (pixel) => [pixel & 255, pixel >> 8 & 255, pixel >> 16 & 255];
  const far = (a, b) => (a[0] - b[0]) ** 2 + (a[1] - b[1]) ** 2 + (a[2] - b[2]) ** 2;
  const colours = [...counts].map(([pixel, count]) => ({ pixel, count, parts: parts(pixel), off: Infinity, place: 0 }));
  const palette = [];
  while (palette.length < 256) { // the colour next that is missed most: one that is common, or unlike all others
    const next = colours.reduce((a, b) => (b.off ** 2 * b.count > a.off ** 2 * a.count ? b : a));
    for (const colour of colours) {
      const off = far(colour.parts, next.parts);
      if (off < colour.off) Object.assign(colour, { off, place: palette.length });
    }
    palette.push(next.parts);
  }
  const places = new Map(colours.map((colour) => [colour.pixel, colour.place]));
  const text = Array.from(pixels, (pixel) => String.fromCharCode(places.get(pixel)));
  return [bitmap.width, palette.flat(), btoa(text.join(""))];
}"""
"""The width of a picture, its most telling colours, and for each of its pixels the nearest of them."""


def small_png(page: Page, picture: bytes) -> bytes:
    """`picture`, a PNG, with 256 colours.

    Args:
        page: of a browser, which reads the picture; it must be empty.
        picture: to be made small.
    """
    width, palette, encoded = page.evaluate(_INDEXED, base64.b64encode(picture).decode())
    pixels = base64.b64decode(encoded)
    rows = [b"\0" + pixels[start : start + width] for start in range(0, len(pixels), width)]
    head = struct.pack(">IIBBBBB", width, len(rows), 8, 3, 0, 0, 0)
    parts = {b"IHDR": head, b"PLTE": bytes(palette), b"IDAT": zlib.compress(b"".join(rows), 9), b"IEND": b""}
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, content) for kind, content in parts.items())


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
