"""The `coordinator` agent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from pydantic import JsonValue

from agents.coordinator.gather import records_of
from agents.coordinator.merge import CONFLICTS, Found, Merged, merged
from agents.coordinator.request import CoordinateRequest
from agents.registry import agent
from envelope.canonical import sha256_hex
from envelope.envelope import Envelope, Status
from envelope.errors import MusterError, TooLarge
from envelope.failure import Failure
from envelope.ports.context import AgentContext
from envelope.record import Record

_PAGE_BYTES: Final = 600_000
"""Below the cap of an envelope, with room for its metadata."""


@agent("coordinator", concurrency=8, inline=True, timeout=300)
def coordinator(ctx: AgentContext, request: CoordinateRequest) -> Envelope:
    """Gather records, make one of those that speak of the same thing, and return a page of them.

    A record that was merged is derived from all that it was made of and lists its conflicts under
    `merge_conflicts`; one that had nothing to be merged with is returned as it is. `filters` of the
    metadata hold `total`, of all pages, and `next`, the cursor of the next page; None on the last.
    """
    found, failures = _gathered(ctx, request)
    things = merged(found, request.key, request.precedence, exact=request.exact)
    records, following = _page(things, request)
    _report(ctx, records)
    is_partial = bool(failures and records)
    return Envelope.from_records(
        records,
        source="coordinator",
        status=Status.PARTIAL if is_partial else None,
        error=_left_out(failures) if is_partial else None,
        filters=_filters(request, len(things), following),
    )


def _gathered(
    ctx: AgentContext, request: CoordinateRequest
) -> tuple[list[Found], dict[str, MusterError]]:
    """Read all sources; what an optional one raises is kept, not raised."""
    found: list[Found] = []
    failures: dict[str, MusterError] = {}
    for rank, source in enumerate(request.sources):
        try:
            for record in records_of(ctx, source):
                found.append(Found(record, source.name, rank))
                _check_count(found, request.most)
        except TooLarge:
            raise
        except MusterError as error:
            if not source.optional:
                raise
            ctx.log.warning("coordinator.source_left_out", source=source.name, code=error.code)
            found = [each for each in found if each.source != source.name]
            failures[source.name] = error
    if failures and not found:
        raise next(iter(failures.values()))
    return found, failures


def _check_count(found: Sequence[Found], most: int) -> None:
    if len(found) > most:
        raise TooLarge(
            f"The sources hold more than {most:,} records. Narrow them by `where`, or raise `most`."
        )


def _page(things: Sequence[Merged], request: CoordinateRequest) -> tuple[list[Record], str | None]:
    """Return the page and the cursor of the next one; a page of large records ends early."""
    rest = [thing for thing in things if request.after is None or thing.place > request.after]
    page: list[Record] = []
    size = 0
    for thing in rest[: request.limit]:
        record = _record(thing)
        size += len(record.model_dump_json())
        if page and size > _PAGE_BYTES:
            break
        page.append(record)
    return page, rest[len(page) - 1].place if len(page) < len(rest) else None


def _record(thing: Merged) -> Record:
    if thing.only is not None:
        return thing.only
    return Record.of(
        thing.data,
        source="coordinator",
        row_id=sha256_hex(thing.place)[:32],
        derived_from=thing.parents,
    )


def _report(ctx: AgentContext, records: Sequence[Record]) -> None:
    """Say how many disagree; the values themselves stand in the records."""
    count = sum(bool(record.data.get(CONFLICTS)) for record in records)
    if count:
        ctx.log.warning("coordinator.conflicts", count=count)
        ctx.emit("coordinator.conflicts", count=count)


def _left_out(failures: dict[str, MusterError]) -> Failure:
    sources: list[JsonValue] = [
        {"source": name, "code": error.code, "message": str(error)}
        for name, error in failures.items()
    ]
    return Failure(
        code="SOURCES_LEFT_OUT",
        message=f"Sources that could not be read: {', '.join(failures)}.",
        details={"sources": sources},
    )


def _filters(request: CoordinateRequest, total: int, following: str | None) -> dict[str, Any]:
    asked = {"key": list(request.key), "limit": request.limit, "after": request.after}
    return {**asked, "total": total, "next": following}
