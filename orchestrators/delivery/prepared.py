"""Exactly what will be sent, before it is: what the gate judges and a person approves."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any, Self

from envelope.canonical import canonical_json, content_hash, sha256_hex
from envelope.effect import Effect
from envelope.envelope import Envelope
from envelope.errors import InvalidEnvelope
from envelope.record import Record

_KEY_DIGITS = 40
_LONGEST_TITLE = 400
_WARNINGS = ("unsupported_claims", "suspicious_facts")


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """What a channel's prepare agent made of a draft.

    Attributes:
        channel: The channel.
        recipients: Whom it reaches, in one spelling each.
        content: The full request of the channel's agent, as canonical JSON.
        title: One line that names it to a person.
        key: Names the act across runs.
    """

    channel: str
    recipients: tuple[str, ...]
    content: str
    title: str
    key: str | None = None

    @classmethod
    def of(cls, made: Envelope, channel: str) -> Self:
        """Read the record that the prepare agent returned.

        Raises:
            InvalidEnvelope: It is none, or its hash is not that of its content.
        """
        data: dict[str, Any] = dict(made.records[0].data) if made.records else {}
        content, recipients = data.get("content"), data.get("recipients")
        if (
            data.get("channel") != channel
            or not isinstance(content, str)
            or not isinstance(recipients, list)
            or data.get("sha256") != sha256_hex(content)
        ):
            raise InvalidEnvelope(
                f"Agent {channel}_prepare must return one record with the fields agent, channel, "
                "recipients, content, sha256 and title; see docs/howto/deliver.md."
            )
        return cls(
            channel=channel,
            recipients=tuple(map(str, recipients)),
            content=content,
            title=str(data.get("title", ""))[:_LONGEST_TITLE],
        )

    def keyed(self, tenant: str, draft_id: str) -> Self:
        """Return it under the key of this draft for these recipients, whatever run sends it.

        The key is part of the content: the consent to it is for this one act.
        """
        content = self.request
        place = [tenant, self.channel, sorted(self.recipients), content.get("url"), draft_id]
        key = f"delivery:{content_hash(place)[:_KEY_DIGITS]}"
        return replace(self, key=key, content=canonical_json({**content, "key": key}))

    def warned(self, draft: Record) -> Self:
        """Return it with what a reviewer of the draft should look at added to its title."""
        found = {name: draft.data.get(name) for name in _WARNINGS}
        told = [
            f"{name.replace('_', ' ')}: {len(each)}"
            for name, each in found.items()
            if isinstance(each, list) and each
        ]
        return replace(self, title=f"{self.title} [{', '.join(told)}]") if told else self

    @property
    def request(self) -> dict[str, Any]:
        """The input of the channel's agent."""
        value: dict[str, Any] = json.loads(self.content)
        return value

    @property
    def effect(self) -> Effect:
        """What the gate is asked about."""
        return Effect(
            channel=self.channel,
            recipients=self.recipients,
            content=self.content,
            title=self.title,
            key=self.key,
        )
