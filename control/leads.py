"""Reads companies from a CSV file into requests for the `lead` flow."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NoReturn

from pydantic import ValidationError

from envelope.envelope import explain
from envelope.errors import InvalidInput
from orchestrators.lead import LeadRequest

SAMPLE: Final = Path(__file__).parent / "samples" / "leads.csv"
_LARGEST_BYTES = 64 * 1024 * 1024
_COLUMNS: Final = {
    "symbol": "symbol",
    "security": "company",
    "gics sector": "sector",
    "gics sub-industry": "sub_industry",
    "headquarters location": "location",
    "date added": "date_added",
    "cik": "cik",
    "founded": "founded",
}
_NEEDED: Final = ("Symbol", "Security", "GICS Sector")


class CorruptLeads(InvalidInput):
    """A file of leads cannot be read. Nothing of it was used; the message names the line.

    Args:
        name: The file's name, without its folder.
        problem: What is wrong and what to do.
        line: The line, from 1; None where the whole file is meant.
    """

    code = "CORRUPT_LEADS"

    def __init__(self, name: str, problem: str, line: int | None = None) -> None:
        where = f"{name}, line {line}" if line else name
        super().__init__(f"{where}: {problem}")
        self.line = line


def read_leads(path: Path | str, **campaign: Any) -> list[LeadRequest]:
    """Read every company of a CSV file with a header, in its order.

    Needed columns are Symbol, Security and GICS Sector; GICS Sub-Industry, Headquarters Location,
    Date added, CIK and Founded are used where they are there, others are left out. Either the
    whole file is good or nothing of it is used.

    Args:
        path: The file, in UTF-8.
        campaign: Fields of `LeadRequest` that are the same for all, such as `campaign` or `tone`.

    Raises:
        CorruptLeads: The file is missing, empty, not UTF-8, no CSV, or a line does not fit; the
            message names the line.
    """
    file = Path(path)
    reader = _Rows(file.name, _text(file))
    leads: list[LeadRequest] = []
    seen: dict[str, int] = {}
    for line, row in reader.rows():
        request = _request(file.name, line, row, campaign)
        if request.key in seen:
            problem = f"symbol {request.key!r} stands in line {seen[request.key]} already"
            raise CorruptLeads(file.name, f"{problem}. Remove one of the two.", line)
        seen[request.key] = line
        leads.append(request)
    if not leads:
        raise CorruptLeads(file.name, "there is a header but no company below it.")
    return leads


def _text(file: Path) -> str:
    try:
        if file.stat().st_size > _LARGEST_BYTES:
            raise CorruptLeads(file.name, "larger than 64 MB. Split it.")
        content = file.read_bytes()
    except OSError as error:
        raise CorruptLeads(
            file.name, f"cannot be opened ({type(error).__name__}). Check the path."
        ) from None
    if not content.strip():
        raise CorruptLeads(file.name, f"the file is empty. It needs a header: {', '.join(_NEEDED)}")
    if b"\x00" in content:
        line = _line_of(content, content.index(b"\x00"))
        raise CorruptLeads(file.name, "holds a NUL byte; is this a CSV file in UTF-8?", line)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise CorruptLeads(
            file.name, "is not UTF-8. Save the file as UTF-8.", _line_of(content, error.start)
        ) from None


def _line_of(content: bytes, position: int) -> int:
    return content.count(b"\n", 0, position) + 1


class _Rows:
    """The rows of a CSV text as mappings, with the line that each starts in."""

    def __init__(self, name: str, text: str) -> None:
        self._name = name
        self._reader = csv.reader(io.StringIO(text, newline=""), strict=True)

    def rows(self) -> Iterator[tuple[int, dict[str, str]]]:
        header = self._header()
        for line, row in self._lines():
            if len(row) != len(header):
                self._fail(f"has {len(row)} fields, the header has {len(header)}.", line)
            yield line, dict(zip(header, row, strict=True))

    def _header(self) -> list[str]:
        line, header = next(self._lines(), (1, []))
        names = [name.strip().lower() for name in header]
        missing = [name for name in _NEEDED if name.lower() not in names]
        if missing:
            self._fail(f"the header lacks {', '.join(missing)}.", line)
        twice = {name for name in names if name in _COLUMNS and names.count(name) > 1}
        if twice:
            self._fail(f"the header names {', '.join(sorted(twice))} twice.", line)
        return names

    def _lines(self) -> Iterator[tuple[int, Sequence[str]]]:
        """Yield rows that are not blank; a quoted field may run over several lines."""
        while True:
            line = self._reader.line_num + 1
            try:
                row = next(self._reader, None)
            except csv.Error as problem:
                self._fail(f"is not valid CSV: {problem}.", line)
            if row is None:
                return
            if row:
                yield line, row

    def _fail(self, problem: str, line: int) -> NoReturn:
        raise CorruptLeads(self._name, problem, line)


def _request(name: str, line: int, row: dict[str, str], campaign: dict[str, Any]) -> LeadRequest:
    fields = {field: row[column].strip() for column, field in _COLUMNS.items() if column in row}
    for needed in _NEEDED[:2]:
        if not fields[_COLUMNS[needed.lower()]]:
            raise CorruptLeads(name, f"{needed} is empty.", line)
    try:
        return LeadRequest.model_validate({"source": name, **campaign, **fields})
    except ValidationError as problem:
        raise CorruptLeads(name, f"{explain(problem)}.", line) from None
