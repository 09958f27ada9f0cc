"""A document as it was read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from envelope.canonical import content_hash, sha256_hex


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A stretch of a document's text that belongs together: a paragraph, a list, a table, a row.

    Attributes:
        start: Where it begins, in characters.
        end: Where it ends; `text[start:end]` has no blanks at its ends.
        heading: The headings above it, joined by ` > `.
        page: Page of a PDF, from 1; None elsewhere.
        row: Row of a table's data, from 1; None elsewhere. A row is never joined with another.
    """

    start: int
    end: int
    heading: str = ""
    page: int | None = None
    row: int | None = None


@dataclass(frozen=True, slots=True)
class SourceDocument:
    """A text and the path by which it is cited.

    Attributes:
        path: Relative to what was ingested, with `/`; the document's name within its collection.
        text: The whole text; a passage's offset counts its characters.
        markdown: Whether lines that start with `#` are headings. Blocks make it meaningless.
        blocks: The text's structure, in order, where the reader of its format knows it; None: it is
            found in the text itself.
        metadata: What else is known of the document; a search may ask for it, word for word.
    """

    path: str
    text: str
    markdown: bool = True
    blocks: tuple[Block, ...] | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)

    @property
    def sha256(self) -> str:
        """Hash of the text."""
        return sha256_hex(self.text)

    @property
    def fingerprint(self) -> str:
        """Hash of all that its passages are made of; InvalidInput where no database could hold it.

        A document whose fingerprint is known is not ingested again.
        """
        blocks = None if self.blocks is None else [_as_list(block) for block in self.blocks]
        return content_hash([self.path, self.text, self.markdown, blocks, dict(self.metadata)])


def _as_list(block: Block) -> list[int | str | None]:
    return [block.start, block.end, block.heading, block.page, block.row]
