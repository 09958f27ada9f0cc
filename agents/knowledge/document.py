"""A document as it was read."""

from __future__ import annotations

from dataclasses import dataclass

from envelope.canonical import sha256_hex


@dataclass(frozen=True, slots=True)
class SourceDocument:
    """A text and the path by which it is cited.

    Attributes:
        path: Relative to what was ingested, with `/`; the document's name within its collection.
        text: The whole text; a passage's offset counts its characters.
        markdown: Whether lines that start with `#` are headings.
    """

    path: str
    text: str
    markdown: bool = True

    @property
    def sha256(self) -> str:
        """Hash of the text."""
        return sha256_hex(self.text)
