"""The `lead` flow: what matters to a company → facts → an e-mail's draft → the table of drafts."""

from __future__ import annotations

from typing import Annotated, Any, Final

from pydantic import AfterValidator, Field

from envelope.canonical import content_hash
from envelope.envelope import Envelope
from envelope.model import Contract
from envelope.ports.context import RunContext
from envelope.record import Provenance, Record
from envelope.usage import Usage
from orchestrators.flow import Step
from orchestrators.registry import orchestrator
from orchestrators.sectors import SectorProfile, sector_profile

DRAFTS: Final = "drafts"
_RESEARCH: Final = Step("rag", key="research")
_DRAFT: Final = Step("copywriter", key="draft")
_STORE: Final = Step("db_write", key="store")
_LEAD_FIELDS: Final = frozenset(
    {"symbol", "company", "sector", "sub_industry", "location", "date_added", "cik", "founded"}
)


def _one_line(text: str) -> str:
    """These values reach a mail's subject and greeting, where a line break would be a header."""
    if not text.isprintable():
        raise ValueError("must be one line without control characters")
    return " ".join(text.split())


Line = Annotated[str, Field(max_length=200), AfterValidator(_one_line)]
Required = Annotated[Line, Field(min_length=1)]


class LeadRequest(Contract):
    """A company to write to, and the campaign that it belongs to.

    Attributes:
        company: The company's name.
        symbol: Its short name, unique within the source; without one the company's name is used.
        sector: Its sector by the Global Industry Classification Standard, or any other name.
        sub_industry: Its branch within the sector.
        location: Where it is.
        date_added: When it joined the list.
        cik: Its number with the registry.
        founded: When it was founded.
        source: What the row was read from.
        campaign: The campaign; a company has one draft in it.
        product: What to write about.
        sender: Who signs; without one, the product's team.
        tone: How to sound: friendly, formal, direct or, with a real model, anything.
        max_words: Longest body, in words.
        facts: How many passages to retrieve.
        collection: The collection of documents to search; None for all.
    """

    company: Required
    symbol: Line = ""
    sector: Line = ""
    sub_industry: Line = ""
    location: Line = ""
    date_added: Line = ""
    cik: Line = ""
    founded: Line = ""
    source: Required = "leads.csv"
    campaign: Required = "demo"
    product: Required = "Muster"
    sender: Line = ""
    tone: Required = "friendly"
    max_words: Annotated[int, Field(ge=40, le=1_000)] = 160
    facts: Annotated[int, Field(ge=1, le=20)] = 6
    collection: Required | None = None

    @property
    def key(self) -> str:
        """Names the company within the source."""
        return self.symbol or self.company


@orchestrator(
    "lead",
    version=1,
    singleton="run:{user}:{thread}",
    on_conflict="queue",
    drawing=_RESEARCH >> _DRAFT >> _STORE,
)
async def lead(ctx: RunContext, request: LeadRequest) -> Envelope:
    """Research, draft and store. Returns the draft first and the lead's row second.

    Where no document says anything about the query, nothing is drafted and the envelope's status
    is `no_results`; its filters name the query.
    """
    profile = sector_profile(request.sector)
    row = _row(ctx, request)
    facts = await _RESEARCH(ctx, _question(request, profile))
    if not facts.records:
        ctx.log.warning("lead.no_facts", company=request.company)
        return Envelope.from_records(
            [], source="knowledge", filters=facts.metadata.filters, task_id=request.key
        )
    draft = await _DRAFT(ctx, _order(request, profile, row, facts))
    stored = await _STORE(ctx, _storage(request, draft.records[0]))
    return Envelope.from_records(
        [draft.records[0], row],
        source="lead",
        task_id=request.key,
        usage=_together(facts, draft, stored),
    )


def _row(ctx: RunContext, request: LeadRequest) -> Record:
    """The lead as a record; its time is the run's, for a replay must pass on the very same row."""
    data = {name: value for name in sorted(_LEAD_FIELDS) if (value := getattr(request, name))}
    provenance = Provenance(
        source=request.source,
        row_id=request.key,
        sha256=content_hash(data),
        retrieved_at=ctx.now(),
    )
    return Record(data=data, provenance=provenance)


def _question(request: LeadRequest, profile: SectorProfile) -> dict[str, Any]:
    terms = [request.product, profile.topic, profile.search, request.sector, request.sub_industry]
    filters = {"collection": request.collection} if request.collection else {}
    return {"query": " ".join(filter(None, terms)), "limit": request.facts, "filters": filters}


def _order(
    request: LeadRequest, profile: SectorProfile, row: Record, facts: Envelope
) -> dict[str, Any]:
    return {
        "company": request.company,
        "sector": request.sector,
        "sub_industry": request.sub_industry,
        "location": request.location,
        "product": request.product,
        "campaign": request.campaign,
        "sender": request.sender,
        "tone": request.tone,
        "max_words": request.max_words,
        "topic": profile.topic,
        "concern": profile.concern,
        "keywords": profile.search,
        "lead": row.model_dump(mode="json"),
        "facts": [fact.model_dump(mode="json") for fact in facts.records],
    }


def _storage(request: LeadRequest, draft: Record) -> dict[str, Any]:
    """One draft per company and campaign: the same campaign run again replaces it."""
    key = f"{request.campaign}/{request.key}"
    return {"table": DRAFTS, "writes": [{"key": key, "record": draft.model_dump(mode="json")}]}


def _together(*envelopes: Envelope) -> Usage:
    return sum((envelope.metadata.usage for envelope in envelopes), Usage())
