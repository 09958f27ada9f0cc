"""What became of each draft, and the envelope that says so."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from pydantic import JsonValue

from envelope.effect import Gated
from envelope.envelope import Envelope, Status
from envelope.failure import Failure
from envelope.record import Record
from orchestrators.delivery.request import DraftToSend

_SOURCE = "delivery"
_TOLD = 3
_TOLD_CHARACTERS = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One draft: the record of what was sent, or why it was not."""

    entry: DraftToSend
    sent: Record | None = None
    failure: Failure | None = None

    @property
    def gated(self) -> bool:
        """Whether a rule kept it back, which is no failure."""
        return self.failure is not None and self.failure.code == Gated.code


def gated_failure(error: Gated) -> Failure:
    """Return what is missing as a failure whose details hold it."""
    missing: list[JsonValue] = [asdict(each) for each in error.missing]
    return Failure.of(error).model_copy(update={"details": {"missing": missing}})


def envelope_of(outcomes: Sequence[Outcome]) -> Envelope:
    """Return one record per draft that was sent, and what is missing of the others.

    `success`: all were sent. `partial`: some. `gated`: rules kept all of them back. `error`: none
    was sent and something failed.
    """
    sent = [outcome.sent for outcome in outcomes if outcome.sent is not None]
    kept = [outcome for outcome in outcomes if outcome.failure is not None]
    if not kept:
        return Envelope.from_records(sent, source=_SOURCE)
    status = Status.PARTIAL if sent else _status_of_none(kept)
    failure = _summary(kept, len(outcomes))
    return Envelope.from_records(sent, source=_SOURCE, status=status, error=failure)


def _status_of_none(kept: Sequence[Outcome]) -> Status:
    return Status.GATED if all(outcome.gated for outcome in kept) else Status.ERROR


def _summary(kept: Sequence[Outcome], total: int) -> Failure:
    failures = [outcome.failure for outcome in kept if outcome.failure is not None]
    first = next((each for each in failures if each.code != Gated.code), failures[0])
    told = " ".join(f"{each.code}: {each.message[:_TOLD_CHARACTERS]}" for each in failures[:_TOLD])
    return Failure(
        code=first.code,
        message=f"{len(kept)} of {total} drafts were not sent. {told}",
        kind=first.kind,
        fingerprint=first.fingerprint,
        details={"drafts": [_told(outcome) for outcome in kept]},
    )


def _told(outcome: Outcome) -> dict[str, Any]:
    failure, entry = outcome.failure, outcome.entry
    return {
        "run_id": entry.run_id,
        "record_id": entry.record_id,
        "to": entry.to,
        "code": failure.code if failure else None,
        "message": failure.message if failure else None,
        "missing": failure.details.get("missing", []) if failure else [],
    }
