"""For whom a task is executed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final

from pydantic import Field, NonNegativeInt, ValidationError

from envelope.envelope import explain
from envelope.errors import InvalidInput
from envelope.model import Contract
from envelope.ports.locks import lock_key

KEY: Final = "run:{user}:{thread}"
"""The lock of one user's thread; the same that flows with `singleton=` of this form take."""

Name = Annotated[str, Field(min_length=1, max_length=300)]


class TaskRequest(Contract):
    """For whom tasks are executed, and what they may use together.

    Attributes:
        user: The user.
        thread: The user's thread: one locked operation at a time.
        tenant: Whose user that is.
        metadata: Notes for people, readable on the lock while it is held.
        budget_tokens: Tokens that the model calls may use together; None for no limit.
        budget_usd: US dollars that they may cost together; None for no limit.
    """

    user: Name
    thread: Name
    tenant: Name = "default"
    metadata: dict[str, str] = Field(default_factory=dict)
    budget_tokens: NonNegativeInt | None = None
    budget_usd: Annotated[float, Field(ge=0)] | None = None

    @property
    def key(self) -> str:
        """The lock's key, and the thread that progress is told to: parts are percent-quoted."""
        return operation_key(self.user, self.thread)

    @classmethod
    def of(cls, request: TaskRequest | Mapping[str, Any]) -> TaskRequest:
        """Return the request that a mapping describes.

        Raises:
            InvalidInput: It does not; says where.
        """
        if isinstance(request, TaskRequest):
            return request
        try:
            return cls.model_validate(dict(request))
        except (ValidationError, TypeError, ValueError) as problem:
            raise InvalidInput(f"TaskRequest: {explain(problem)}") from None


def operation_key(user: str, thread: str) -> str:
    """Return the lock's key of a user's thread.

    Raises:
        InvalidInput: A part is empty or no text.
    """
    return lock_key(KEY, user=user, thread=thread)
