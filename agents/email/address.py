"""E-mail addresses in the one spelling that suppressions, caps and lists can compare."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import Final

from agents.email.line import one_line
from agents.webhook.host_name import host_name, is_ip_address

_LONGEST: Final = 254  # RFC 5321, 4.5.3.1.3, less the angle brackets
_LONGEST_LOCAL: Final = 64
_LONGEST_NAME: Final = 100
_ATOM: Final = r"(?:[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]|[^\x00-\x7f])+"
_LOCAL: Final = re.compile(rf"{_ATOM}(?:\.{_ATOM})*")
_LETTERS: Final = ("L", "M", "N")
_NAMED: Final = re.compile(r"(?P<name>[^<>]*)<(?P<address>[^<>]*)>")
_SPECIAL_IN_NAMES: Final = frozenset('"\\<>')


def address(text: str) -> str:
    """Return an address with its domain in lower case and in ASCII (`xn--…`).

    The part before the `@` keeps its case; letters of other alphabets are taken (RFC 6531) and
    delivered where the mail server supports that. Quoted parts, comments, routes and IP addresses
    are refused: they are other spellings of what can be written plainly.

    Raises:
        ValueError: It is no such address; the message does not repeat it.
    """
    local, at, domain = unicodedata.normalize("NFC", one_line(text)).rpartition("@")
    if not at or _LOCAL.fullmatch(local) is None or not _is_written_in_letters(local):
        raise ValueError("expected an address such as name@example.com, without quotes or comments")
    host = host_name(domain)
    if is_ip_address(host):
        raise ValueError("the domain of an address must be a name, not an IP address")
    if len(local.encode()) > _LONGEST_LOCAL or len(f"{local}@{host}".encode()) > _LONGEST:
        raise ValueError(f"an address has at most {_LONGEST} bytes, {_LONGEST_LOCAL} before the @")
    return f"{local}@{host}"


def recipient(to: str) -> str:
    """Return how rules, caps and suppressions spell an address: all of it in lower case."""
    return unicodedata.normalize("NFC", to.lower())


def display_name(text: str) -> str:
    """Return a person's name as it stands beside an address.

    Raises:
        ValueError: It is too long, no single line, or holds a quote, backslash or angle bracket.
    """
    name = one_line(text)
    if len(name) > _LONGEST_NAME or _SPECIAL_IN_NAMES.intersection(name):
        raise ValueError(
            f"a name has at most {_LONGEST_NAME} characters, without quotes, \\, < and >"
        )
    return name


@dataclass(frozen=True, slots=True)
class Mailbox:
    """An address and the name beside it; the name may be empty."""

    name: str
    address: str

    @classmethod
    def parse(cls, text: str) -> Mailbox:
        """Read `address` or `Name <address>`; quotes around the name are dropped.

        Raises:
            ValueError: It is neither; see `address` and `display_name`.
        """
        line = one_line(text)
        if "<" not in line:
            return cls("", address(line))
        found = _NAMED.fullmatch(line)
        if found is None:
            raise ValueError("expected an address, or Name <address>")
        return cls(display_name(_unquoted(found["name"].strip())), address(found["address"]))

    @property
    def domain(self) -> str:
        """The domain of the address."""
        return self.address.rpartition("@")[2]

    def __str__(self) -> str:
        return f"{self.name} <{self.address}>" if self.name else self.address


def mailbox(text: str) -> str:
    """Return the one spelling of a mailbox; raises ValueError as `Mailbox.parse`."""
    return str(Mailbox.parse(text))


def _unquoted(name: str) -> str:
    quoted = len(name) > 1 and name.startswith('"') and name.endswith('"')
    return name[1:-1] if quoted else name


def _is_written_in_letters(local: str) -> bool:
    return all(c.isascii() or unicodedata.category(c).startswith(_LETTERS) for c in local)
