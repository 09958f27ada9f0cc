"""What a channel is asked to prepare. Draft and recipient come by ways that never cross."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from envelope.errors import InvalidInput
from envelope.record import Record
from orchestrators.delivery.request import DeliveryRequest, DraftToSend

_EVENT: Final = "draft.approved"


def order(
    request: DeliveryRequest, entry: DraftToSend, draft: Record, rows: Sequence[Record]
) -> dict[str, Any]:
    """Return the input of the channel's prepare agent.

    Args:
        request: Names the channel and its options.
        entry: Names the recipient, or leaves it to the row.
        draft: Gives the text and nothing else.
        rows: What the draft was made from.

    Raises:
        InvalidInput: Nothing says whom it goes to.
    """
    to = entry.to or _address_of_row(draft, rows)
    if request.channel == "webhook":
        return {"event": _EVENT, **request.options, "url": to, "payload": draft.data}
    text = draft.data
    if request.channel == "email":
        text = {name: draft.data[name] for name in ("subject", "body") if name in draft.data}
    return {**request.options, "to": to, "draft": text}


def _address_of_row(draft: Record, rows: Sequence[Record]) -> str:
    """Return the address in the row that the draft was written for.

    A row that no agent made: what was retrieved or written by a model names no recipient.
    """
    parents = [row for row in rows if row.id in draft.provenance.derived_from]
    ours = [row for row in parents if row.provenance.agent is None and row.provenance.model is None]
    for row in ours:
        address = row.data.get("email")
        if isinstance(address, str) and address:
            return address
    raise InvalidInput(
        f"Nothing says whom draft {draft.id} goes to: name `to`, or keep the address as `email` in "
        "the row that the draft is written for."
    )
