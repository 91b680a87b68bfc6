"""Puts marks in place of secrets in a stream that comes in pieces."""

from __future__ import annotations

TYPE_CHECKING = False  # importing `typing` costs 5 ms
if TYPE_CHECKING:
    from collections.abc import Mapping

PROBE = 4  # bytes of the beginning of a secret that are looked for first


class Blotter:
    """Holds back what may be the beginning of a secret until what follows has told, and nothing else.

    Args:
        hidden: what must not be seen, with what is to be seen in its place.
    """

    def __init__(self, hidden: Mapping[str, str]) -> None:
        pairs = ((form.encode(), mark.encode()) for form, mark in hidden.items())
        self._hidden = sorted(pairs, key=lambda pair: -len(pair[0]))  # of two that begin together, the longer one
        self._held = b""

    def blot(self, data: bytes) -> bytes:
        """What may be seen of all that has come so far, and was not seen before."""
        text = self._held + data
        shown: list[bytes] = []
        at = 0
        held = self._unfinished(text, at)
        places = [text.find(form) for form, _ in self._hidden]
        while True:
            for number, (form, _) in enumerate(self._hidden):
                if 0 <= places[number] < at:
                    places[number] = text.find(form, at)
            start, number = min(
                ((place, number) for number, place in enumerate(places) if place >= 0), default=(len(text), 0)
            )
            if start >= held:  # a longer one may begin there, or one before
                self._held = text[held:]
                shown.append(text[at:held])
                return b"".join(shown)
            form, mark = self._hidden[number]
            shown += [text[at:start], mark]
            at = start + len(form)
            if held < at:
                held = self._unfinished(text, at)

    def rest(self) -> bytes:
        """What was held back, now that nothing more comes; of a secret that was begun, no long part."""
        held, self._held = self._held, b""
        if len(held) < 2 * PROBE:
            return held
        return next(mark for form, mark in self._hidden if form.startswith(held))

    def _unfinished(self, text: bytes, begin: int) -> int:
        """Where, from `begin` on, the first beginning of a secret is that goes up to the end of `text`."""
        first = len(text)
        for form, _ in self._hidden:
            at = max(begin, len(text) - len(form) + 1)
            while 0 <= at < first:
                if form.startswith(text[at:]):
                    first = at
                    break
                probe = text.find(form[:PROBE], at + 1, len(text))
                at = probe if probe >= 0 else max(at + 1, len(text) - PROBE + 1)
        return first
