"""Markdown and plain text, which are text already."""

from __future__ import annotations

from agents.ingest.decoding import decoded
from agents.ingest.errors import DocumentTooLarge
from agents.ingest.extracted import Extracted
from agents.ingest.limits import ReadLimits


def markdown_text(data: bytes, limits: ReadLimits) -> Extracted:
    """Return the text of a Markdown file; errors as `plain_text`."""
    return Extracted(plain_text(data, limits).text, markdown=True)


def plain_text(data: bytes, limits: ReadLimits) -> Extracted:
    """Return the text of a plain text file.

    Raises:
        WrongEncoding: It is not UTF-8, nor what its byte order mark says.
        DocumentTooLarge: It is too long.
    """
    text = decoded(data)
    if len(text) > limits.characters:
        raise DocumentTooLarge(f"its text is longer than {limits.characters:,} characters")
    return Extracted(text)
