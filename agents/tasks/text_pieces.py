"""From the JSON that a model writes piece by piece to the text that stands in it."""

from __future__ import annotations

import json
import re

from agents.llm.port import OnDelta

_STRING = re.compile(r'(?:[^"\\]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*')
_HALF_A_PAIR = re.compile(r"\\u[dD][89abAB][0-9a-fA-F]{2}\Z")


class TextPieces:
    """Passes on the text of one field while its object is being written.

    An object that is written anew, because the first was not valid, begins the text anew.

    Args:
        name: The field.
        pass_on: Takes the pieces of its text.
    """

    def __init__(self, name: str, pass_on: OnDelta) -> None:
        self._begin = re.compile(rf'"{re.escape(name)}"\s*:\s*"')
        self._pass_on = pass_on
        self._rest = ""
        self._inside = False

    def take(self, piece: str) -> None:
        """Take the next piece of JSON."""
        self._rest += piece
        while self._moved():
            pass

    def _moved(self) -> bool:
        """Go on by one stretch; whether there may be another."""
        if not self._inside:
            found = self._begin.search(self._rest)
            if found is not None:
                self._rest, self._inside = self._rest[found.end() :], True
            return found is not None
        whole = _whole(self._rest)
        if whole:
            self._pass_on(json.loads(f'"{whole}"', strict=False))
        self._rest = self._rest[len(whole) :]
        if self._rest.startswith('"'):
            self._rest, self._inside = self._rest[1:], False
            return True
        return False


def _whole(text: str) -> str:
    """Return the beginning that is complete: no half of an escape, nor of a pair of them."""
    found = _STRING.match(text)
    stretch = found.group() if found else ""
    if len(stretch) < len(text) and text[len(stretch)] == '"':
        return stretch
    half = _HALF_A_PAIR.search(stretch)
    return stretch[: half.start()] if half else stretch
