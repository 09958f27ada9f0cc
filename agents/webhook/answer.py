"""What a receiver's answer means."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Final

from httpx2 import Headers

from envelope.effect import Receipt
from envelope.errors import NotSent, Refused

_LONGEST_WAIT_SECONDS: Final = 3_600.0
_SECONDS: Final = re.compile(r"[0-9]{1,12}")
_AGAIN: Final = frozenset(
    {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS}
)


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer, its body as far as it was read."""

    status: int
    headers: Headers
    body: bytes


def receipt_of(answer: Answer, host: str) -> Receipt:
    """Return the receipt of an answer that says yes.

    Raises:
        NotSent: It asks for another attempt: 408, 425, 429 and 5xx. Retry-After is honoured, up to
            an hour.
        Refused: It says no for good: every other status. Redirects are not followed.
    """
    status = answer.status
    if HTTPStatus(200) <= status < HTTPStatus.MULTIPLE_CHOICES:
        digest = hashlib.sha256(answer.body).hexdigest()
        return {"status": status, "body_sha256": digest, "body_bytes": len(answer.body)}
    if status in _AGAIN or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        raise NotSent(f"{host} answered {status}.", retry_after=_wait(answer.headers))
    raise Refused(f"{host} answered {status}. {_hint(status)}".rstrip())


def _wait(headers: Headers) -> float | None:
    """Return the seconds that Retry-After asks for (RFC 9110, 10.2.3); None where it is no use."""
    text = headers.get("retry-after", "").strip()
    if _SECONDS.fullmatch(text):
        return min(float(text), _LONGEST_WAIT_SECONDS)
    try:
        moment = parsedate_to_datetime(text)
        seconds = (moment.replace(tzinfo=moment.tzinfo or UTC) - datetime.now(UTC)).total_seconds()
    except (ValueError, OverflowError):
        return None
    return min(max(0.0, seconds), _LONGEST_WAIT_SECONDS)


def _hint(status: int) -> str:
    if HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST:
        return "Redirects are not followed; use the URL that it leads to."
    if status == HTTPStatus.GONE:
        return "The receiver is gone for good; take its URL out of the campaign."
    if status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
        return "Check that the receiver knows the secret of MUSTER_WEBHOOK_SECRET."
    return ""
