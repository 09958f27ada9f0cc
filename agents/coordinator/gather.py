"""Reads the records of one source, page by page, with parameters only."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from agents.coordinator.request import (
    GivenSource,
    KnowledgeSource,
    Source,
    StoredSource,
    TableSource,
)
from agents.db_write.port import RecordStore
from agents.db_write.tables.declaration import TABLES
from agents.db_write.tables.port import TableStore
from agents.knowledge.port import KnowledgeBase, Passage
from envelope.canonical import canonical_json
from envelope.ports.context import AgentContext
from envelope.record import Record

_PAGE: Final = 500
_LONGEST_ROW_ID: Final = 2_048


def records_of(ctx: AgentContext, source: Source) -> Iterator[Record]:
    """Yield the records of `source`, each with its provenance.

    Raises:
        MusterError: What the source's store raises.
    """
    match source:
        case GivenSource():
            yield from source.records
        case StoredSource():
            yield from _stored(ctx, source)
        case TableSource():
            yield from _rows(ctx, source)
        case KnowledgeSource():
            yield from _passages(ctx, source)


def _stored(ctx: AgentContext, source: StoredSource) -> Iterator[Record]:
    store, after = ctx.resource(RecordStore), ""  # type: ignore[type-abstract] # a port is asked for by its Protocol
    while True:
        page = store.page(source.table, ctx.tenant, where=source.where, after=after, limit=_PAGE)
        yield from (row.record for row in page)
        if len(page) < _PAGE:
            return
        after = page[-1].key


def _rows(ctx: AgentContext, source: TableSource) -> Iterator[Record]:
    store, table = ctx.resource(TableStore), TABLES.get(source.table)  # type: ignore[type-abstract] # as above
    where = dict(source.where)
    if table.tenant_column:
        where[table.tenant_column] = ctx.tenant
    ours, after = {table.tenant_column, table.provenance_column}, None
    while True:
        page = store.select(table, where=where, after=after, limit=_PAGE)
        for row in page:
            yield Record.of(
                {name: value for name, value in row.items() if name not in ours},
                source=f"table:{table.name}",
                row_id=canonical_json([row[name] for name in table.key])[:_LONGEST_ROW_ID],
            )
        if len(page) < _PAGE:
            return
        after = [page[-1][name] for name in table.conflict]


def _passages(ctx: AgentContext, source: KnowledgeSource) -> Iterator[Record]:
    knowledge = ctx.resource(KnowledgeBase)  # type: ignore[type-abstract] # as above
    passages = knowledge.search(
        source.query,
        source.limit,
        collection=source.collection,
        path_prefix=source.path_prefix,
    )
    yield from map(_passage, passages)


def _passage(passage: Passage) -> Record:
    """Without the score, which differs from query to query: the same passage is one record."""
    return Record.of(
        {
            "text": passage.text,
            "heading": passage.heading,
            "path": passage.path,
            "offset": passage.offset,
            "collection": passage.collection,
        },
        source=passage.path,
        row_id=f"{passage.path}#{passage.offset}",
    )
