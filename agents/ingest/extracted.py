"""What a format's reader returns."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from agents.ingest.errors import DocumentTooLarge
from agents.knowledge.document import Block


@dataclass(frozen=True, slots=True)
class Extracted:
    """A document's text and its structure.

    Attributes:
        text: The text.
        blocks: Its structure; None: it is found in the text.
        markdown: Whether lines that start with `#` are headings, where there are no blocks.
    """

    text: str
    blocks: tuple[Block, ...] | None = None
    markdown: bool = False


class Writing:
    """A text that grows paragraph by paragraph, with a blank line between two.

    Args:
        limit: Most characters.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._parts: list[str] = []
        self._length = 0
        self._blocks: list[Block] = []

    def add(
        self,
        paragraph: str,
        heading: str = "",
        *,
        page: int | None = None,
        row: int | None = None,
    ) -> None:
        """Append a paragraph that is a block.

        Raises:
            DocumentTooLarge: The text passes its limit.
        """
        start = self._append(paragraph)
        end = start + len(paragraph)
        self._blocks.append(Block(start=start, end=end, heading=heading, page=page, row=row))

    def add_title(self, title: str) -> None:
        """Append a heading, which passages cite and do not hold; errors as `add`."""
        self._append(title)

    def done(self) -> Extracted:
        """Return what was written."""
        return Extracted("\n\n".join(self._parts), tuple(self._blocks))

    def _append(self, paragraph: str) -> int:
        start = self._length + 2 * bool(self._parts)
        if start + len(paragraph) > self._limit:
            raise DocumentTooLarge(f"its text is longer than {self._limit:,} characters")
        self._parts.append(paragraph)
        self._length = start + len(paragraph)
        return start


def paragraphs(text: str) -> Iterator[str]:
    """Yield the stretches of `text` between blank lines, free of blanks at their ends."""
    held: list[str] = []
    for line in [*text.splitlines(), ""]:
        if line.strip():
            held.append(line.rstrip())
        elif held:
            yield "\n".join(held).strip()
            held = []
