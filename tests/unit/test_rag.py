"""The rag agent over a real store."""

from __future__ import annotations

from pathlib import Path

import pytest

from agents.knowledge import EmptyQuery, KnowledgeBase, NoKnowledge, SourceDocument
from agents.knowledge.document import Block
from agents.knowledge.sqlite_knowledge import SqliteKnowledge
from agents.rag import RagFilters, RagRequest
from agents.registry import AGENTS
from envelope.canonical import sha256_hex
from envelope.errors import InvalidInput
from envelope.resources import Resources
from tests.rig.agent_step import AgentStep

TEXT = "# Locks\n\nA lock has an owner.\n\n# Mail\n\nA mail is drafted first.\n"


@pytest.fixture
def step(tmp_path: Path) -> AgentStep:
    resources = Resources()
    store = SqliteKnowledge(tmp_path / "k.sqlite3")
    resources.provide(KnowledgeBase, lambda: store)  # type: ignore[type-abstract] # a port
    store.ingest([SourceDocument("docs/a.md", TEXT)])
    return AgentStep(resources)


def test_a_record_cites_its_document(step: AgentStep) -> None:
    made = step.run("rag", RagRequest(query="Who owns a lock?"))
    assert made.status == "success"
    record = made.records[0]
    assert record.provenance.source == "docs/a.md"
    assert record.provenance.row_id == f"docs/a.md#{TEXT.index('A lock')}"
    assert record.provenance.agent == "rag"
    assert record.data["text"] == "A lock has an owner."
    assert record.data["heading"] == "Locks"
    assert record.data["text_sha256"] == sha256_hex("A lock has an owner.")
    assert record.data["document_sha256"] == sha256_hex(TEXT)
    assert isinstance(record.data["score"], float)
    assert {"page", "row", "metadata"}.isdisjoint(record.data)


def test_a_record_of_a_pdf_or_table_cites_page_and_row(step: AgentStep) -> None:
    store = step.resources.get(KnowledgeBase)  # type: ignore[type-abstract] # a port
    block = Block(start=0, end=16, page=3, row=7)
    store.ingest([SourceDocument("b", "An anchor holds.", blocks=(block,), metadata={"a": "b"})])
    filters = {"document": "b", "metadata": {"a": "b"}}
    made = step.run("rag", {"query": "anchor", "filters": filters})
    data = made.records[0].data
    assert (data["page"], data["row"], data["metadata"]) == (3, 7, {"a": "b"})
    assert made.metadata.filters == {"query": "anchor", **filters}


def test_the_same_search_gives_the_same_record_ids(step: AgentStep) -> None:
    request = {"query": "lock mail", "limit": 2}
    first, second = step.run("rag", request), step.run("rag", request)
    assert [r.id for r in first.records] == [r.id for r in second.records]
    assert len(first.records) == 2


def test_nothing_found_is_no_results(step: AgentStep) -> None:
    made = step.run("rag", RagRequest(query="zebra", filters=RagFilters(path_prefix="docs/")))
    assert (made.status, made.records, made.error) == ("no_results", (), None)
    assert made.metadata.filters == {"query": "zebra", "path_prefix": "docs/"}


def test_filters_reach_the_store(step: AgentStep) -> None:
    with pytest.raises(NoKnowledge):
        step.run("rag", {"query": "lock", "filters": {"collection": "other"}})
    made = step.run("rag", {"query": "lock", "filters": {"path_prefix": "other/"}})
    assert made.status == "no_results"


@pytest.mark.parametrize(
    "request_", [{}, {"query": ""}, {"query": "x", "limit": 0}, {"query": "x" * 20_001}]
)
def test_a_request_of_the_wrong_shape_is_refused(
    step: AgentStep, request_: dict[str, object]
) -> None:
    with pytest.raises(InvalidInput, match="RagRequest"):
        step.run("rag", request_)


def test_a_query_without_words_is_refused(step: AgentStep) -> None:
    with pytest.raises(EmptyQuery):
        step.run("rag", {"query": "???"})


def test_it_runs_inline() -> None:
    assert AGENTS.get("rag").inline
