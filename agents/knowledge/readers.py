"""Reads documents from files and folders."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from agents.ingest.apart import ApartReader
from agents.ingest.errors import DocumentTooLarge, NotAFile, UnreadableDocument, WrongEncoding
from agents.ingest.extracted import Extracted
from agents.ingest.formats import format_of, most_bytes
from agents.ingest.limits import ReadLimits
from agents.knowledge.document import SourceDocument
from agents.knowledge.errors import NoKnowledge
from envelope.errors import InvalidInput

_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Skipped:
    """A file that was not read, and why.

    Attributes:
        path: As it would be cited.
        reason: What is wrong with it, in words.
        code: The error's code, as in `agents.ingest.errors`.
    """

    path: str
    reason: str
    code: str


@dataclass(frozen=True, slots=True)
class Reading:
    """What was read and what was not."""

    documents: tuple[SourceDocument, ...]
    skipped: tuple[Skipped, ...]


def read_documents(
    *roots: Path | str,
    limits: ReadLimits | None = None,
    metadata: Mapping[str, str] | None = None,
) -> Reading:
    """Read every document of the files and folders `roots`: Markdown, text, HTML, PDF and CSV.

    A document of a folder is cited by the folder's name and the path below it, a file by its name,
    so no citation tells where the machine keeps them. Hidden files are passed by. A file that
    cannot be read is skipped with a reason, and the others are read all the same.

    Args:
        roots: Files and folders.
        limits: What one document may cost; None for the usual limits.
        metadata: What is known of all of these documents.

    Raises:
        NoKnowledge: Nothing readable is there; the message says what was looked at and what to do.
        InvalidInput: Two of the roots hold a document of the same path.
    """
    limits = limits or ReadLimits()
    with ApartReader(limits) as apart:
        reader = _Reader(apart, limits, metadata or {})
        found = [entry for root in roots for entry in reader.read_root(Path(root))]
    documents = tuple(entry for entry in found if isinstance(entry, SourceDocument))
    skipped = tuple(entry for entry in found if isinstance(entry, Skipped))
    if not any(document.text.strip() for document in documents):
        raise NoKnowledge(_nothing([Path(root).name or str(root) for root in roots], skipped))
    _refuse_same_paths(documents)
    return Reading(documents, skipped)


class _Reader:
    """Reads files, with a process at hand for the formats that need one."""

    def __init__(self, apart: ApartReader, limits: ReadLimits, metadata: Mapping[str, str]) -> None:
        self._apart = apart
        self._limits = limits
        self._metadata = dict(metadata)

    def read_root(self, root: Path) -> Iterator[SourceDocument | Skipped]:
        if not root.exists():
            raise NoKnowledge(
                f"There is no file or folder {root.name!r} to read knowledge from. Check the path."
            )
        if root.is_file():
            yield self._read(root, root.name, root.resolve().parent)
            return
        base = root.resolve()
        for path in _files(base):
            yield self._read(path, f"{base.name}/{path.relative_to(base).as_posix()}", base)

    def _read(self, path: Path, cited: str, base: Path) -> SourceDocument | Skipped:
        try:
            _check_name(cited)
            extracted = self._extracted(path, _inside(path, base))
        except UnreadableDocument as error:
            shown = cited.encode("utf-8", "replace").decode()
            return Skipped(shown, str(error), error.code)
        return SourceDocument(
            cited, extracted.text, extracted.markdown, extracted.blocks, self._metadata
        )

    def _extracted(self, path: Path, real: Path) -> Extracted:
        how = format_of(path.suffix)
        data = _bytes(real, most_bytes(path.suffix, self._limits))
        return self._apart.read(how, data) if isinstance(how, str) else how(data, self._limits)


def _files(base: Path) -> Iterator[Path]:
    """Yield files in order; of folders only links, which are not walked into."""
    for folder, folders, names in os.walk(base):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        here = Path(folder)
        yield from (here / name for name in folders if (here / name).is_symlink())
        yield from (here / name for name in sorted(names) if not name.startswith("."))


def _check_name(cited: str) -> None:
    try:
        cited.encode()
    except UnicodeEncodeError:
        raise WrongEncoding("a name that is not UTF-8") from None


def _inside(path: Path, base: Path) -> Path:
    """Return the file behind `path`, which stays inside `base`."""
    real = path.resolve()
    if path.is_symlink() and not real.is_relative_to(base):
        raise NotAFile("a link that leads out of the folder")
    if real.is_dir():
        raise NotAFile("a link to a folder, which is not followed")
    return real


def _bytes(real: Path, most: int) -> bytes:
    """Read a regular file; a pipe, for one, would never end."""
    try:
        if not real.is_file():
            raise NotAFile("not a regular file")
        with os.fdopen(os.open(real, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise NotAFile("not a regular file")
            data = file.read(most + 1)
    except OSError as error:
        raise NotAFile(f"cannot be opened ({type(error).__name__})") from error
    if len(data) > most:
        raise DocumentTooLarge(f"larger than {most >> 20} MB")
    return data


def _refuse_same_paths(documents: tuple[SourceDocument, ...]) -> None:
    seen: set[str] = set()
    for document in documents:
        if document.path in seen:
            raise InvalidInput(
                f"Two documents would be cited as {document.path!r}. Ingest their folders one by "
                "one into collections of their own, or rename one."
            )
        seen.add(document.path)


def _nothing(roots: list[str], skipped: tuple[Skipped, ...]) -> str:
    shown = "; ".join(f"{skip.path}: {skip.reason}" for skip in skipped[:_SHOWN])
    more = f" and {len(skipped) - _SHOWN} more" if len(skipped) > _SHOWN else ""
    looked = f" Skipped: {shown}{more}." if skipped else ""
    return (
        f"No readable text in {', '.join(roots) or 'nothing'}. "
        f"Put .md or .txt files there, or name another folder.{looked}"
    )
