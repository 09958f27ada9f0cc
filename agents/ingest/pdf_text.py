"""PDF to text, page by page."""

from __future__ import annotations

import io
import re
from typing import Final

from pypdf import PasswordType, PdfReader
from pypdf.errors import DependencyError, FileNotDecryptedError, LimitReachedError

from agents.ingest.errors import (
    DocumentBroken,
    DocumentEncrypted,
    DocumentTooCostly,
    DocumentTooLarge,
    DocumentWithoutText,
    UnreadableDocument,
)
from agents.ingest.extracted import Extracted, Writing, paragraphs
from agents.ingest.limits import ReadLimits

_UNSTORABLE: Final = re.compile("[\x00\ud800-\udfff]")
_ENCRYPTED: Final = "is encrypted; save it without a password first"


def pdf_text(data: bytes, limits: ReadLimits) -> Extracted:
    """Return the paragraphs of a PDF with their pages; one that only its owner locked is read.

    Raises:
        DocumentEncrypted: It asks for a password.
        DocumentBroken: It is no PDF, or a broken one.
        DocumentTooLarge: It has too many pages or too much text.
        DocumentTooCostly: It holds a decompression bomb.
        DocumentWithoutText: No page has any text.
    """
    try:
        return _read(data, limits)
    except UnreadableDocument:
        raise
    except (FileNotDecryptedError, DependencyError) as error:
        raise DocumentEncrypted(_ENCRYPTED) from error
    except LimitReachedError as error:
        raise DocumentTooCostly("unpacks to more than a document may take") from error
    except Exception as error:  # a broken file makes the library raise anything
        raise DocumentBroken(f"is no readable PDF ({type(error).__name__})") from error


def _read(data: bytes, limits: ReadLimits) -> Extracted:
    reader = PdfReader(io.BytesIO(data))
    if reader.is_encrypted and reader.decrypt("") is PasswordType.NOT_DECRYPTED:
        raise DocumentEncrypted(_ENCRYPTED)
    if len(reader.pages) > limits.pages:
        raise DocumentTooLarge(f"has more than {limits.pages:,} pages")
    writing = Writing(limits.characters)
    for number, page in enumerate(reader.pages, start=1):
        for paragraph in paragraphs(_UNSTORABLE.sub("", page.extract_text())):
            writing.add(paragraph, page=number)
    extracted = writing.done()
    if not any(map(str.isalnum, extracted.text)):
        raise DocumentWithoutText("holds no text; scanned pages need text recognition first")
    return extracted
