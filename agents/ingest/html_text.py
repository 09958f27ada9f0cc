"""HTML to text: blocks under their headings, without scripts, styles and what is hidden."""

from __future__ import annotations

import re
from collections.abc import Sequence
from html.parser import HTMLParser
from typing import Final

from agents.ingest.decoding import decoded
from agents.ingest.extracted import Extracted, Writing
from agents.ingest.limits import ReadLimits
from agents.knowledge.structure import below, joined_titles

_CHARSET: Final = re.compile(
    rb"<meta[^>]{0,200}?charset\s{0,9}=\s{0,9}[\"']?([\w:.-]{2,40})", re.IGNORECASE
)
_NAME: Final = re.compile(r"\w+")
_LOOKED_AT: Final = 4_096
_BROWSERS_DEFAULT: Final = "cp1252"
_DROPPED: Final = frozenset(
    _NAME.findall(
        "audio canvas dialog iframe map math noembed noframes noscript object script "
        "select style svg template textarea video"
    )
)
_BLOCKS: Final = frozenset(
    _NAME.findall(
        "address article aside blockquote body caption details dd div dl dt fieldset "
        "figcaption figure footer form header hgroup hr html legend main nav ol p pre "
        "section summary table tbody tfoot thead ul"
    )
)
_LINES: Final = frozenset({"br", "li", "tr", "option"})
_CELLS: Final = frozenset({"td", "th"})
_NEVER_CLOSED: Final = frozenset(
    _NAME.findall("area base br col embed hr img input link meta param source track wbr")
)
_ENDED_BY_OTHERS: Final = frozenset({"dd", "dt", "li", "p", "td", "th", "tr"})
_HEADING: Final = re.compile(r"h([1-6])")


def html_text(data: bytes, limits: ReadLimits) -> Extracted:
    """Return the blocks of an HTML document under the headings above them.

    Before the first heading the document's title takes its place. It is read as UTF-8, as its byte
    order mark or `<meta charset>` says, or as Windows-1252, as browsers do.

    Raises:
        WrongEncoding: It is no text.
        DocumentTooLarge: Its text is too long.
    """
    declared = _CHARSET.search(data[:_LOOKED_AT])
    name = declared[1].decode("ascii", "replace") if declared else None
    reader = _Reader(limits.characters)
    reader.feed(decoded(data, name, _BROWSERS_DEFAULT))
    reader.close()
    return reader.done()


class _Reader(HTMLParser):
    """Writes down blocks as they end. Nesting is only counted, so that no depth can exhaust it."""

    def __init__(self, limit: int) -> None:
        super().__init__(convert_charrefs=True)
        self._writing = Writing(limit)
        self._trail: list[tuple[int, str]] = []
        self._title: list[str] = []
        self._in_title = False
        self._level = 0
        self._dropped = ""
        self._depth = 0
        self._verbatim = 0
        self._line: list[str] = []
        self._lines: list[str] = []

    def handle_starttag(self, tag: str, attrs: Sequence[tuple[str, str | None]]) -> None:
        if self._dropped in _ENDED_BY_OTHERS and _ends_others(tag):
            self._dropped = ""
        if self._dropped:
            self._depth += tag == self._dropped
        elif tag in _DROPPED or (_hidden(attrs) and tag not in _NEVER_CLOSED):
            self._dropped, self._depth = tag, 1
        elif tag == "title":
            self._in_title = True
        elif tag in _CELLS:
            self._line += [" | "] if any(map(str.strip, self._line)) else []
        elif tag in _LINES:
            self._end_line()
        elif heading := _HEADING.fullmatch(tag):
            self._end_block()
            self._level = int(heading[1])
        elif tag in _BLOCKS:
            self._end_block()
            self._verbatim += tag == "pre"

    def handle_endtag(self, tag: str) -> None:
        if self._dropped in _ENDED_BY_OTHERS and _ends_others(tag):
            self._dropped = ""
        elif self._dropped:
            self._depth -= tag == self._dropped
            self._dropped = self._dropped if self._depth else ""
        elif tag == "title":
            self._in_title = False
        elif tag in _LINES:
            self._end_line()
        elif tag in _BLOCKS or _HEADING.fullmatch(tag):
            self._end_block()
            self._verbatim = max(0, self._verbatim - (tag == "pre"))

    def handle_data(self, data: str) -> None:
        if self._dropped:
            return
        if self._in_title:
            self._title.append(data)
        elif self._verbatim:
            first, *others = data.split("\n")
            self._line.append(first)
            for line in others:
                self._end_line()
                self._line.append(line)
        else:
            self._line.append(data)

    def done(self) -> Extracted:
        """End the last block and return the document."""
        self._end_block()
        return self._writing.done()

    def _end_line(self) -> None:
        line = "".join(self._line)
        self._line.clear()
        plain = line.rstrip() if self._verbatim else " ".join(line.split())
        if plain.strip():
            self._lines.append(plain)

    def _end_block(self) -> None:
        self._end_line()
        block = "\n".join(self._lines).strip()
        self._lines.clear()
        if block and self._level:
            self._trail = below(self._trail, self._level, " ".join(block.split()))
            self._writing.add_title(block)
        elif block:
            above = joined_titles(self._trail) or joined_titles([(1, self._plain_title())])
            self._writing.add(block, above)
        self._level = 0
        self._in_title = False  # a title that nobody ended is over where the page begins

    def _plain_title(self) -> str:
        return " ".join("".join(self._title).split())


def _ends_others(tag: str) -> bool:
    """Paragraphs, items and cells need no end tag of their own."""
    return tag in _BLOCKS or tag in _LINES or tag in _CELLS


def _hidden(attributes: Sequence[tuple[str, str | None]]) -> bool:
    """What no reader of the page sees is no knowledge, and a place to hide instructions."""
    given = dict(attributes)
    style = (given.get("style") or "").replace(" ", "").lower()
    return "hidden" in given or "display:none" in style or "visibility:hidden" in style
