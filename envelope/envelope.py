"""The canonical envelope: what every node takes and returns."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Annotated, Any, Final, Literal, Self

from pydantic import (
    AwareDatetime,
    Field,
    JsonValue,
    NonNegativeInt,
    Strict,
    ValidationError,
    model_validator,
)

from envelope.canonical import canonical_json
from envelope.errors import InvalidEnvelope, InvalidInput, TooLarge
from envelope.failure import Failure
from envelope.model import AsTuple, Contract
from envelope.record import HASHED_NOW, Record
from envelope.running import RUNNING, utc_now
from envelope.usage import Usage

SCHEMA_VERSION: Final = 1
MAX_BYTES: Final = 1024 * 1024


class Status(StrEnum):
    """How a node ended: `gated` means that a gate stopped it and `error` says what is missing."""

    SUCCESS = "success"
    NO_RESULTS = "no_results"
    PARTIAL = "partial"
    GATED = "gated"
    ERROR = "error"


class Metadata(Contract):
    """Who made an envelope, when, from what and at what cost.

    Attributes:
        schema_version: Version of this contract.
        source: What the records were read from or made by.
        run_id: The run; None outside of one.
        step: The step's id within the run.
        agent: The agent that made the envelope.
        attempt: Which execution of the step made it, from 1.
        task_id: The caller's own name for the work, where it has one.
        started_at: When the step's execution started.
        finished_at: When it ended.
        retrieved_at: When the records were read or made.
        usage: What its model calls used.
        trace_id: The W3C trace id that the run belongs to.
        filters: The filters under which the records were selected.
    """

    schema_version: Literal[1] = SCHEMA_VERSION
    source: Annotated[str, Field(min_length=1, max_length=2048)]
    run_id: str | None = None
    step: str | None = None
    agent: str | None = None
    attempt: NonNegativeInt | None = None
    task_id: str | None = None
    started_at: AwareDatetime | None = None
    finished_at: AwareDatetime | None = None
    retrieved_at: AwareDatetime
    usage: Usage = Usage()
    trace_id: str | None = None
    filters: dict[str, JsonValue] = Field(default_factory=dict)


class Envelope(Contract):
    """Metadata, records with provenance, a status and, where something is wrong, an error.

    Invariants: `success` and `partial` carry records, `no_results` and `error` carry none;
    `error` and `gated` say why in `error`; `success` and `no_results` have none.

    Example:
        >>> made = Envelope.from_records([{"name": "Ada"}], source="crm")
        >>> Envelope.from_json(made.to_json()) == made
        True
    """

    metadata: Metadata
    records: Annotated[tuple[Record, ...], AsTuple] = ()
    status: Annotated[Status, Strict(strict=False)]
    error: Failure | None = None

    @model_validator(mode="after")
    def _status_fits_content(self) -> Self:
        has_records, has_error = bool(self.records), self.error is not None
        if has_records and self.status in {Status.NO_RESULTS, Status.ERROR}:
            raise ValueError(f"status {self.status} carries no records")
        if not has_records and self.status in {Status.SUCCESS, Status.PARTIAL}:
            raise ValueError(f"status {self.status} needs a record; without one it is no_results")
        if not has_error and self.status in {Status.ERROR, Status.GATED}:
            raise ValueError(f"status {self.status} needs an error that says why")
        if has_error and self.status in {Status.SUCCESS, Status.NO_RESULTS}:
            raise ValueError(f"status {self.status} has no error")
        return self

    @classmethod
    def from_records(
        cls,
        rows: Iterable[Mapping[str, Any] | Record],
        source: str,
        *,
        status: Status | None = None,
        error: Failure | None = None,
        **metadata: Any,
    ) -> Envelope:
        """Make an envelope of mappings or records.

        For a mapping the provenance is made from `source`, the row's own hash, the time and the
        running agent. Without `status` it is `success`, or `no_results` where there is no row.
        `metadata` names further fields of `Metadata`.

        Raises:
            InvalidEnvelope: A row or a field breaks the contract.
        """
        try:
            given = tuple(rows)
            records = tuple(
                row if isinstance(row, Record) else Record.of(row, source=source) for row in given
            )
            described = {**_running_metadata(), "retrieved_at": utc_now(), **metadata}
            parts = {
                "metadata": Metadata(source=source, **described),
                "records": records,
                "status": status or (Status.SUCCESS if records else Status.NO_RESULTS),
                "error": error,
            }
            made_here = not any(isinstance(row, Record) for row in given)
            return cls.model_validate(parts, context=HASHED_NOW if made_here else None)
        except (ValidationError, InvalidInput, TypeError, ValueError) as problem:
            raise InvalidEnvelope(explain(problem)) from problem

    @classmethod
    def from_error(cls, error: Failure, source: str, **metadata: Any) -> Envelope:
        """Make an envelope of status `error`."""
        return cls.from_records([], source, status=Status.ERROR, error=error, **metadata)

    @classmethod
    def from_json(cls, text: str | bytes, *, max_bytes: int | None = MAX_BYTES) -> Envelope:
        """Read and validate an envelope, every record and hash of it.

        Raises:
            TooLarge: The text is longer than `max_bytes`.
            InvalidEnvelope: The text breaks the contract.
        """
        if max_bytes is not None:
            _check_size(len(text), max_bytes)
        try:
            return cls.model_validate_json(text)
        except (ValidationError, InvalidInput) as problem:
            raise InvalidEnvelope(explain(problem)) from problem

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Envelope:
        """Read an envelope from its JSON form as a mapping; errors as `from_json`."""
        try:
            text = canonical_json(value)
        except InvalidInput as problem:
            raise InvalidEnvelope(str(problem)) from problem
        return cls.from_json(text)

    def to_json(self, *, max_bytes: int | None = MAX_BYTES) -> str:
        """Return the envelope as JSON.

        Raises:
            TooLarge: The text is longer than `max_bytes`; store the bulk elsewhere and put a
                reference into the record.
        """
        text = self.model_dump_json()
        if max_bytes is not None:
            _check_size(len(text), max_bytes)
        return text

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form as a dict."""
        value: dict[str, Any] = json.loads(self.to_json(max_bytes=None))
        return value


def _running_metadata() -> dict[str, Any]:
    running = RUNNING.get()
    if running is None:
        return {}
    return {
        "run_id": running.run_id,
        "step": running.step,
        "agent": running.agent,
        "attempt": running.attempt,
        "trace_id": running.trace_id,
        "started_at": running.started_at,
        "usage": running.usage,
    }


def _check_size(size: int, limit: int) -> None:
    if size > limit:
        raise TooLarge(
            f"The envelope has {size:,} bytes; the cap is {limit:,}. "
            "Store the bulk elsewhere and put a reference into the record."
        )


def explain(problem: Exception) -> str:
    """Say what broke the contract and where, without repeating the values themselves."""
    if not isinstance(problem, ValidationError):
        return str(problem)
    first = problem.errors(include_url=False, include_input=False)[0]
    where = ".".join(str(part) for part in first["loc"])
    more = problem.error_count() - 1
    tail = f" (and {more} more)" if more else ""
    return f"{where or problem.title}: {first['msg']}{tail}"
