"""`muster flows show` of plain functions: the drawing that they were registered with."""

from __future__ import annotations

import asyncio
import json
import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

import agents.builtin
import orchestrators.builtin  # noqa: F401 - registers the flow
from agents.db_write import RecordStore
from agents.db_write.sqlite_records import SqliteRecords
from agents.knowledge import KnowledgeBase, SourceDocument
from agents.knowledge.sqlite_knowledge import SqliteKnowledge
from agents.llm.offline_model import OfflineModel
from agents.providers import provide
from control.cli.flows import flows
from control.cli.group import MusterGroup
from envelope import Envelope
from envelope.ports.journal_rows import RunState, Step
from orchestrators import FLOWS, orchestrator
from orchestrators.flow import Node, call
from tests.rig.engine_rig import rigged
from tests.rig.flows import Words

PAYLOAD = {"company": "Acme", "symbol": "ACM", "sector": "Financials"}
DOCUMENT = SourceDocument("docs/a.md", "# Audit\n\nEvery record carries its provenance.\n")


@orchestrator("cli-flows-plain")
async def plain(ctx: Any, request: Words) -> Envelope:
    return Envelope.from_records([], source="plain")


@orchestrator("cli-flows-drawn", drawing=call("a", key="first") >> call("b", key="second"))
async def drawn(ctx: Any, request: Words) -> Envelope:
    return Envelope.from_records([], source="drawn")


def show(*arguments: str, home: Path) -> Result:
    root = MusterGroup(name="muster", commands={"flows": flows})
    environment = {"MUSTER_HOME": str(home), "COLUMNS": "200"}
    return CliRunner(env=environment).invoke(root, ["flows", "show", *arguments])


def steps_of_a_run(home: Path) -> list[Step]:
    """The agents' steps of a real run of `lead`, in their order."""
    knowledge: KnowledgeBase = SqliteKnowledge(home / "k.sqlite3")
    knowledge.ingest([DOCUMENT])
    records: RecordStore = SqliteRecords(home / "r.sqlite3")

    async def scenario() -> list[Step]:
        async with rigged() as rig:
            resources = rig.worker("a").engine.parts.resources
            provide(
                resources, knowledge=lambda: knowledge, records=lambda: records, model=OfflineModel
            )
            run_id = await rig.accept("lead", PAYLOAD)
            await rig.execute(run_id)
            run = await rig.until_ended(run_id)
            assert run.state is RunState.SUCCEEDED, run.failure
            return [step for step in await rig.journal.steps(run_id) if step.kind == "agent"]

    made = asyncio.run(scenario())
    records.close()
    knowledge.close()
    assert agents.builtin.__all__
    return made


def test_the_drawing_of_lead_names_the_steps_of_its_runs(tmp_path: Path) -> None:
    steps = steps_of_a_run(tmp_path)
    names = [step.step for step in steps]
    assert names == ["research", "draft", "store"]
    tree = json.loads(show("lead", "--json", home=tmp_path).stdout)["tree"]
    assert re.findall(r"─ (.+)", tree) == names
    chart = show("lead", "--mermaid", home=tmp_path).stdout
    boxes = re.findall(r'(n\d+)\["(.+)"\]', chart)
    assert [name for _, name in boxes] == names
    numbers = [number for number, _ in boxes]
    arrows = list(pairwise(numbers))
    assert re.findall(r"(n\d+) --> (n\d+)", chart) == arrows
    drawing = FLOWS.get("lead").drawing
    assert isinstance(drawing, Node)
    called = [part.node.agent for part in drawing.parts]  # type: ignore[attr-defined] # steps all
    assert called == [step.agent for step in steps]


def test_a_plain_function_is_shown_with_its_drawing(tmp_path: Path) -> None:
    shown = show("cli-flows-drawn", home=tmp_path)
    assert "├─ first\n└─ second" in shown.stdout
    assert "plain function" not in shown.output


def test_without_a_drawing_it_says_where_the_steps_are(tmp_path: Path) -> None:
    shown = show("cli-flows-plain", home=tmp_path)
    assert "muster runs show" in shown.stderr
    assert "drawing=" in shown.stderr
    assert json.loads(show("cli-flows-plain", "--json", home=tmp_path).stdout)["tree"] is None
    chart = show("cli-flows-plain", "--mermaid", home=tmp_path).stdout
    assert chart == 'flowchart TD\n    n1["cli-flows-plain"]\n'


@pytest.mark.parametrize("name", ["lead", "cli-flows-drawn"])
def test_a_drawing_changes_nothing_about_the_function(name: str) -> None:
    assert asyncio.iscoroutinefunction(FLOWS.get(name).function)
