"""Reads documents from files and folders."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from agents.knowledge.document import SourceDocument
from agents.knowledge.errors import NoKnowledge
from envelope.errors import InvalidInput

_MARKDOWN = frozenset({".md", ".markdown"})
_PLAIN = frozenset({".txt", ".text", ".rst"})
_LARGEST_BYTES = 10 * 1024 * 1024
_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Skipped:
    """A file that was not read, and why."""

    path: str
    reason: str


@dataclass(frozen=True, slots=True)
class Reading:
    """What was read and what was not."""

    documents: tuple[SourceDocument, ...]
    skipped: tuple[Skipped, ...]


def read_documents(*roots: Path | str) -> Reading:
    """Read every Markdown and plain text document of the files and folders `roots`.

    A document of a folder is cited by the folder's name and the path below it, a file by its name,
    so no citation tells where the machine keeps them. Hidden files, links that lead out of their
    folder and files above 10 MB are skipped, as is what is not UTF-8 text.

    Raises:
        NoKnowledge: Nothing readable is there; the message says what was looked at and what to do.
        InvalidInput: Two of the roots hold a document of the same path.
    """
    found = [entry for root in roots for entry in _read_root(Path(root))]
    documents = tuple(entry for entry in found if isinstance(entry, SourceDocument))
    skipped = tuple(entry for entry in found if isinstance(entry, Skipped))
    if not any(document.text.strip() for document in documents):
        raise NoKnowledge(_nothing([Path(root).name or str(root) for root in roots], skipped))
    _refuse_same_paths(documents)
    return Reading(documents, skipped)


def _read_root(root: Path) -> Iterator[SourceDocument | Skipped]:
    if not root.exists():
        raise NoKnowledge(
            f"There is no file or folder {root.name!r} to read knowledge from. Check the path."
        )
    if root.is_file():
        yield _read(root, root.name)
        return
    base = root.resolve()
    for path in _files(base):
        cited = f"{base.name}/{path.relative_to(base).as_posix()}"
        if path.is_symlink() and not path.resolve().is_relative_to(base):
            yield Skipped(cited, "a link that leads out of the folder")
        else:
            yield _read(path, cited)


def _files(base: Path) -> Iterator[Path]:
    for folder, folders, names in os.walk(base):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (Path(folder, name) for name in sorted(names) if not name.startswith("."))


def _read(path: Path, cited: str) -> SourceDocument | Skipped:
    try:
        reason = _unfit(path)
        text = "" if reason else path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError:
        return Skipped(cited, "not UTF-8 text")
    except OSError as error:
        return Skipped(cited, f"cannot be opened ({type(error).__name__})")
    if "\x00" in text:
        reason = "holds NUL characters, so it is no text"
    if reason:
        return Skipped(cited, reason)
    return SourceDocument(cited, text, markdown=path.suffix.lower() in _MARKDOWN)


def _unfit(path: Path) -> str | None:
    """Say why a file is not opened; a pipe, for one, would never end."""
    suffix = path.suffix.lower()
    if suffix not in _MARKDOWN | _PLAIN:
        return f"{suffix or 'a name without an ending'} cannot be read yet"
    if not path.is_file():
        return "not a regular file"
    return "larger than 10 MB" if path.stat().st_size > _LARGEST_BYTES else None


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
