"""Lets only such SVG through as draws and does nothing else."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final
from xml.parsers import expat

from envelope.errors import Terminal

_LARGEST: Final = 1_000_000
_DEEPEST: Final = 32
_NAMESPACE: Final = "http://www.w3.org/2000/svg"
_ELEMENTS: Final = frozenset(
    {
        "svg", "g", "defs", "title", "desc", "rect", "circle", "ellipse", "line", "polyline",
        "polygon", "path", "text", "tspan", "linearGradient", "radialGradient", "stop", "clipPath",
    }
)  # fmt: skip
_ATTRIBUTES: Final = frozenset(
    {
        "width", "height", "viewBox", "role", "aria-label", "id", "x", "y", "x1", "y1", "x2", "y2",
        "cx", "cy", "r", "rx", "ry", "fx", "fy", "d", "points", "transform", "fill", "fill-opacity",
        "fill-rule", "stroke", "stroke-width", "stroke-opacity", "stroke-linecap",
        "stroke-linejoin", "opacity", "offset", "stop-color", "stop-opacity", "gradientUnits",
        "gradientTransform", "spreadMethod", "clip-path", "clip-rule", "font-family", "font-size",
        "font-weight", "font-style", "text-anchor", "dominant-baseline", "letter-spacing",
        "textLength", "lengthAdjust", "dx", "dy", "preserveAspectRatio", "xml:space", "version",
    }
)  # fmt: skip
_OUTSIDE: Final = re.compile(r"url\s*\(\s*(?!['\"]?#)|[a-z][a-z0-9+.-]*:|//|\\", re.IGNORECASE)


class UnsafeImage(Terminal):
    """The picture holds what a picture needs not: scripts, references, entities, other elements."""

    code = "UNSAFE_IMAGE"


def check_svg(content: bytes) -> None:
    """Refuse an SVG that could do more than draw.

    Known elements and attributes only; no document type, entity, processing instruction, script,
    event handler, style sheet, link, embedded picture, or reference out of the document.

    Raises:
        UnsafeImage: It is not XML, not SVG, too large, too deep, or holds something else.
    """
    if len(content) > _LARGEST:
        raise UnsafeImage(f"The SVG has {len(content):,} bytes; at most {_LARGEST:,} are allowed.")
    _Reader().read(content)


class _Reader:
    """Stops at the first thing that is not allowed; entities are never expanded."""

    def __init__(self) -> None:
        self._depth = 0

    def read(self, content: bytes) -> None:
        parser = expat.ParserCreate("UTF-8")
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.StartDoctypeDeclHandler = lambda *_: _refuse("a document type")
        parser.ProcessingInstructionHandler = lambda *_: _refuse("a processing instruction")
        try:
            parser.Parse(content, True)
        except expat.ExpatError as problem:
            raise UnsafeImage(f"The picture is no SVG: {problem}.") from None

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        if self._depth == 0 and (name != "svg" or attributes.get("xmlns") != _NAMESPACE):
            _refuse("another root than svg")
        self._depth += 1
        if self._depth > _DEEPEST:
            _refuse(f"more than {_DEEPEST} levels")
        if name not in _ELEMENTS:
            _refuse(f"the element {name[:40]!r}")
        for bad in _bad_attributes(attributes):
            _refuse(f"the attribute {bad[:40]!r}")

    def _end(self, _: str) -> None:
        self._depth -= 1


def _bad_attributes(attributes: dict[str, str]) -> Iterator[str]:
    for name, value in attributes.items():
        if name == "xmlns" and value == _NAMESPACE:
            continue
        if name not in _ATTRIBUTES or (name != "aria-label" and _OUTSIDE.search(value)):
            yield name


def _refuse(what: str) -> None:
    raise UnsafeImage(f"The SVG holds {what}, which is not allowed. Draw it anew.")
