"""Cuts a document into passages at headings and paragraphs. Passages never overlap."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from agents.knowledge.document import Block, SourceDocument
from agents.knowledge.structure import blocks_of
from envelope.canonical import sha256_hex

_TARGET = 900
_LONGEST = 1_400
_SENTENCE_END = re.compile(r"[.!?…][\"')\]]*\s+|\n")


@dataclass(frozen=True, slots=True)
class Chunk:
    """A passage before it is stored: `document.text[offset : offset + len(text)] == text`."""

    offset: int
    heading: str
    text: str
    page: int | None = None
    row: int | None = None

    @property
    def sha256(self) -> str:
        """Hash of the text."""
        return sha256_hex(self.text)


def chunks(document: SourceDocument) -> list[Chunk]:
    """Return the passages of `document` in their order.

    A passage is made of whole paragraphs under one heading and on one page, about 900 characters
    long; a paragraph above 1,400 is cut at a sentence's end. A table's row stands alone.
    """
    text = document.text
    pieces = (piece for block in blocks_of(document) for piece in _cut(text, block))
    return [
        Chunk(block.start, block.heading, text[block.start : block.end], block.page, block.row)
        for block in _joined(pieces)
        if any(character.isalnum() for character in text[block.start : block.end])
    ]


def _cut(text: str, block: Block) -> Iterator[Block]:
    """Yield the block in parts of at most the longest size, cut where a sentence or word ends."""
    start = block.start
    while block.end - start > _LONGEST:
        cut = _cut_at(text, start)
        yield replace(block, start=start, end=_stripped_end(text, start, cut))
        start = _next_start(text, cut, block.end)
    if start < block.end:
        yield replace(block, start=start)


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


def _joined(pieces: Iterator[Block]) -> Iterator[Block]:
    """Join neighbours of one place until the target size is reached."""
    held: Block | None = None
    for piece in pieces:
        if held and _same_place(held, piece) and piece.end - held.start <= _TARGET:
            held = replace(held, end=piece.end)
            continue
        if held:
            yield held
        held = piece
    if held:
        yield held


def _same_place(one: Block, other: Block) -> bool:
    return (one.heading, one.page) == (other.heading, other.page) and one.row is other.row is None
