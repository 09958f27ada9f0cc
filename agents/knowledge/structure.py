"""Finds the blocks of a Markdown or plain text. Every step is linear in the length of the text."""

from __future__ import annotations

import re
from collections.abc import Iterator

from agents.knowledge.document import Block, SourceDocument

_HEADING_LIMIT = 300
_FENCE = re.compile(r"^ {0,3}(?P<marks>`{3,}|~{3,})")
_HEADING = re.compile(r"^ {0,3}(?P<level>#{1,6})(?=[ \t])")
_LINE_END = re.compile(r"(?<=\n)|(?<=\r)(?!\n)")


def blocks_of(document: SourceDocument) -> Iterator[Block]:
    """Yield the blocks of `document`: its own, or else its paragraphs with the headings above."""
    if document.blocks is not None:
        return iter(document.blocks)
    return _paragraphs(document)


def below(trail: list[tuple[int, str]], level: int, title: str) -> list[tuple[int, str]]:
    """Return the headings in force after one of `level` (1 is the highest)."""
    return [*(entry for entry in trail if entry[0] < level), (level, title)]


def joined_titles(trail: list[tuple[int, str]]) -> str:
    """Return the headings as a passage cites them, at most 300 characters."""
    return " > ".join(title for _, title in trail if title)[:_HEADING_LIMIT]


def _paragraphs(document: SourceDocument) -> Iterator[Block]:
    """Yield paragraphs with the headings above them; blank lines inside code do not count."""
    trail: list[tuple[int, str]] = []
    start: int | None = None
    fence = ""
    end = 0
    for offset, line in _lines(document.text):
        marks = _FENCE.match(line) if document.markdown else None
        heading = _HEADING.match(line) if document.markdown and not fence else None
        if start is not None and not fence and (heading or marks or not line.strip()):
            yield Block(start=start, end=end, heading=joined_titles(trail))
            start = None
        if heading:
            trail = below(trail, len(heading["level"]), _title(line))
            continue
        if line.strip():
            start, end = offset if start is None else start, offset + len(line.rstrip())
        if marks and not fence:
            fence = marks["marks"]
        elif marks and line.strip().startswith(fence) and not line.strip().strip(fence[0]):
            fence = ""
            if start is not None:
                yield Block(start=start, end=end, heading=joined_titles(trail))
            start = None
    if start is not None:
        yield Block(start=start, end=end, heading=joined_titles(trail))


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """Lines with their offsets; only real line ends count, not every blank that Unicode knows."""
    offset = 0
    for line in _LINE_END.split(text):
        yield offset, line
        offset += len(line)


def _title(line: str) -> str:
    """The heading's words; marks at its end close it only after a blank, as in `# C#`."""
    title = line.strip().lstrip("#").strip(" \t")
    bare = title.rstrip("#")
    return bare.rstrip(" \t") if not bare or bare[-1] in " \t" else title
