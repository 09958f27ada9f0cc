"""Where pictures are kept that are too large for a record: files named by their content."""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from pathlib import Path
from typing import Final, Protocol

from agents.sql.errors import StoreUnavailable
from envelope.errors import Terminal

EXTENSIONS: Final = {
    "image/png": "png",
    "image/jpeg": "jpg",
    "image/webp": "webp",
    "image/svg+xml": "svg",
}
_NAME: Final = re.compile(rf"[0-9a-f]{{64}}\.(?:{'|'.join(EXTENSIONS.values())})")


class UnknownImage(Terminal):
    """The store has no picture of that name, or its bytes are not those that were kept."""

    code = "UNKNOWN_IMAGE"


class ImageStore(Protocol):
    """Keeps pictures by their content: the same bytes again are the same picture.

    Safe to use from several threads and processes at once.
    """

    def put(self, content: bytes, media_type: str) -> str:
        """Keep a picture and return its name.

        Raises:
            StoreUnavailable: It cannot be written now.
        """

    def get(self, name: str) -> bytes:
        """Return the bytes of a picture.

        Raises:
            UnknownImage: There is none of that name, or its bytes were changed.
        """


class FileImages:
    """An `ImageStore` in a folder. Workers on several machines need one that they share.

    Args:
        folder: The folder; it is made on first use.
    """

    def __init__(self, folder: Path | str) -> None:
        self._folder = Path(folder)

    def put(self, content: bytes, media_type: str) -> str:
        """Keep a picture; see `ImageStore.put`. It is there whole or not at all."""
        name = f"{hashlib.sha256(content).hexdigest()}.{EXTENSIONS[media_type]}"
        path = self._folder / name
        try:
            if not path.exists():
                _write_whole(path, content)
        except OSError as error:
            raise StoreUnavailable(
                f"The image store cannot be written: {error.strerror or type(error).__name__}."
            ) from error
        return name

    def get(self, name: str) -> bytes:
        """Return the bytes of a picture; see `ImageStore.get`."""
        if _NAME.fullmatch(name) is None:
            raise UnknownImage(f"{name[:80]!r} is not the name of a picture.")
        try:
            content = (self._folder / name).read_bytes()
        except OSError:
            raise UnknownImage(f"The image store has no {name}.") from None
        if hashlib.sha256(content).hexdigest() != name.partition(".")[0]:
            raise UnknownImage(f"The picture {name} was changed: its hash does not fit.")
        return content


def _write_whole(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, draft = tempfile.mkstemp(dir=path.parent, prefix=".draft-")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(draft).replace(path)
    except BaseException:
        Path(draft).unlink(missing_ok=True)
        raise
