"""Which reader a file's ending asks for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, Literal

from agents.ingest.csv_text import csv_text
from agents.ingest.errors import UnsupportedFormat
from agents.ingest.extracted import Extracted
from agents.ingest.limits import ReadLimits
from agents.ingest.plain_text import markdown_text, plain_text

ApartFormat = Literal["html", "pdf"]
"""Formats whose parsers a hostile document can keep busy: read in a process of their own."""

Here = Callable[[bytes, ReadLimits], Extracted]

_READ_HERE: Final[Mapping[str, Here]] = {
    ".md": markdown_text,
    ".markdown": markdown_text,
    ".txt": plain_text,
    ".text": plain_text,
    ".rst": plain_text,
    ".csv": csv_text,
    ".tsv": csv_text,
}
_READ_APART: Final[Mapping[str, ApartFormat]] = {
    ".html": "html",
    ".htm": "html",
    ".xhtml": "html",
    ".pdf": "pdf",
}


def format_of(suffix: str) -> Here | ApartFormat:
    """Return how files of the ending `suffix` are read.

    Raises:
        UnsupportedFormat: They are not.
    """
    found = _READ_HERE.get(suffix.lower()) or _READ_APART.get(suffix.lower())
    if found is None:
        shown = suffix.lower() or "a name without an ending"
        raise UnsupportedFormat(f"{shown} cannot be read yet")
    return found


def most_bytes(suffix: str, limits: ReadLimits) -> int:
    """Return how large a file of the ending may be."""
    return limits.pdf_bytes if suffix.lower() == ".pdf" else limits.file_bytes
