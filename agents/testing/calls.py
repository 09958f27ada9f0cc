"""What a double remembers of a call."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel

Outcome = Literal["running", "returned", "raised", "cancelled"]


@dataclass(slots=True, kw_only=True)
class AgentCall:
    """One attempt of a step that a double stood in for.

    Attributes:
        agent: The double's name.
        number: Its place among the calls of all doubles, from 1.
        request: The validated request.
        step: The step's id within the run.
        attempt: Which execution of the step it was, from 1.
        run_id: The run.
        tenant: Whose run it was.
        outcome: How it ended; `running` until then.
        error: What it raised.
    """

    agent: str
    number: int
    request: BaseModel
    step: str
    attempt: int
    run_id: str
    tenant: str
    outcome: Outcome = "running"
    error: BaseException | None = None

    @property
    def data(self) -> dict[str, Any]:
        """The request as JSON."""
        return self.request.model_dump(mode="json")

    def fits(self, request: BaseModel | None, fields: dict[str, Any]) -> bool:
        """Whether the call had this request and, of it, these fields."""
        if request is not None and request.model_dump(mode="json") != self.data:
            return False
        return all(name in self.data and self.data[name] == fields[name] for name in fields)
