"""Lineage: from a record to the passages that it was made from."""

from __future__ import annotations

import asyncio
import dataclasses
import io
from collections.abc import Awaitable, Callable

import pytest
from rich.console import Console

from control.cli.explain import lineage_tree
from control.lineage import Known, Lineage, read_lineage, summary
from envelope import Envelope
from envelope.errors import InvalidInput
from envelope.ports.journal_rows import Run, RunState
from envelope.record import Record
from orchestrators.delivery import DeliveryRequest, DraftToSend
from tests.rig import delivery_flows
from tests.rig.engine_rig import Rig, rigged

PASSAGE = Record.of({"text": "a fact"}, source="docs/a.md", row_id="docs/a.md#0")
OTHER = Record.of({"text": "another fact"}, source="docs/b.md", row_id="docs/b.md#7")
DRAFT = Record.of(
    {"subject": "s", "body": "b"},
    source="copywriter",
    model="offline-1",
    derived_from=(PASSAGE.id, OTHER.id),
)
REVIEW = Record.of({"fine": True}, source="review", derived_from=(DRAFT.id, PASSAGE.id))
LOST = Record.of({"x": 1}, source="x", derived_from=("rec_" + "0" * 32,))


def lineage(*records: Record) -> Lineage:
    return Lineage(Known(record, f"step {number}") for number, record in enumerate(records))


def test_the_tree_leads_from_a_record_to_its_sources_in_the_order_of_use() -> None:
    tree = lineage(PASSAGE, OTHER, DRAFT).ancestry(DRAFT.id)
    assert tree.record_id == DRAFT.id
    assert [parent.record_id for parent in tree.parents] == [PASSAGE.id, OTHER.id]
    assert [parent.parents for parent in tree.parents] == [(), ()]
    shown = tree.to_json()
    assert shown["step"] == "step 2"
    assert shown["provenance"]["model"] == "offline-1"
    assert shown["derived_from"][1]["data"] == {"text": "another fact"}
    assert shown["derived_from"][1]["provenance"]["row_id"] == "docs/b.md#7"


def test_an_ancestor_met_twice_is_told_once() -> None:
    tree = lineage(PASSAGE, OTHER, DRAFT, REVIEW).ancestry(REVIEW.id)
    draft, passage = tree.parents
    assert not draft.repeated
    assert passage.record_id == PASSAGE.id
    assert passage.repeated
    assert passage.parents == ()


def test_a_parent_outside_of_the_run_is_named_as_unknown() -> None:
    [parent] = lineage(LOST).ancestry(LOST.id).parents
    assert parent.known is None
    assert parent.to_json() == {"record": "rec_" + "0" * 32, "known": False, "derived_from": []}


def test_records_are_found_by_a_unique_beginning_with_or_without_the_prefix() -> None:
    found = lineage(PASSAGE, OTHER, DRAFT)
    assert found.find(DRAFT.id) == DRAFT.id
    assert found.find(DRAFT.id[:12]) == DRAFT.id
    assert found.find(DRAFT.id.removeprefix("rec_")[:8]) == DRAFT.id


def test_a_record_that_is_not_there_or_not_named_well_enough_is_refused() -> None:
    found = lineage(PASSAGE, OTHER, DRAFT)
    with pytest.raises(InvalidInput, match=r"has no record 'rec_zz'. It has: rec_"):
        found.find("rec_zz")
    with pytest.raises(InvalidInput, match="not enough"):
        found.find("rec_")
    with pytest.raises(InvalidInput, match="It has: none"):
        lineage().find("rec_abcdef")


def test_the_first_record_of_an_id_says_in_which_step_it_was_made() -> None:
    known = Lineage([Known(DRAFT, "draft"), Known(DRAFT, None)]).records[DRAFT.id]
    assert known.step == "draft"
    assert dataclasses.asdict(known)["step"] == "draft"


def test_a_summary_is_one_line_of_bounded_length() -> None:
    assert summary({"a": "x\n y", "b": None, "c": 3}, 40) == "a: x y · c: 3"
    long = summary({"a": "x" * 100}, 20)
    assert len(long) == 20
    assert long.endswith("…")


def following(body: Callable[[Rig], Awaitable[None]]) -> None:
    """Run `body` with a rig whose gate lets everything through."""

    async def go() -> None:
        async with rigged() as rig:
            await body(rig)

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MUSTER_ALLOW_DELIVERY", "true")
        delivery_flows.reset()
        asyncio.run(go())
        delivery_flows.reset()


async def delivered(rig: Rig, *letters: str) -> Run:
    drafts = tuple(DraftToSend(run_id=run_id, to="ada@example.com") for run_id in letters)
    payload = DeliveryRequest(channel="post", drafts=drafts).model_dump(mode="json")
    done = await rig.finish("delivery", payload, allow_delivery=True)
    assert done.state is RunState.SUCCEEDED, done.failure
    return done


def test_what_an_earlier_run_made_is_known_as_what_it_was_there() -> None:
    async def body(rig: Rig) -> None:
        letters = [(await rig.finish("letter", {"body": text})).run_id for text in ("A", "B")]
        done = await delivered(rig, *letters)
        assert done.envelope is not None
        lineage = await read_lineage(rig.journal, done)
        for record, source in zip(Envelope.from_json(done.envelope).records, letters, strict=True):
            tree = lineage.ancestry(record.id)
            draft, receipt = tree.parents
            assert [each.known.run_id for each in (tree, receipt) if each.known] == [
                done.run_id,
                done.run_id,
            ]
            assert draft.known is not None
            assert draft.known.run_id == source
            assert draft.known.step in await rig.steps(source)
            assert {each.known.run_id for each in draft.parents if each.known} <= set(letters)
            assert tree.to_json()["derived_from"][0]["run"] == source
            shown = io.StringIO()
            Console(file=shown, width=200).print(lineage_tree(tree))
            assert shown.getvalue().count(f"of run {source}") == 1, "named where it changes"

    following(body)


def test_a_run_that_is_gone_leaves_the_copies_that_were_read_of_it() -> None:
    async def body(rig: Rig) -> None:
        letter = await rig.finish("letter", {"body": "A"})
        done = await delivered(rig, letter.run_id)
        assert done.envelope is not None
        record = Envelope.from_json(done.envelope).records[0]
        with pytest.MonkeyPatch.context() as patch:
            known = rig.journal.run

            async def gone(run_id: str) -> Run | None:
                return None if run_id == letter.run_id else await known(run_id)

            patch.setattr(rig.journal, "run", gone)
            lineage = await read_lineage(rig.journal, done)
        draft, _ = lineage.ancestry(record.id).parents
        assert draft.known is not None
        assert (draft.known.run_id, draft.known.record.data["body"]) == (done.run_id, "A")
        assert all(parent.known for parent in draft.parents)

    following(body)
