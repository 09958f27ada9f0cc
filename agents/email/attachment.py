"""Files that go with an e-mail."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from typing import Annotated, Final

from pydantic import AfterValidator, Field

from agents.email.line import one_line
from envelope.model import Contract

MOST: Final = 10
MOST_BYTES: Final = 500_000
_LONGEST_NAME: Final = 150
_NOT_IN_NAMES: Final = frozenset('"/\\')
_SUBTYPE: Final = r"[a-z0-9][a-z0-9!#$&^_.+-]{0,62}"
# A part that holds parts of its own could bring headers and files that nobody was shown.
_MEDIA_TYPE: Final = rf"^(?:application|audio|font|image|model|text|video)/{_SUBTYPE}$"


def file_name(text: str) -> str:
    """Return the name of a file, without a folder.

    Raises:
        ValueError: It is empty, too long, no single line, names a folder or holds a quote.
    """
    name = one_line(text)
    if not name.strip(".") or len(name) > _LONGEST_NAME or _NOT_IN_NAMES.intersection(name):
        raise ValueError(
            f"a file's name has 1 to {_LONGEST_NAME} characters, without quotes, / and \\"
        )
    return name


def base64_text(text: str) -> str:
    """Return the one spelling of bytes in base64.

    Raises:
        ValueError: It is not base64.
    """
    try:
        return base64.b64encode(base64.b64decode(text, validate=True)).decode()
    except (binascii.Error, ValueError):
        raise ValueError("not base64") from None


class Attachment(Contract):
    """A file.

    Attributes:
        name: Its name, without a folder.
        media_type: Such as `application/pdf`, in lower case; neither `multipart` nor `message`.
        content: Its bytes in base64.
    """

    name: Annotated[str, AfterValidator(file_name)]
    media_type: Annotated[str, Field(pattern=_MEDIA_TYPE)]
    content: Annotated[str, AfterValidator(base64_text)]

    @property
    def data(self) -> bytes:
        """Its bytes."""
        return base64.b64decode(self.content)


def within_cap(attachments: Sequence[Attachment]) -> Sequence[Attachment]:
    """Return the attachments of one e-mail, if they are not too large together.

    Raises:
        ValueError: They are.
    """
    if sum(len(attachment.data) for attachment in attachments) > MOST_BYTES:
        raise ValueError(f"all attachments together have at most {MOST_BYTES:,} bytes; send a link")
    return attachments
