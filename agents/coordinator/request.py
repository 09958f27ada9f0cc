"""What the coordinator is asked for: where to look, what names a thing, who is believed."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from agents.db_write.port import Scalar
from agents.db_write.request import TableName
from envelope.model import AsTuple, Contract
from envelope.record import Record

Name = Annotated[str, Field(min_length=1, max_length=100)]
FieldName = Annotated[str, Field(min_length=1, max_length=200)]
Where = Annotated[dict[FieldName, Scalar], Field(max_length=20)]


class _Source(Contract):
    """Where records come from.

    Attributes:
        name: By which `precedence` and reports name it.
        optional: A source that cannot be read is left out and the envelope's status is `partial`;
            otherwise the step fails or is tried again.
    """

    name: Name
    optional: bool = False


class GivenSource(_Source):
    """Records that the flow has already, such as those of earlier envelopes.

    Attributes:
        records: The records.
    """

    kind: Literal["given"] = "given"
    records: Annotated[tuple[Record, ...], AsTuple, Field(max_length=10_000)]


class StoredSource(_Source):
    """A table that `db_write` keeps, this tenant's rows of it.

    Attributes:
        table: The table.
        where: Fields of the data and what they must be equal to; None fits a missing one too.
    """

    kind: Literal["stored"] = "stored"
    table: TableName
    where: Where = Field(default_factory=dict)


class TableSource(_Source):
    """A table of your own, declared by `declare_table`; with a tenant's column, this tenant's rows.

    Attributes:
        table: The table, as it was declared.
        where: Columns and what they must be equal to; None is NULL.
    """

    kind: Literal["table"] = "table"
    table: Name
    where: Where = Field(default_factory=dict)


class KnowledgeSource(_Source):
    """The passages that fit a query best, as the agent `rag` finds them.

    Attributes:
        query: Free text.
        limit: Most passages.
        collection: One collection of documents; None for all.
        path_prefix: Documents whose path starts so; None for all.
    """

    kind: Literal["knowledge"] = "knowledge"
    query: Annotated[str, Field(min_length=1, max_length=20_000)]
    limit: Annotated[int, Field(ge=1, le=100)] = 10
    collection: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    path_prefix: Annotated[str, Field(min_length=1, max_length=1_000)] | None = None


Source = Annotated[
    GivenSource | StoredSource | TableSource | KnowledgeSource, Field(discriminator="kind")
]


class CoordinateRequest(Contract):
    """Which records to gather and how to make one of those that speak of the same thing.

    Attributes:
        sources: Where to look, 1 to 20; an earlier one is believed before a later one.
        key: The fields that name a thing. Records that lack one of them stay as they are.
        precedence: For single fields, the sources in another order; those not named follow.
        exact: Compare texts as they are; otherwise case and blanks make no difference.
        limit: Most records of one page, 1 to 1,000.
        after: `next` of the page before; None for the first.
        most: Records that may be read in all, up to 50,000.
    """

    sources: Annotated[tuple[Source, ...], AsTuple, Field(min_length=1, max_length=20)]
    key: Annotated[tuple[FieldName, ...], AsTuple, Field(min_length=1, max_length=5)]
    precedence: dict[FieldName, Annotated[tuple[Name, ...], AsTuple]] = Field(default_factory=dict)
    exact: bool = False
    limit: Annotated[int, Field(ge=1, le=1_000)] = 100
    after: Annotated[str, Field(max_length=10_000)] | None = None
    most: Annotated[int, Field(ge=1, le=50_000)] = 10_000

    @model_validator(mode="after")
    def _names_fit(self) -> Self:
        names = [source.name for source in self.sources]
        if len(set(names)) < len(names):
            raise ValueError("two sources have the same name")
        for field, order in self.precedence.items():
            strangers = set(order) - set(names)
            if strangers:
                raise ValueError(
                    f"precedence of {field!r} names unknown sources: {sorted(strangers)}"
                )
        return self
