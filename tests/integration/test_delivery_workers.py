"""Delivery by real worker processes: approved in a terminal, sent once, fenced when isolated."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from click.testing import CliRunner

from control import Muster, Run
from control.cli import muster as command
from envelope import Envelope
from envelope.effect import EffectState
from envelope.ids import new_id
from envelope.ports.journal_rows import RunState, StepState
from envelope.ports.journal_writes import Commit, NewRun, StepWrite, WorkerInfo
from tests.rig.cluster import Cluster
from tests.rig.delivery_flows import SINK_VARIABLE
from tests.services.waiting import wait_until
from worker.delivery.ledger_of import ledger_of
from worker.engine.cell import StepOrder, SubprocessCell
from worker.journal.open import journal_for
from worker.settings import Settings

FLOWS = "tests.rig.delivery_flows"
TO = "Ada@example.com"


@pytest.fixture
def cluster(
    tmp_path: Path, redis_url: str, database: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Cluster]:
    redis.Redis.from_url(redis_url).flushall()
    made = Cluster(tmp_path, redis_url, database)
    rules = {
        "MUSTER_INCLUDE": FLOWS,
        "MUSTER_ALLOW_DELIVERY": "true",
        "MUSTER_APPROVAL_CHANNELS": "post",
        "MUSTER_APPROVERS": "ada",
        SINK_VARIABLE: str(tmp_path / "sink.jsonl"),
    }
    for name, value in {**made.environment, **rules}.items():
        if name.startswith("MUSTER_"):
            monkeypatch.setenv(name, value)
    monkeypatch.setattr(Cluster, "environment", property(lambda _: dict(os.environ)))
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    try:
        yield made
    finally:
        made.stop()


def sunk(cluster: Cluster) -> list[list[str]]:
    sink = cluster.folder / "sink.jsonl"
    return [json.loads(line) for line in sink.read_text().splitlines()] if sink.exists() else []


def cli(*arguments: str, exit_code: int = 0) -> Any:
    done = CliRunner().invoke(command, [*arguments, "--json"])
    assert done.exit_code == exit_code, done.output
    return json.loads(done.stdout)


def deliver(muster: Muster, *letters: Run, **more: Any) -> Run:
    drafts = [{"run_id": letter.id, "to": TO} for letter in letters]
    payload = {"drafts": drafts, "channel": "post", **more}
    return muster.enqueue("delivery", payload, user="eve", allow_delivery=True)


@pytest.mark.timeout(180)
def test_an_approved_draft_is_sent_once_though_its_worker_dies_while_it_waits(
    cluster: Cluster,
) -> None:
    first = cluster.start()
    with Muster(Settings()) as muster:
        letter = muster.enqueue("letter", {"body": "Dear Ada"}, user="eve")
        assert letter.result(60).status == "success"
        run = deliver(muster, letter)
        wait_until(lambda: run.status() is RunState.WAITING, 30, "the run waits")
        shown = cli("runs", "show", run.id)
        assert "muster approvals show" in shown["why"]
        first.kill()
        (asked,) = cli("approvals", "list")["approvals"]
        assert (asked["title"], asked["requester"]) == (f"Post to {TO}", "eve")
        exact = cli("approvals", "show", asked["approval_id"])
        assert exact["content"]["text"] == "Hello\n\nDear Ada"
        for who in ("eve", "bob"):
            refused = cli(
                "approvals", "approve", asked["approval_id"], "--yes", "--by", who, exit_code=2
            )
            assert refused["error"]["code"] == "APPROVAL_REFUSED"
        told = cli("approvals", "approve", asked["approval_id"][-8:], "--yes", "--by", "ada")
        assert (told["status"], told["decided_by"]) == ("approved", "ada")
        assert not sunk(cluster)
        cluster.start()
        made = run.result(90)
        assert made.status == "success", made.error
        assert [text for _, text in sunk(cluster)] == ["Hello\n\nDear Ada"]
        again = deliver(muster, letter).result(60)
        assert again.records[0].data["sent_before"] is True
        assert len(sunk(cluster)) == 1
        (effect,) = cli("effects", "list", "--recipient", TO)["effects"]
        assert (effect["status"], effect["approval_id"]) == ("sent", asked["approval_id"])
        tree = cli("runs", "explain", run.id)["records"][0]
        sources = _sources(tree)
        assert {"delivery", "letter-writer", "docs/a.md", "crm"} <= sources


def _sources(tree: dict[str, Any]) -> set[str]:
    own = {tree["provenance"]["source"]} if tree["known"] else set()
    return own.union(*(_sources(parent) for parent in tree["derived_from"]))


@pytest.mark.timeout(120)
def test_a_suppression_and_a_rejection_keep_workers_from_sending(cluster: Cluster) -> None:
    cluster.start()
    with Muster(Settings()) as muster:
        letters = [muster.enqueue("letter", {"body": f"Letter {n}"}) for n in range(2)]
        for letter in letters:
            letter.result(60)
        cli("suppress", "add", TO, "--reason", "asked us", "--by", "ada")
        kept = deliver(muster, letters[0]).result(60)
        assert kept.status == "gated"
        assert kept.error is not None
        assert "muster suppress remove" in kept.error.message
        assert cli("suppress", "remove", "ADA@example.com")["removed"] is True
        run = deliver(muster, letters[1])
        wait_until(lambda: cli("approvals", "list")["approvals"], 30, "a request")
        (asked,) = cli("approvals", "list", "--run", run.id)["approvals"]
        cli("approvals", "reject", asked["approval_id"], "--by", "ada", "--reason", "no")
        wait_until(lambda: run.status() is RunState.FAILED, 30, "the run ended")
        failure = json.loads(run.row().failure or "")
        assert failure["code"] == "APPROVAL_REJECTED"
        assert "ada rejected" in failure["message"]
        assert not sunk(cluster)


@pytest.mark.timeout(90)
@pytest.mark.parametrize("claimed", [True, False])
def test_an_isolated_step_acts_in_the_name_of_the_worker_that_claimed_it(
    cluster: Cluster, claimed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MUSTER_APPROVAL_CHANNELS", "")

    async def scenario() -> None:
        journal = journal_for(Settings().journal_url)
        await journal.open()
        await journal.beat(WorkerInfo(worker_id="w", hostname="h", pid=1), 60)
        run_id, request = new_id(), json.dumps({"text": "alone"})
        new = NewRun(
            run_id=run_id,
            flow="acting",
            version=1,
            payload="{}",
            payload_sha256="x",
            source="t",
            allow_delivery=True,
        )
        await journal.accept(new)
        claim = await journal.claim(run_id, "w")
        assert claim is not None
        step = StepWrite(
            step="act",
            agent="act-queued",
            state=StepState.QUEUED,
            input_sha256="x",
            input=request,
            inline=False,
            attempt=0,
        )
        await journal.commit(Commit(run_id=run_id, epoch=claim.run.epoch, steps=[step]))
        taken = await journal.claim_step(run_id, "act", "w")
        assert taken is not None
        order = StepOrder(
            run_id=run_id,
            flow="acting",
            step="act",
            agent="act-queued",
            attempt=taken.step.attempt,
            tenant="default",
            user=None,
            thread=None,
            allow_delivery=True,
            trace_id=None,
            request=request,
            origin_id=claim.run.origin_id,
            executor="w" if claimed else "somebody else",
        )
        answer = await SubprocessCell().step(order, lambda *_: None)
        row = await ledger_of(journal).effect("default", f"{run_id}:act")
        await journal.close()
        assert answer is not None
        if claimed:
            assert answer.envelope is not None, answer.failure
            sent = Envelope.from_json(answer.envelope).records[0].data
            assert sent == {"key": f"{run_id}:act", "before": False}
            assert row is not None
            assert row.state is EffectState.SENT
        else:
            assert answer.failure is not None
            assert answer.failure.code == "FENCED"
            assert row is None
        assert len(sunk(cluster)) == claimed

    asyncio.run(scenario())
