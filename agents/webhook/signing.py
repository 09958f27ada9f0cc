"""The Standard Webhooks signature, by which a receiver knows who sent a webhook.

Source: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Mapping
from typing import Final
from urllib.parse import quote

from agents.webhook.errors import WebhooksNotConfigured
from envelope.canonical import sha256_hex

_PREFIX: Final = "whsec_"
_FEWEST_BYTES: Final = 24
_MOST_BYTES: Final = 64
_LONGEST_ID: Final = 200
_HASHED: Final = "sha256-"
_DEFAULT_TENANT: Final = "default"
_VISIBLE: Final = "!\"#$&'()*+,/:;<=>?@[\\]^`{|}"
_HOW: Final = (
    "Set MUSTER_WEBHOOK_SECRET to whsec_ and 24 to 64 random bytes in base64, "
    'such as echo "whsec_$(openssl rand -base64 32)" prints.'
)


def signing_key(secret: str | None) -> bytes:
    """Return the bytes of a secret as `MUSTER_WEBHOOK_SECRET` has it.

    Raises:
        WebhooksNotConfigured: There is none, or it is malformed.
    """
    if not secret:
        raise WebhooksNotConfigured(f"Webhooks are not sent without a signature. {_HOW}")
    try:
        key = base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not secret.startswith(_PREFIX) or not _FEWEST_BYTES <= len(key) <= _MOST_BYTES:
        raise WebhooksNotConfigured(f"The secret of webhooks is malformed. {_HOW}")
    return key


def webhook_id(tenant: str, key: str) -> str:
    """Return what a receiver knows an effect by: another for each tenant, as in the ledger.

    That is the key itself, with blanks, `%` and what is not ASCII percent-encoded. What is longer
    than 200 characters, and every key of another tenant than `default`, is hashed with its tenant.
    """
    quoted = quote(key, safe=_VISIBLE)
    plain = tenant == _DEFAULT_TENANT and not quoted.startswith(_HASHED)
    if plain and len(quoted) <= _LONGEST_ID:
        return quoted
    return _HASHED + sha256_hex(f"{quote(tenant, safe=_VISIBLE)} {key}")


def signed_headers(key: bytes, message_id: str, timestamp: int, body: bytes) -> Mapping[str, str]:
    """Return the three headers that the standard asks for.

    Args:
        key: As `signing_key` returns it.
        message_id: The same for every attempt; receivers deduplicate by it.
        timestamp: Seconds since 1970 of this attempt.
        body: The body, byte for byte.
    """
    signed = f"{message_id}.{timestamp}.".encode() + body
    signature = base64.b64encode(hmac.digest(key, signed, "sha256")).decode()
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": f"v1,{signature}",
    }
