"""A flow that writes a draft, for tests of what sends it."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from envelope import Envelope
from orchestrators import orchestrator


class DraftWish(BaseModel):
    """What the draft shall say."""

    subject: str
    body: str = "Dear reader,\n\nthis is the text.\n\nYours, the test"


@orchestrator("rig-draft")
async def draft(ctx: Any, request: DraftWish) -> Envelope:
    """Return the draft as the copywriter would."""
    return Envelope.from_records(
        [{"subject": request.subject, "body": request.body}], source="rig-draft"
    )
