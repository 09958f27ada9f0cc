"""CSV to text: a row becomes lines of `column: value`."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from typing import Final

from agents.ingest.decoding import decoded
from agents.ingest.errors import DocumentBroken, DocumentTooLarge
from agents.ingest.extracted import Extracted, Writing
from agents.ingest.limits import ReadLimits

_DELIMITERS: Final = ",;\t|"
_EXCEL_ENCODING: Final = "cp1252"


def csv_text(data: bytes, limits: ReadLimits) -> Extracted:
    """Return the rows of a CSV file, each a block of its own under the names of the first line.

    Fields are separated by comma, semicolon, tab or bar, whichever the first line has most of. It
    is read as UTF-8, as its byte order mark says, or as Windows-1252, which Excel writes.

    Raises:
        WrongEncoding: It is no text.
        DocumentBroken: Quotes do not match, or a field is longer than 128 KB.
        DocumentTooLarge: There are too many rows, or their text is too long.
    """
    text = decoded(data, _EXCEL_ENCODING)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=_delimiter(text), strict=True)
    writing = Writing(limits.characters)
    try:
        records = (record for record in reader if any(map(str.strip, record)))
        names = _names(next(records, []))
        for row, record in enumerate(records, start=1):
            if row > limits.rows:
                raise DocumentTooLarge(f"has more than {limits.rows:,} rows")
            writing.add("\n".join(_lines(names, record)), row=row)
    except csv.Error as error:
        raise DocumentBroken(f"line {reader.line_num} breaks the rules of CSV: {error}") from error
    return writing.done()


def _delimiter(text: str) -> str:
    """The separator of the first line that says something, outside of quotes."""
    line = next((line for line in io.StringIO(text) if line.strip()), "")
    bare = "".join(line.split('"')[::2])
    return max(_DELIMITERS, key=bare.count)


def _names(header: Sequence[str]) -> list[str]:
    named = [" ".join(name.split()) for name in header]
    return [name or f"column {number}" for number, name in enumerate(named, start=1)]


def _lines(names: Sequence[str], record: Sequence[str]) -> Iterator[str]:
    """A row may be longer than the first line; what is empty is left out."""
    for number, value in enumerate(record, start=1):
        plain = " ".join(value.split())
        name = names[number - 1] if number <= len(names) else f"column {number}"
        if plain:
            yield f"{name}: {plain}"
