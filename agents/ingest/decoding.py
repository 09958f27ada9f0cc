"""Bytes to text, strictly: what is no text is refused, not guessed."""

from __future__ import annotations

import codecs
from typing import Final

from agents.ingest.errors import WrongEncoding

_MARKS: Final = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_AS_BROWSERS_DO: Final = {"ascii": "cp1252", "iso8859-1": "cp1252", "gb2312": "gb18030"}
_KNOWN: Final = frozenset(
    {"big5", "euc_jp", "euc_kr", "gb18030", "gbk", "koi8-r", "koi8-u", "shift_jis", "mac-roman"}
    | {f"cp125{n}" for n in range(9)}
    | {f"iso8859-{n}" for n in range(2, 17)}
)


def decoded(data: bytes, *others: str | None) -> str:
    """Return the text of `data`: as its byte order mark says, as UTF-8, or in one of `others`.

    Args:
        data: The bytes.
        others: Encodings to try in turn where it is not UTF-8; unknown names and None are passed.

    Raises:
        WrongEncoding: None of them fits, or there are NUL characters, as only binary files have.
    """
    marked = next((name for mark, name in _MARKS if data.startswith(mark)), None)
    names = [marked] if marked else ["utf-8", *filter(None, map(_known, others))]
    for name in names:
        try:
            text = data.decode(name)
        except UnicodeError:
            continue
        if "\x00" in text:
            raise WrongEncoding("holds NUL characters, so it is no text")
        return text
    raise WrongEncoding(f"not {' or '.join(dict.fromkeys(map(_shown, names)))} text")


def _known(name: str | None) -> str | None:
    """Only encodings of text that documents are written in; Python knows stranger ones."""
    try:
        found = codecs.lookup(name).name if name else ""
    except (LookupError, ValueError):
        return None
    found = _AS_BROWSERS_DO.get(found, found)
    return found if found in _KNOWN else None


def _shown(name: str) -> str:
    return name.removesuffix("-sig").upper() if name.startswith("utf") else name
