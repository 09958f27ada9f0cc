"""How much of a document is read."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadLimits:
    """What one document may cost. One above a limit is refused whole, never cut.

    Attributes:
        file_bytes: Largest file of text: Markdown, plain text, HTML, CSV.
        pdf_bytes: Largest PDF.
        characters: Longest text in a document.
        pages: Most pages of a PDF.
        rows: Most rows of a CSV file.
        seconds: Longest time that a PDF or HTML document may take.
        memory_bytes: Most memory that the process that reads PDF and HTML may take.
    """

    file_bytes: int = 10 * 1024 * 1024
    pdf_bytes: int = 50 * 1024 * 1024
    characters: int = 20_000_000
    pages: int = 5_000
    rows: int = 200_000
    seconds: float = 20.0
    memory_bytes: int = 2 * 1024 * 1024 * 1024
