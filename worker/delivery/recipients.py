"""Recipients: one spelling each, and patterns that name many."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

from agents.webhook.host_name import host_name

ANYONE = "*"


def one_spelling(recipient: str) -> str:
    """Return the spelling under which the ledger knows a recipient.

    Lower case throughout: that two mailboxes differ in case alone is unheard of, while a suppressed
    person who is written to in another case is not. International domains in their ASCII form.
    """
    name = unicodedata.normalize("NFC", recipient.strip().lower())
    local, at, domain = name.rpartition("@")
    if domain.isascii():
        return name
    try:
        return f"{local}{at}{host_name(domain)}"
    except ValueError:
        return name  # a pattern, or no host at all: it is compared as it was written


class AllowList:
    """Who may be reached.

    `*` in a pattern stands for any characters but `@`, so that a pattern of hosts lets no address
    through; `*` alone stands for anyone.

    Args:
        patterns: Addresses, hosts, or such with `*`; case does not count. None at all: anyone.
    """

    def __init__(self, patterns: Iterable[str]) -> None:
        self._patterns = [_compiled(pattern) for pattern in patterns]

    def allows(self, recipient: str) -> bool:
        """Whether the recipient may be reached."""
        name = one_spelling(recipient)
        return not self._patterns or any(each.fullmatch(name) for each in self._patterns)


def _compiled(pattern: str) -> re.Pattern[str]:
    if pattern.strip() == ANYONE:
        return re.compile(r".*", re.DOTALL)
    parts = one_spelling(pattern).split("*")
    return re.compile("[^@]*".join(map(re.escape, parts)), re.DOTALL)
