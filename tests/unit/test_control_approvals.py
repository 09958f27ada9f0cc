"""People decide: who may, upon what, and that neither agents nor flows do."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from pydantic import BaseModel

from agents import agent
from control import AsyncMuster, CampaignManager
from control.async_manager import AsyncCampaignManager
from control.people_only import check_person
from envelope import Envelope
from envelope.approval import ApprovalRequest, ApprovalState
from envelope.effect import Effect, EffectState
from envelope.errors import (
    ApprovalRefused,
    EffectConflict,
    InvalidInput,
    UnknownApproval,
    UnknownEffect,
    UnknownRun,
)
from envelope.ids import new_id
from envelope.ports.journal_rows import RunState
from envelope.ports.ledger import ApprovalRow, Conclusion, Intent, NewApproval, Suppression
from orchestrators import orchestrator
from tests.rig import delivery_flows
from tests.rig.delivery_flows import SENT
from tests.rig.flows import Words
from tests.services.waiting import wait_until
from tests.unit.test_control_backend import RecordingQueue, ToldWakeups, backend_over
from worker.delivery.deciding import leave_decisions_to_others
from worker.settings import Settings


@pytest.fixture(autouse=True)
def _fresh() -> None:
    delivery_flows.reset()


class Office:
    """A client over a journal that no worker serves, with one run that asks."""

    def __init__(self, muster: AsyncMuster, queue: RecordingQueue, wakeups: ToldWakeups) -> None:
        self.muster = muster
        self.queue = queue
        self.wakeups = wakeups

    async def ask(
        self, *, content: str = '{"text":"hi"}', role: str = "approver", user: str = "eve"
    ) -> ApprovalRow:
        run = await self.muster.enqueue("one", {"text": "x"}, user=user)
        backend = (await self.muster.manager()).backend
        claim = await backend.journal.claim(run.id, "w")
        assert claim is not None
        effect = Effect(channel="email", recipients=["a"], content=content)
        new = NewApproval(
            approval_id=new_id(),
            run_id=run.id,
            epoch=claim.run.epoch,
            tenant="default",
            requester=user,
            channel="email",
            content=content,
            content_sha256=effect.sha256,
            title="A mail",
            role=role,
            expires_seconds=60,
        )
        return await backend.ledger.ask_approval(new)


@asynccontextmanager
async def office(**settings: Any) -> AsyncIterator[Office]:
    queue, wakeups = RecordingQueue(), ToldWakeups()
    backend = backend_over(queue=queue, wakeups=wakeups)
    backend.settings = Settings(**settings)
    async with AsyncMuster(manager=AsyncCampaignManager(backend)) as muster:
        yield Office(muster, queue, wakeups)


def test_a_person_approves_and_the_worker_that_holds_the_run_is_told() -> None:
    async def scenario() -> None:
        async with office() as one:
            row = await one.ask()
            shown = await one.muster.approvals.show(row.approval_id[-8:])
            assert shown.content == '{"text":"hi"}'
            told = await one.muster.approvals.approve(
                row.approval_id, by="ada", reason="fine", sha256=shown.content_sha256
            )
            assert (told.state, told.decided_by, told.reason) == (
                ApprovalState.APPROVED,
                "ada",
                "fine",
            )
            assert ("w", f"signal {row.run_id}") in one.wakeups.told
            (found,) = await one.muster.approvals.list(state="approved", run=row.run_id)
            assert found.approval_id == row.approval_id
            assert not await one.muster.approvals.list(state="pending")

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("by", "role", "approvers", "why"),
    [
        ("eve", "approver", "", "another person must decide"),
        (" EVE ", "approver", "", "another person must decide"),
        ("bob", "approver", "ada,bob:legal", "'bob' has not the role 'approver'"),
        ("ada", "legal", "ada,bob:legal", "'ada' has not the role 'legal'"),
        ("eve", "approver", "eve,ada", "another person must decide"),
        ("", "approver", "", "takes the name of the person"),
    ],
)
def test_who_may_not_decide_changes_nothing(by: str, role: str, approvers: str, why: str) -> None:
    async def scenario() -> None:
        async with office(approvers=approvers) as one:
            row = await one.ask(role=role)
            for decide in (one.muster.approvals.approve, one.muster.approvals.reject):
                with pytest.raises(ApprovalRefused, match=why):
                    await decide(row.approval_id, by=by)
            assert (await one.muster.approvals.show(row.approval_id)).state == "pending"

    asyncio.run(scenario())


def test_a_decision_is_for_what_was_shown_and_is_final() -> None:
    async def scenario() -> None:
        async with office(approvers="ada,bob:legal") as one:
            row = await one.ask()
            with pytest.raises(ApprovalRefused, match="another content"):
                await one.muster.approvals.approve(row.approval_id, by="ada", sha256="0" * 64)
            await one.muster.approvals.reject(row.approval_id, by="ada")
            with pytest.raises(ApprovalRefused, match="rejected"):
                await one.muster.approvals.approve(row.approval_id, by="ada")
            legal = await one.ask(role="legal")
            assert (await one.muster.approvals.approve(legal.approval_id, by="bob")).decided_by

    asyncio.run(scenario())


def test_names_that_fit_none_or_several_are_told() -> None:
    async def scenario() -> None:
        async with office() as one:
            row = await one.ask()
            other = await one.ask()
            with pytest.raises(UnknownApproval, match="muster approvals list"):
                await one.muster.approvals.show("nothing-like-it")
            common = row.approval_id[:8]
            if other.approval_id.startswith(common):
                with pytest.raises(InvalidInput, match="names 2 approvals"):
                    await one.muster.approvals.show(common)
            with pytest.raises(UnknownApproval):
                await one.muster.approvals.show(row.approval_id, tenant="other")
            with pytest.raises(UnknownApproval):
                await one.muster.approvals.approve(row.approval_id, by="ada", tenant="other")
            with pytest.raises(InvalidInput, match="There is no approval state"):
                await one.muster.approvals.list(state="perhaps")

    asyncio.run(scenario())


def test_signals_of_the_engine_cannot_be_forged() -> None:
    async def scenario() -> None:
        async with office() as one:
            row = await one.ask()
            run = await one.muster.get(row.run_id)
            with pytest.raises(InvalidInput, match="the engine's own"):
                await run.signal(f"muster.approval.{row.approval_id}", {"state": "approved"})

    asyncio.run(scenario())


OFFICE: dict[str, Any] = {}


class Deed(BaseModel):
    what: str


async def _tried(what: str) -> str:
    """Do what only people may; return how it was refused."""
    muster: AsyncMuster = OFFICE["muster"]
    deeds = {
        "approve": lambda: muster.approvals.approve(OFFICE["approval"], by="ada"),
        "reject": lambda: muster.approvals.reject(OFFICE["approval"], by="ada"),
        "settle": lambda: muster.effects.settle("k", "failed", by="ada"),
        "lift": lambda: muster.suppressions.remove("a@b.example", by="ada"),
    }
    try:
        await deeds[what]()
    except ApprovalRefused as error:
        return str(error)
    return "done"


@agent("deed-doer", inline=True)
async def deed_doer(ctx: Any, request: Deed) -> Envelope:
    return Envelope.from_records([{"told": await _tried(request.what)}], source="deed")


@agent("deed-doer-plain", inline=True)
def deed_doer_plain(ctx: Any, request: Deed) -> Envelope:
    """In a thread, with a client for synchronous code."""
    manager: CampaignManager = OFFICE["manager"]
    try:
        manager.approvals.approve("0" * 36, by="ada")
    except ApprovalRefused as error:
        return Envelope.from_records([{"told": str(error)}], source="deed")
    return Envelope.from_records([{"told": "done"}], source="deed")


@orchestrator("deed-flow")
async def deed_flow(ctx: Any, request: Deed) -> Envelope:
    own = await _tried(request.what)

    async def looked() -> str:
        return await _tried(request.what)

    at_once = await ctx.once(looked)
    made = await ctx.call("deed-doer", {"what": request.what})
    rows = [{"own": own, "once": at_once, "agent": made.records[0].data["told"]}]
    return Envelope.from_records(rows, source="deed")


@orchestrator("deed-flow-plain")
async def deed_flow_plain(ctx: Any, request: Deed) -> Envelope:
    return await ctx.call("deed-doer-plain", {"what": request.what})


@pytest.mark.parametrize("what", ["approve", "reject", "settle", "lift"])
def test_neither_an_agent_nor_a_flow_decides(what: str) -> None:
    async def scenario() -> None:
        async with office() as one:
            OFFICE.update(muster=one.muster, approval=(await one.ask()).approval_id)
            async with await AsyncCampaignManager.in_process() as manager:
                run = await manager.ingest_event({"flow": "deed-flow", "payload": {"what": what}})
                (record,) = (await run.result(10)).records
            assert set(record.data) == {"own", "once", "agent"}
            assert str(record.data["own"]).startswith(f"The flow of run {run.id} cannot")
            assert str(record.data["once"]).startswith(f"The flow of run {run.id} cannot")
            assert str(record.data["agent"]).startswith("Agent 'deed-doer' cannot")

    asyncio.run(scenario())


def test_a_plain_agent_does_not_either() -> None:
    with CampaignManager() as manager:
        OFFICE["manager"] = manager
        run = manager.ingest_event({"flow": "deed-flow-plain", "payload": {"what": "approve"}})
        told = run.result(10).records[0].data["told"]
    assert told == "Agent 'deed-doer-plain' cannot approve: that is left to people."


def test_a_worker_process_decides_nothing_in_any_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worker.delivery.deciding._EXECUTES_AGENTS", threading.Event())
    told: list[str] = []

    def decide() -> None:
        with pytest.raises(ApprovalRefused) as refused:
            check_person("ada", "approve")
        told.append(str(refused.value))

    assert check_person("ada", "approve") == "ada"
    leave_decisions_to_others()
    thread = threading.Thread(target=decide)
    thread.start()
    thread.join()
    assert told[0].startswith("A worker's process cannot approve: that is left to people.")


def test_the_runs_of_other_tenants_look_like_none() -> None:
    async def scenario() -> None:
        async with office() as one:
            row = await one.ask()
            asked = one.muster.approvals.list, one.muster.effects.list
            assert len(await one.muster.approvals.list(run=row.run_id, tenant="default")) == 1
            assert not await one.muster.effects.list(run=row.run_id[-8:], tenant="default")
            for listed in asked:
                for theirs, nobodys in ((row.run_id, "0" * 36), (row.run_id[-8:], "0" * 8)):
                    told = [await _refusal(listed, name) for name in (theirs, nobodys)]
                    assert told[0].replace(theirs, "X") == told[1].replace(nobodys, "X")

    asyncio.run(scenario())


async def _refusal(listed: Any, name: str) -> str:
    with pytest.raises(UnknownRun) as refused:
        await listed(run=name, tenant="other")
    return str(refused.value)


@orchestrator("consent-here")
async def consent_here(ctx: Any, request: Words) -> Envelope:
    given = await ctx.approve(ApprovalRequest(channel="email", content=request.text))
    return Envelope.from_records([{"by": given.by}], source="consent")


def test_without_a_queue_another_thread_decides() -> None:
    with CampaignManager() as manager:
        made: list[Any] = []
        event = {"flow": "consent-here", "payload": {"text": "x"}}
        thread = threading.Thread(target=lambda: made.append(manager.ingest_event(event)))
        thread.start()
        pending = wait_until(lambda: manager.approvals.list(state="pending"), 10, "a request")
        assert manager.approvals.show(pending[0].approval_id).content == "x"
        manager.approvals.approve(pending[0].approval_id, by="ada")
        thread.join(10)
        assert made[0].result(10).records[0].data == {"by": "ada"}


def test_the_whole_delivery_works_without_a_queue(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MUSTER_ALLOW_DELIVERY", "true")
    monkeypatch.setenv("MUSTER_APPROVAL_CHANNELS", "post")

    async def scenario() -> None:
        async with await AsyncCampaignManager.in_process() as manager:
            muster = AsyncMuster(manager=manager)
            letter = await manager.ingest_event({"flow": "letter", "payload": {}, "user": "eve"})
            payload = {
                "drafts": [{"run_id": letter.id, "to": "ada@example.com"}],
                "channel": "post",
            }
            event = {
                "flow": "delivery",
                "payload": payload,
                "user": "eve",
                "allow_delivery": True,
            }
            going = asyncio.create_task(manager.ingest_event(event))
            async with asyncio.timeout(10):
                while not (asked := await muster.approvals.list(state="pending")):
                    await asyncio.sleep(0.005)
            with pytest.raises(ApprovalRefused):
                await muster.approvals.approve(asked[0].approval_id, by="eve")
            assert not SENT
            await muster.approvals.approve(asked[0].approval_id, by="ada")
            run = await going
            assert await run.status() is RunState.SUCCEEDED
            assert (await run.result()).records[0].data["receipt"] == {"id": "id-1"}
            (effect,) = await muster.effects.list(run=run.id, recipient="ADA@example.com")
            assert effect.state is EffectState.SENT
            assert (await muster.effects.show(effect.key)).approval_id == asked[0].approval_id

    asyncio.run(scenario())


def test_effects_are_listed_and_settled() -> None:
    async def scenario() -> None:
        async with office() as one:
            row = await one.ask()
            ledger = (await one.muster.manager()).backend.ledger
            epoch = (await (await one.muster.get(row.run_id)).row()).epoch
            intent = Intent(
                key="k",
                run_id=row.run_id,
                step="s",
                attempt=1,
                tenant="default",
                channel="email",
                recipients=["a@b.example"],
                content_sha256="0" * 64,
                epoch=epoch,
            )
            assert (await ledger.intend(intent)).go
            told = Conclusion(key="k", tenant="default", tries=1, state=EffectState.UNKNOWN)
            await ledger.conclude(told)
            (found,) = await one.muster.effects.list(state="unknown", recipient="A@B.example")
            assert found.key == "k"
            with pytest.raises(InvalidInput, match="sent or failed"):
                await one.muster.effects.settle("k", "unknown", by="ada")
            with pytest.raises(UnknownEffect):
                await one.muster.effects.settle("other", "sent", by="ada")
            with pytest.raises(UnknownEffect):
                await one.muster.effects.show("k", tenant="other")
            settled = await one.muster.effects.settle("k", "sent", by="ada", reason="seen")
            assert (settled.state, settled.settled_by) == (EffectState.SENT, "ada")
            with pytest.raises(EffectConflict):
                await one.muster.effects.settle("k", "failed", by="ada")
            with pytest.raises(InvalidInput, match="There is no effect state"):
                await one.muster.effects.list(state="lost")

    asyncio.run(scenario())


def test_suppressions_are_one_spelling_and_one_recipient() -> None:
    async def scenario() -> None:
        async with office() as one:
            rows = one.muster.suppressions
            made = await rows.add(" Ada@Example.COM ", reason="asked us", by="ada")
            assert made.recipient == "ada@example.com"
            (found,) = await rows.list(recipient="ADA@example.com")
            assert (found.channel, found.reason, found.by) == ("*", "asked us", "ada")
            assert not await rows.list(tenant="other")
            for wrong in ("", " ", "*@example.com"):
                with pytest.raises(InvalidInput, match="one recipient"):
                    await rows.add(wrong)
            assert await rows.remove("Ada@example.com", by="ada", channel="email") is False
            assert await rows.remove("Ada@example.com", by="ada") is True
            assert not await rows.list()

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("recipient", "channel"),
    [
        ("not an address", "*"),
        ("ada@", "*"),
        ("ada@example.com, bob@example.com", "*"),
        ("Ada <ada@example.com>", "email"),
        ("https://hooks.example.com/path", "*"),
        ("hooks.example.com", "email"),
        ("ada@example.com", "webhook"),
        ("127.1", "webhook"),
        ("+49\t170", "sms"),
    ],
)
def test_who_cannot_be_reached_is_not_suppressed(recipient: str, channel: str) -> None:
    async def scenario() -> None:
        async with office() as one:
            with pytest.raises(InvalidInput, match="nobody whom channel .* can reach. Name an"):
                await one.muster.suppressions.add(recipient, channel=channel)
            assert not await one.muster.suppressions.list()

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("recipient", "channel", "kept"),
    [
        ("Ada@M\u00fcller.example", "email", "ada@xn--mller-kva.example"),
        ("Hooks.Example.com", "*", "hooks.example.com"),
        ("2001:DB8::1", "webhook", "2001:db8::1"),
        ("192.0.2.1", "webhook", "192.0.2.1"),
        ("+49 170 1234", "sms", "+49 170 1234"),
    ],
)
def test_whom_a_channel_reaches_is_suppressed(recipient: str, channel: str, kept: str) -> None:
    async def scenario() -> None:
        async with office() as one:
            rows = one.muster.suppressions
            assert (await rows.add(recipient, channel=channel)).recipient == kept
            assert await rows.remove(recipient, by="ada", channel=channel)

    asyncio.run(scenario())


def test_what_was_suppressed_before_names_were_checked_can_be_lifted() -> None:
    async def scenario() -> None:
        async with office() as one:
            ledger = (await one.muster.manager()).backend.ledger
            old = Suppression(tenant="default", channel="*", recipient="not an address")
            await ledger.suppress(old)
            assert await one.muster.suppressions.remove("Not an address", by="ada")

    asyncio.run(scenario())
