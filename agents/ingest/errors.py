"""Why one document cannot be read. The others are read all the same."""

from __future__ import annotations

from envelope.errors import InvalidInput


class UnreadableDocument(InvalidInput):
    """A document cannot be read; the message says why, without naming it."""

    code = "DOCUMENT_UNREADABLE"


class UnsupportedFormat(UnreadableDocument):
    """Files of this ending are not understood."""

    code = "DOCUMENT_FORMAT_UNSUPPORTED"


class NotAFile(UnreadableDocument):
    """A pipe, a device, a link out of its folder, or a file that cannot be opened."""

    code = "DOCUMENT_NOT_A_FILE"


class DocumentTooLarge(UnreadableDocument):
    """The file, or the text in it, exceeds a size limit."""

    code = "DOCUMENT_TOO_LARGE"


class DocumentTooCostly(UnreadableDocument):
    """Reading took more time or memory than a document may take, as a decompression bomb does."""

    code = "DOCUMENT_TOO_COSTLY"


class WrongEncoding(UnreadableDocument):
    """The bytes are no text in any encoding that is looked for."""

    code = "DOCUMENT_ENCODING_WRONG"


class DocumentBroken(UnreadableDocument):
    """The file breaks the rules of its format."""

    code = "DOCUMENT_BROKEN"


class DocumentEncrypted(UnreadableDocument):
    """The file asks for a password."""

    code = "DOCUMENT_ENCRYPTED"


class DocumentWithoutText(UnreadableDocument):
    """The file holds no text, as a scanned page does."""

    code = "DOCUMENT_WITHOUT_TEXT"
