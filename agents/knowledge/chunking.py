"""Cuts a document into passages at headings and paragraphs. Passages never overlap."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from agents.knowledge.document import SourceDocument
from envelope.canonical import sha256_hex

_TARGET = 900
_LONGEST = 1_400
_HEADING_LIMIT = 300
_FENCE = re.compile(r"^ {0,3}(?P<marks>`{3,}|~{3,})")
_HEADING = re.compile(r"^ {0,3}(?P<level>#{1,6})[ \t]+(?P<title>.*?)[ \t]*#*[ \t\r]*$")
_SENTENCE_END = re.compile(r"[.!?…][\"')\]]*\s+|\n")


@dataclass(frozen=True, slots=True)
class Chunk:
    """A passage before it is stored: `document.text[offset : offset + len(text)] == text`."""

    offset: int
    heading: str
    text: str

    @property
    def sha256(self) -> str:
        """Hash of the text."""
        return sha256_hex(self.text)


@dataclass(frozen=True, slots=True)
class _Block:
    """A paragraph, list, table or fenced code: what is not torn apart without need."""

    start: int
    end: int
    heading: str
    code: bool = False


def chunks(document: SourceDocument) -> list[Chunk]:
    """Return the passages of `document` in their order.

    A passage is made of whole paragraphs under one heading, about 900 characters long; a paragraph
    above 1,400 is cut at a sentence's end.
    """
    text = document.text
    pieces = (piece for block in _blocks(document) for piece in _cut(text, block))
    return [
        Chunk(block.start, block.heading, text[block.start : block.end])
        for block in _joined(pieces)
        if any(character.isalnum() for character in text[block.start : block.end])
    ]


def _blocks(document: SourceDocument) -> Iterator[_Block]:
    """Yield paragraphs with the headings above them; blank lines inside code do not count."""
    trail: list[tuple[int, str]] = []
    start: int | None = None
    fence = ""
    end = 0
    for offset, line in _lines(document.text):
        marks = _FENCE.match(line) if document.markdown else None
        heading = _HEADING.match(line) if document.markdown and not fence else None
        if start is not None and not fence and (heading or marks or not line.strip()):
            yield _Block(start, end, _joined_titles(trail))
            start = None
        if heading:
            trail = _below(trail, len(heading["level"]), heading["title"])
            continue
        if line.strip():
            start, end = offset if start is None else start, offset + len(line.rstrip())
        if marks and not fence:
            fence = marks["marks"]
        elif marks and line.strip().startswith(fence) and not line.strip().strip(fence[0]):
            fence = ""
            if start is not None:
                yield _Block(start, end, _joined_titles(trail), code=True)
            start = None
    if start is not None:
        yield _Block(start, end, _joined_titles(trail), code=bool(fence))


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """Lines with their offsets; only real line ends count, not every blank that Unicode knows."""
    offset = 0
    for line in re.split(r"(?<=\n)|(?<=\r)(?!\n)", text):
        yield offset, line
        offset += len(line)


def _below(trail: list[tuple[int, str]], level: int, title: str) -> list[tuple[int, str]]:
    return [*(entry for entry in trail if entry[0] < level), (level, title)]


def _joined_titles(trail: list[tuple[int, str]]) -> str:
    return " > ".join(title for _, title in trail if title)[:_HEADING_LIMIT]


def _cut(text: str, block: _Block) -> Iterator[_Block]:
    """Yield the block in parts of at most the longest size, cut where a sentence or word ends."""
    start = block.start
    while block.end - start > _LONGEST:
        cut = _cut_at(text, start)
        yield _Block(start, _stripped_end(text, start, cut), block.heading, block.code)
        start = _next_start(text, cut, block.end)
    if start < block.end:
        yield _Block(start, block.end, block.heading, block.code)


def _cut_at(text: str, start: int) -> int:
    window_end = start + _LONGEST
    ends = [found.end() for found in _SENTENCE_END.finditer(text, start + _TARGET // 2, window_end)]
    if ends:
        return ends[-1]
    blank = text.rfind(" ", start + _TARGET // 2, window_end)
    return blank if blank > 0 else window_end


def _stripped_end(text: str, start: int, end: int) -> int:
    return start + len(text[start:end].rstrip())


def _next_start(text: str, cut: int, end: int) -> int:
    while cut < end and text[cut].isspace():
        cut += 1
    return cut


def _joined(pieces: Iterator[_Block]) -> Iterator[_Block]:
    """Join neighbours under one heading until the target size is reached."""
    held: _Block | None = None
    for piece in pieces:
        if held and piece.heading == held.heading and piece.end - held.start <= _TARGET:
            held = _Block(held.start, piece.end, held.heading, held.code)
            continue
        if held:
            yield held
        held = piece
    if held:
        yield held
