"""A record: one row of data and where it comes from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import AwareDatetime, Field, JsonValue, ValidationInfo, model_validator

from envelope.canonical import canonical_json, sha256_hex
from envelope.model import AsTuple, Contract
from envelope.running import RUNNING, utc_now

HASHED_NOW = object()
"""The validation context of records whose hashes were just made of their own content."""

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
RecordId = Annotated[str, Field(pattern=r"^rec_[0-9a-f]{32}$")]


class Provenance(Contract):
    """Where a record comes from.

    Attributes:
        source: What gave the row: a table, file, URL, index or agent.
        row_id: The row's name within its source.
        sha256: Hash of the row's data in canonical JSON.
        retrieved_at: When it was read or made.
        agent: The agent that made the record.
        model: The model that wrote it, `offline…` for the deterministic one; None where none did.
        prompt_sha256: Hash of the prompt that the model was given.
        derived_from: Ids of the records it was made from, in the order they were used.
        raw_row: The row as its source gave it, where keeping it is worth its size.
    """

    source: Annotated[str, Field(min_length=1, max_length=2048)]
    row_id: Annotated[str, Field(min_length=1, max_length=2048)]
    sha256: Sha256
    retrieved_at: AwareDatetime
    agent: str | None = None
    model: str | None = None
    prompt_sha256: Sha256 | None = None
    derived_from: Annotated[tuple[RecordId, ...], AsTuple] = ()
    raw_row: dict[str, JsonValue] | None = None


class Record(Contract):
    """One row of data with its provenance.

    `id` is a hash of the content (data, source, row id, parents, agent and model), so a record that
    is made again by a replay has the same id, and lineage can be walked from id to id. An `id` or
    `provenance.sha256` that does not fit the data is refused: the record was tampered with.
    """

    data: dict[str, JsonValue]
    provenance: Provenance
    id: RecordId = Field(
        default_factory=lambda given: record_id(given["data"], given["provenance"])
    )

    @model_validator(mode="after")
    def _content_fits_hashes(self, info: ValidationInfo) -> Self:
        if info.context is HASHED_NOW:
            return self
        text = canonical_json(self.data)
        if self.provenance.sha256 != sha256_hex(text):
            raise ValueError("provenance.sha256 is not the hash of data")
        if self.id != _id_of(text, self.provenance):
            raise ValueError("id is not the hash of the record's content")
        return self

    @classmethod
    def of(
        cls,
        data: Mapping[str, Any],
        *,
        source: str,
        row_id: str | None = None,
        model: str | None = None,
        prompt_sha256: str | None = None,
        derived_from: tuple[str, ...] = (),
        raw_row: Mapping[str, Any] | None = None,
    ) -> Record:
        """Make a record of `data`: its hash, the time and the running agent are filled in.

        Without `row_id` the row is named by the first 16 digits of its hash.

        Raises:
            InvalidInput: `data` is not JSON.
            pydantic.ValidationError: Another argument breaks the contract.
        """
        row = dict(data)
        text = canonical_json(row)
        digest = sha256_hex(text)
        running = RUNNING.get()
        provenance = Provenance(
            source=source,
            row_id=row_id or digest[:16],
            sha256=digest,
            retrieved_at=utc_now(),
            agent=running.agent if running else None,
            model=model,
            prompt_sha256=prompt_sha256,
            derived_from=derived_from,
            raw_row=dict(raw_row) if raw_row is not None else None,
        )
        made = {"data": row, "provenance": provenance, "id": _id_of(text, provenance)}
        return cls.model_validate(made, context=HASHED_NOW)


def record_id(data: Mapping[str, Any], provenance: Provenance) -> str:
    """Return the content hash that names a record."""
    return _id_of(canonical_json(data), provenance)


def _id_of(data: str, provenance: Provenance) -> str:
    """The hash of `[data, source, …]` as canonical JSON, `data` being that already."""
    origin = [
        provenance.source,
        provenance.row_id,
        provenance.derived_from,
        provenance.agent,
        provenance.model,
    ]
    return f"rec_{sha256_hex(f'[{data},{canonical_json(origin)[1:]}')[:32]}"
