"""How a recipient says "no more": the List-Unsubscribe headers (RFC 2369, RFC 8058)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

from agents.email.address import address
from agents.webhook.target import Target

_MAILTO: Final = re.compile(r"mailto:(?P<address>[^?]+)(?P<query>\?[A-Za-z0-9._~!$&'*+=:@/%-]*)?")
_CODED_BREAK: Final = re.compile(r"%(?:0[ad]|00)", re.IGNORECASE)


def unsubscribe_target(text: str) -> str:
    """Return a target in its one spelling.

    Raises:
        ValueError: It is neither `mailto:address` nor an https URL, or hides a line break.
    """
    if _CODED_BREAK.search(text):
        raise ValueError("must not hide a line break")
    mail = _MAILTO.fullmatch(text)
    if mail is not None:
        to = address(mail["address"])
        if not to.isascii():
            raise ValueError("the address to unsubscribe at must be ASCII")
        return f"mailto:{to}{mail['query'] or ''}"
    target = Target.parse(text)
    if target.scheme != "https":
        raise ValueError("expected mailto:ADDRESS or https://…")
    return target.url


def unsubscribe_headers(targets: Sequence[str]) -> Mapping[str, str]:
    """Return the headers; with an https target, one POST to it suffices (one click, RFC 8058)."""
    if not targets:
        return {}
    headers = {"List-Unsubscribe": ",\r\n ".join(f"<{target}>" for target in targets)}
    if any(target.startswith("https:") for target in targets):
        headers["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
    return headers
