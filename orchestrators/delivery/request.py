"""What the `delivery` flow is asked for."""

from __future__ import annotations

from typing import Annotated, Final, Literal, Self

from pydantic import Field, JsonValue, model_validator

from envelope.model import AsTuple, Contract
from envelope.record import RecordId

_MOST_DRAFTS: Final = 200
_OURS: Final = frozenset({"to", "url", "draft", "payload", "key"})


class DraftToSend(Contract):
    """A draft and whom it goes to.

    Attributes:
        run_id: The run that wrote it, one of the same tenant.
        record_id: The draft's record; None: the first of that run's envelope.
        to: The address; for a webhook the URL. None: the field `email` of the row that the draft
            was written for. It is never read from the draft's own text.
    """

    run_id: Annotated[str, Field(min_length=1, max_length=64)]
    record_id: RecordId | None = None
    to: Annotated[str, Field(min_length=1, max_length=2048)] | None = None


class DeliveryRequest(Contract):
    """Drafts to be sent.

    Attributes:
        drafts: 1 to 200 of them, each named once.
        channel: How: agents of the names CHANNEL_prepare and CHANNEL do it.
        on_quiet: In quiet hours, `wait` for their end or `gate`: do not send.
        options: What else the channel's prepare agent takes, the same for all: for `email` such as
            `sender` and `reply_to`, for `webhook` such as `event`.
    """

    drafts: Annotated[
        tuple[DraftToSend, ...], AsTuple, Field(min_length=1, max_length=_MOST_DRAFTS)
    ]
    channel: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,40}$")] = "email"
    on_quiet: Literal["wait", "gate"] = "wait"
    options: dict[str, JsonValue] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _each_draft_once(self) -> Self:
        named = [(draft.run_id, draft.record_id, draft.to) for draft in self.drafts]
        if len(set(named)) < len(named):
            raise ValueError("drafts: one is named twice")
        if taken := sorted(_OURS & self.options.keys()):
            raise ValueError(f"options: {', '.join(taken)} cannot be given for all drafts")
        return self
