"""What the webhook agents are asked for. The flow names the URL, never a model."""

from __future__ import annotations

from typing import Annotated, Final, Self

from pydantic import AfterValidator, Field, JsonValue, model_validator

from agents.webhook.headers import checked_headers
from agents.webhook.target import Target, canonical_url
from envelope.canonical import canonical_json
from envelope.effect import Effect
from envelope.model import Contract

CHANNEL: Final = "webhook"
_MOST_BYTES: Final = 256 * 1024


class WebhookRequest(Contract):
    """A webhook to send.

    Attributes:
        url: Where to; `https`, or `http` where MUSTER_WEBHOOK_PRIVATE allows private targets. No
            credentials, no fragment.
        event: Its type, such as `lead.qualified`.
        payload: What happened; the body is `{"data": payload, "type": event}` as canonical JSON,
            at most 256 KiB.
        headers: Further headers; no credentials, and none that HTTP or the signature needs.
        key: Names the effect across the runs of a tenant; None: the step's own. The `webhook-id` is
            made of it.
    """

    url: Annotated[str, AfterValidator(canonical_url)]
    event: Annotated[str, Field(pattern=r"^[A-Za-z0-9_]+(?:[.-][A-Za-z0-9_]+)*$", max_length=128)]
    payload: JsonValue
    headers: Annotated[dict[str, str], AfterValidator(checked_headers)] = Field(
        default_factory=dict
    )
    key: Annotated[str, Field(pattern=r"^[\x21-\x7e]{1,200}$")] | None = None

    @model_validator(mode="after")
    def _body_is_bounded(self) -> Self:
        if len(self.body) > _MOST_BYTES:
            raise ValueError(f"the body has more than {_MOST_BYTES:,} bytes; send a reference")
        return self

    @property
    def target(self) -> Target:
        """The URL in its parts."""
        return Target.parse(self.url)

    @property
    def body(self) -> bytes:
        """The body, byte for byte the same at every attempt."""
        return canonical_json({"type": self.event, "data": self.payload}).encode()

    @property
    def effect(self) -> Effect:
        """The act that the gate judges and a person approves."""
        host = self.target.host
        return Effect(
            channel=CHANNEL,
            recipients=(host,),
            content=canonical_json(self.model_dump(mode="json")),
            title=f"Webhook {self.event} to {host}",
            deduplicates=True,
            key=self.key,
        )
