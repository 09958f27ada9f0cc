"""A person's consent to exactly one thing."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from envelope.canonical import sha256_hex
from envelope.model import Contract


class ApprovalState(StrEnum):
    """The states of an approval. `approved` may still expire; `consumed` was used, once."""

    PENDING = "pending"
    APPROVED = "approved"
    REJECTED = "rejected"
    EXPIRED = "expired"
    CONSUMED = "consumed"


class ApprovalRequest(Contract):
    """What a person is asked to consent to.

    Attributes:
        channel: The kind of act, such as `email`.
        content: Exactly what will be done or sent, as canonical JSON; the consent is bound to its
            hash.
        title: One line that names it to a person.
        role: Who may consent; see MUSTER_APPROVERS.
        expires_seconds: The consent must be given and used within this time; never longer than
            MUSTER_APPROVAL_SECONDS, which holds where this is None.
    """

    channel: Annotated[str, Field(min_length=1, max_length=64)]
    content: Annotated[str, Field(min_length=1)]
    title: Annotated[str, Field(max_length=500)] = ""
    role: Annotated[str, Field(min_length=1, max_length=64)] = "approver"
    expires_seconds: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None

    @property
    def sha256(self) -> str:
        """Hash of the content."""
        return sha256_hex(self.content)


class Approval(Contract):
    """A consent that was given.

    Attributes:
        id: Its id, as `muster approvals show` takes it.
        sha256: Hash of the content that it is bound to.
        by: Who gave it.
        at: When, in seconds since 1970 by the journal's clock.
        expires_at: Until when it may be used.
        reason: What the person said.
    """

    id: str
    sha256: str
    by: str
    at: float
    expires_at: float
    reason: str = ""
