"""An act on the outside world, such as an e-mail, before and after it happens."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property

from pydantic import JsonValue

from envelope.canonical import sha256_hex
from envelope.errors import Terminal

Receipt = Mapping[str, JsonValue]
"""What the receiver answered, as JSON: a message id, a status. No secret, no content."""

Send = Callable[[str], Awaitable[Receipt]]
"""Performs an effect under the key that it is given.

It raises `NotSent` where nothing was sent and another attempt is worth it, `Refused` where the
receiver said no for good. After any other exception nobody knows whether it was sent.
"""


class EffectState(StrEnum):
    """What is known of an effect.

    `intended`: it may be under way. `sent`: it happened. `failed`: it did not happen, and may be
    begun again. `refused`: the receiver saw it and said no; its key is spent. `unknown`: its
    process died, or the receiver fell silent, between the two; a person settles it.
    """

    INTENDED = "intended"
    SENT = "sent"
    FAILED = "failed"
    REFUSED = "refused"
    UNKNOWN = "unknown"


@dataclass(frozen=True, kw_only=True)
class Effect:
    """What shall happen, in full, so that the gate can judge and a person can approve exactly it.

    Attributes:
        channel: The kind of act, such as `email`; rules of the gate speak of channels.
        recipients: Whom it reaches, in one spelling each: addresses, or the host of a URL.
        content: All that determines what is sent, as canonical JSON; an approval is bound to its
            hash.
        title: One line that names it to a person.
        deduplicates: Whether the receiver itself keeps a second act under one key from having an
            effect. Then what was cut off is sent again under the same key; otherwise it is
            `unknown`.
        key: Names the act across runs; two acts of one key never both happen. None: the step's
            idempotency key.
    """

    channel: str
    recipients: Sequence[str]
    content: str
    title: str = ""
    deduplicates: bool = False
    key: str | None = None

    @cached_property
    def sha256(self) -> str:
        """Hash of the content."""
        return sha256_hex(self.content)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """An effect that happened.

    Attributes:
        key: The key it happened under.
        receipt: What the receiver answered.
        before: Whether an earlier attempt or run had already brought it about.
    """

    key: str
    receipt: Receipt = field(default_factory=dict)
    before: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Missing:
    """One reason why the gate keeps an effect back.

    Attributes:
        rule: `settings`, `run`, `allow_list`, `quiet_hours`, `suppressed`, `frequency` or
            `approval`.
        message: What is missing and how to provide it.
        recipient: The recipient whom it concerns; None where it concerns all.
        until: Seconds since 1970 after which it passes by itself; None where it does not.
    """

    rule: str
    message: str
    recipient: str | None = None
    until: float | None = None


class Gated(Terminal):
    """The delivery gate kept an effect back; nothing was sent.

    An agent that lets it pass returns an envelope of status `gated`, which is no failure.

    Args:
        missing: What is missing.
    """

    code = "GATED"

    def __init__(self, missing: Sequence[Missing]) -> None:
        super().__init__("Nothing was sent. " + " ".join(each.message for each in missing))
        self.missing = tuple(missing)
