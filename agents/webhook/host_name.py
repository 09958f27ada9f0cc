"""Host names and IPv4 addresses in the one spelling that rules, caps and lists can compare."""

from __future__ import annotations

import ipaddress
import re
from typing import Final

import idna

_LONGEST: Final = 253
_LABEL: Final = r"(?!-)[a-z0-9_-]{1,63}(?<!-)"
_NAME: Final = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_LIKE_A_NUMBER: Final = re.compile(r"[0-9]+|0x[0-9a-f]*")


def host_name(text: str) -> str:
    """Return the host in lower case, an international name in its ASCII form (`xn--…`).

    A host whose last label is a number is an IPv4 address to every resolver (WHATWG URL, "ends in a
    number"). Only four decimal numbers are taken as one: `127.1`, `2130706433`, `0x7f.1` and
    `0177.0.0.1` are spellings that only an attacker needs.

    Raises:
        ValueError: It is no host name; the message does not repeat it.
    """
    name = _ascii(text)
    if len(name) > _LONGEST or _NAME.fullmatch(name) is None:
        raise ValueError("not a host name")
    if _LIKE_A_NUMBER.fullmatch(name.rpartition(".")[2]):
        _check_four_numbers(name)
    return name


def is_ip_address(host: str) -> bool:
    """Whether a host, as `host_name` returns it, is an IPv4 address."""
    return host.rpartition(".")[2].isdigit()


def _ascii(text: str) -> str:
    name = text.lower()
    if len(text) > _LONGEST or (name.isascii() and "xn--" not in name):
        return name
    try:
        return idna.encode(text, uts46=True).decode()
    except (idna.IDNAError, UnicodeError):
        raise ValueError("not an international host name") from None


def _check_four_numbers(name: str) -> None:
    try:
        ipaddress.IPv4Address(name)
    except ValueError:
        raise ValueError("an IPv4 address is written as four decimal numbers") from None
