"""A failure as data: what an error looks like in an envelope, a journal row and an API answer."""

from __future__ import annotations

import math
import traceback
from typing import Annotated, Literal

from pydantic import Field, JsonValue

from envelope.canonical import sha256_hex
from envelope.errors import MusterError, TaskFailed, Terminal
from envelope.model import Contract

_TEXT_LIMIT = 4_000
_FRAMES = 12


class Failure(Contract):
    """Why something ended badly.

    Attributes:
        code: Stable name of the error, such as `VALIDATION_FAILED`.
        message: One sentence for a person.
        kind: What the engine did: `terminal`, `retryable` (attempts used up), `cancelled`.
        step: The step that failed; None where the flow itself did.
        agent: The agent of that step.
        attempt: The attempt that failed last.
        fingerprint: Groups failures of one cause: hash of the code and the raising frames.
        details: Further facts, per code.
    """

    code: Annotated[str, Field(min_length=1, max_length=64)]
    message: Annotated[str, Field(max_length=_TEXT_LIMIT)]
    kind: Literal["terminal", "retryable", "cancelled"] = "terminal"
    step: str | None = None
    agent: str | None = None
    attempt: int | None = None
    fingerprint: str | None = None
    details: dict[str, JsonValue] = Field(default_factory=dict)

    @classmethod
    def of(
        cls,
        error: BaseException,
        *,
        step: str | None = None,
        agent: str | None = None,
        attempt: int | None = None,
        traced: bool = False,
    ) -> Failure:
        """Describe `error`; one that is not Muster's own has the code `TASK_EXECUTION_FAILED`.

        With `traced`, `details["trace"]` holds the last frames of such a foreign error.
        """
        carried = getattr(error, "failure", None)
        if isinstance(carried, Failure):
            return carried
        known = isinstance(error, MusterError)
        code = error.code if isinstance(error, MusterError) else TaskFailed.code
        text = str(error) if known else f"{type(error).__name__}: {error}"
        kind: Literal["terminal", "retryable", "cancelled"] = "terminal"
        if isinstance(error, MusterError) and error.kind in {"retryable", "cancelled"}:
            kind = "retryable" if error.kind == "retryable" else "cancelled"
        return cls(
            code=code,
            message=_plain(text),
            kind=kind,
            step=step,
            agent=agent,
            attempt=attempt,
            fingerprint=_fingerprint(code, error),
            details=_details(error, traced=traced and not known),
        )


def _details(error: BaseException, *, traced: bool) -> dict[str, JsonValue]:
    """What a flow may want of an error besides its text."""
    found: dict[str, JsonValue] = {"trace": trace_text(error)} if traced else {}
    asked = getattr(error, "retry_after", None)
    if isinstance(asked, int | float) and math.isfinite(asked):
        found["retry_after"] = float(asked)
    return found


def trace_text(error: BaseException) -> str:
    """Return the last frames of the traceback as text, for the journal."""
    return _plain("".join(traceback.format_exception(error, limit=-_FRAMES)))


def _plain(text: str) -> str:
    """Cut to size and drop what neither UTF-8 nor a database can carry."""
    return text.replace("\x00", "").encode("utf-8", "replace").decode()[:_TEXT_LIMIT]


def _fingerprint(code: str, error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)[-3:]
    where = [f"{frame.filename.rsplit('/', 1)[-1]}:{frame.name}" for frame in frames]
    return sha256_hex("|".join([code, type(error).__name__, *where]))[:16]


class StepFailed(Terminal):
    """A step failed for good. `failure` says why; `envelope` is what the agent returned, if any."""

    code = "STEP_FAILED"

    def __init__(self, failure: Failure, envelope_json: str | None = None) -> None:
        where = f"Step {failure.step!r} ({failure.agent})" if failure.step else "The step"
        super().__init__(f"{where} failed: {failure.code}: {failure.message}")
        self.failure = failure
        self.envelope_json = envelope_json
