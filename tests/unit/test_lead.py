"""The lead flow over real stores and the offline model."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import agents.builtin
import orchestrators.builtin  # noqa: F401 - registers the flow
from agents.db_write import RecordStore
from agents.knowledge import KnowledgeBase, SourceDocument
from agents.providers import knowledge_base, language_model, provide, record_store
from control.leads import SAMPLE, read_leads
from envelope import Envelope, Record
from envelope.errors import InvalidInput
from envelope.failure import StepFailed
from envelope.resources import Resources
from orchestrators import FLOWS, run_inline
from orchestrators.lead import LeadRequest
from orchestrators.sectors import sector_profile
from tests.rig.agent_step import AgentStep

DOCUMENTS = [
    SourceDocument(
        "docs/audit.md",
        "# Audit\n\nEvery record carries its provenance, so an auditor can walk it back to its "
        "source. The journal keeps each committed step.\n",
    ),
    SourceDocument(
        "docs/crash.md",
        "# Crashes\n\nA killed worker's runs resume from the last committed step on another "
        "worker. Muster finds them by their lapsed lease.\n",
    ),
]
REQUEST = {"company": "Alder & Pike Bank", "symbol": "ALDR", "sector": "Financials"}


@pytest.fixture
def resources(tmp_path: Path) -> Iterator[Resources]:
    made = Resources()
    provide(
        made,
        knowledge=lambda: knowledge_base(None, tmp_path),
        records=lambda: record_store(None, tmp_path),
        model=lambda: language_model(None, None, "unused", 1.0),
    )
    made.get(KnowledgeBase).ingest(DOCUMENTS)  # type: ignore[type-abstract] # a port
    yield made
    made.close()


def run(resources: Resources, request: dict[str, Any] | LeadRequest = REQUEST) -> Envelope:
    return asyncio.run(run_inline("lead", request, resources=resources, user="u", thread="t"))


def test_the_draft_comes_first_and_the_lead_second(resources: Resources) -> None:
    made = run(resources)
    assert made.status == "success"
    draft, row = made.records
    assert draft.provenance.source == "copywriter"
    assert draft.data["company"] == "Alder & Pike Bank"
    assert row.data == REQUEST
    assert (row.provenance.source, row.provenance.row_id) == ("leads.csv", "ALDR")
    assert (made.metadata.source, made.metadata.task_id) == ("lead", "ALDR")
    assert made.metadata.usage.requests == 1


def test_lineage_leads_to_the_documents(resources: Resources) -> None:
    draft, row = run(resources).records
    assert draft.provenance.derived_from[0] == row.id
    passages = _facts(resources)
    parents = [passages[parent] for parent in draft.provenance.derived_from[1:]]
    texts = {document.path: document.text for document in DOCUMENTS}
    assert parents
    for parent in parents:
        path, _, offset = parent.provenance.row_id.partition("#")
        text = str(parent.data["text"])
        assert texts[path][int(offset) :].startswith(text)


def _facts(resources: Resources) -> dict[str, Record]:
    """The records that the flow's research finds: the same query gives the same ids."""
    profile = sector_profile("Financials")
    query = f"Muster {profile.topic} {profile.search} Financials"
    found = AgentStep(resources).run("rag", {"query": query, "limit": 6})
    return {record.id: record for record in found.records}


def test_the_draft_is_stored_once_per_campaign(resources: Resources) -> None:
    store = resources.get(RecordStore)  # type: ignore[type-abstract] # a port
    first = run(resources)
    run(resources)
    assert store.count("drafts", "default") == 1
    row = store.read("drafts", "default", "demo/ALDR")
    assert row is not None
    assert row.record.id == first.records[0].id
    run(resources, REQUEST | {"campaign": "spring"})
    assert store.count("drafts", "default") == 2


def test_different_sectors_get_different_letters(resources: Resources) -> None:
    bank = run(resources).records[0].data
    power = run(resources, REQUEST | {"sector": "Utilities"}).records[0].data
    assert "provenance" in str(bank["body"])
    assert "resume" in str(power["body"])
    assert bank["subject"] != power["subject"]


def test_nothing_known_means_nothing_written(resources: Resources) -> None:
    store = resources.get(KnowledgeBase)  # type: ignore[type-abstract] # a port
    store.ingest([SourceDocument("a.md", "Rhubarb grows best beside a wall.\n")])
    made = run(resources)
    assert (made.status, made.records, made.error) == ("no_results", (), None)
    assert made.metadata.source == "knowledge"
    assert "provenance" in str(made.metadata.filters["query"])
    records = resources.get(RecordStore)  # type: ignore[type-abstract] # a port
    assert records.count("drafts", "default") == 0


def test_an_empty_store_fails_the_step_and_says_what_to_do(tmp_path: Path) -> None:
    empty = Resources()
    provide(
        empty,
        knowledge=lambda: knowledge_base(None, tmp_path),
        records=lambda: record_store(None, tmp_path),
        model=lambda: language_model(None, None, "unused", 1.0),
    )
    with pytest.raises(StepFailed, match="Ingest a folder"):
        run(empty)
    empty.close()


def test_a_collection_is_searched_alone(resources: Resources) -> None:
    store = resources.get(KnowledgeBase)  # type: ignore[type-abstract] # a port
    text = "Every record of this product carries a provenance that an auditor can read.\n"
    store.ingest([SourceDocument("other/audit.md", text)], "other")
    letters = {
        name: str(run(resources, REQUEST | {"collection": name}).records[0].data["body"])
        for name in ("default", "other")
    }
    assert "of this product" in letters["other"]
    assert "of this product" not in letters["default"]


@pytest.mark.parametrize(
    "payload",
    [
        {},
        {"company": ""},
        {"company": "Acme\r\nBcc: x@y.z"},
        {"company": "Acme", "sector": 7},
        {"company": "Acme", "recipient": "x@y.z"},
        {"company": "Acme", "facts": 0},
        {"company": "x" * 201},
    ],
)
def test_a_payload_of_the_wrong_shape_is_refused(
    resources: Resources, payload: dict[str, Any]
) -> None:
    with pytest.raises(InvalidInput, match="LeadRequest"):
        run(resources, payload)


def test_the_flow_is_registered_as_announced() -> None:
    flow = FLOWS.get("lead")
    assert (flow.version, flow.singleton, flow.on_conflict) == (1, "run:{user}:{thread}", "queue")
    assert {"copywriter", "db_write", "rag"} <= set(agents.builtin.__all__)


def test_every_sector_of_the_sample_has_a_profile_of_its_own() -> None:
    sectors = {lead.sector for lead in read_leads(SAMPLE)}
    assert len(sectors) == 11
    assert len({sector_profile(sector) for sector in sectors}) == 11
    assert sector_profile(" health  CARE ") == sector_profile("Health Care")
    assert sector_profile("Alchemy") == sector_profile("")


def test_every_lead_of_the_sample_gets_a_letter(resources: Resources) -> None:
    made = [run(resources, lead) for lead in read_leads(SAMPLE, campaign="sample")]
    bodies = {str(envelope.records[0].data["body"]) for envelope in made}
    assert len(bodies) == 12
    assert all(envelope.records[0].data["unsupported_claims"] == [] for envelope in made)
