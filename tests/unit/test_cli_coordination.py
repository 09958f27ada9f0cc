"""The commands that steer runs, replay dead letters, and show agents and locks."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from agents import agent
from control import AsyncMuster
from control.async_manager import AsyncCampaignManager
from control.cli import muster
from control.surroundings import Surroundings
from envelope import Envelope
from envelope.errors import QueueUnavailable
from envelope.ports.journal import Journal
from envelope.ports.journal_rows import RunFilter, RunState, Waits
from envelope.ports.journal_writes import Commit as RunCommit
from envelope.ports.journal_writes import NewRun, QuarantinedMessage, RunEnd, WorkerInfo
from envelope.ports.locks import LockInfo
from envelope.ports.permits import AgentPermits, PermitAsk, PermitHolder, PermitWaiter
from orchestrators import orchestrator
from tests.rig import flows
from tests.rig.flows import Words
from tests.unit.test_control_backend import AwayPermits, RecordingQueue, backend_over
from worker.backend import Backend
from worker.coordination.locks.in_process import InProcessLocks
from worker.coordination.permits.in_process import InProcessPermits
from worker.journal.open import journal_for
from worker.settings import Settings


@agent("cli-limited", concurrency=2, rate="60/min", inline=True)
async def limited(ctx: Any, request: Words) -> Envelope:
    return Envelope.from_records([], source="limited")


@orchestrator("cli-third-fails")
async def third_fails(ctx: Any, request: Words) -> Envelope:
    await ctx.call("shout", {"text": "first"}, key="first")
    await ctx.call("shout", {"text": "second"}, key="second")
    made: Envelope = await ctx.call(request.text, {"text": "[b]third"}, key="third")
    return made


@orchestrator("cli-single", singleton="run:{user}")
async def single(ctx: Any, request: Words) -> Envelope:
    return Envelope.from_records([], source="single")


@orchestrator("cli-joining", singleton="run:{user}", on_conflict="join")
async def joining(ctx: Any, request: Words) -> Envelope:
    return Envelope.from_records([], source="joining")


@orchestrator("cli-replacing", singleton="run:{user}", on_conflict="replace")
async def replacing(ctx: Any, request: Words) -> Envelope:
    return Envelope.from_records([], source="replacing")


@orchestrator("cli-rejecting", singleton="run:{user}", on_conflict="reject")
async def rejecting(ctx: Any, request: Words) -> Envelope:
    return Envelope.from_records([], source="rejecting")


class Terminal:
    """The commands over a journal in a file, a queue that nobody consumes, and told permits."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.queue = RecordingQueue()
        self.permits = InProcessPermits()
        self.locks = InProcessLocks()

    def __call__(self, *arguments: str, stdin: str | None = None) -> Result:
        return CliRunner().invoke(muster, list(arguments), input=stdin)

    def told(self, *arguments: str, code: int = 0, stdin: str | None = None) -> Any:
        """What a command says with --json: one document and nothing else."""
        result = self(*arguments, "--json", stdin=stdin)
        assert result.exit_code == code, result.output
        return json.loads(result.stdout)

    async def open(self, *_: Any, **__: Any) -> Backend:
        """What the commands connect to."""
        journal = journal_for(self.url)
        await journal.open()
        backend = backend_over(journal=journal, queue=self.queue)
        backend.permits, backend.locks = self.permits, self.locks
        return backend

    def journal(self, work: Callable[[Journal], Awaitable[Any]]) -> Any:
        async def session() -> Any:
            journal = journal_for(self.url)
            await journal.open()
            try:
                return await work(journal)
            finally:
                await journal.close()

        return asyncio.run(session())

    def execute(self, flow: str, text: str, **fields: Any) -> str:
        """Execute a run in this process."""

        async def scenario() -> str:
            journal = journal_for(self.url)
            await journal.open()
            async with AsyncMuster(
                manager=AsyncCampaignManager(backend_over(journal=journal))
            ) as client:
                return (await client.enqueue(flow, {"text": text}, **fields)).id

        return asyncio.run(scenario())

    def suspend(self, run_id: str, waits: Waits) -> None:
        """Begin a run and suspend it, as a worker would."""

        async def work(journal: Journal) -> None:
            claim = await journal.claim(run_id, "w1")
            assert claim is not None
            end = RunEnd(state=RunState.WAITING, waits=waits)
            await journal.commit(RunCommit(run_id=run_id, epoch=claim.run.epoch, end=end))

        self.journal(work)


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Terminal:
    flows.reset()
    terminal = Terminal(f"sqlite:///{tmp_path / 'journal.sqlite3'}")
    monkeypatch.setenv("MUSTER_DATABASE_URL", terminal.url)
    monkeypatch.setenv("MUSTER_HOME", str(tmp_path / "home"))
    for name in ("REDIS_URL", "MUSTER_REDIS_URL", "DATABASE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(Backend, "open", terminal.open)
    return terminal


def payload(text: str = "x") -> str:
    return json.dumps({"text": text})


def test_enqueue_says_when_how_much_and_behind_which_run(cli: Terminal) -> None:
    told = cli.told("enqueue", "cli-single", "--payload", payload(), "--user", "u")
    assert (told["status"], told["singleton"], told["behind"]) == ("queued", "default/run:u", None)
    second = cli.told("enqueue", "cli-single", "--payload", payload(), "--user", "u")
    assert (second["status"], second["behind"], second["sent"]) == (
        "waiting",
        told["run_id"],
        False,
    )
    human = cli("enqueue", "cli-single", "--payload", payload(), "--user", "u")
    assert f"behind run {second['run_id']}" in human.stdout or (
        f"behind run {told['run_id']}" in human.stdout
    )
    budget = cli.told(
        "enqueue", "one", "--payload", payload(), "--budget-tokens", "5", "--budget-usd", "0.5"
    )
    shown = cli.told("runs", "show", budget["run_id"])
    assert shown["budget"] == {"tokens": 5, "usd": 0.5}
    assert shown["spent"] == {"tokens": 0, "usd": 0.0}


def test_enqueue_says_what_became_of_a_conflict(cli: Terminal) -> None:
    ask = ("--payload", payload(), "--user", "u")
    first = cli.told("enqueue", "cli-joining", *ask)["run_id"]
    joined = cli.told("enqueue", "cli-joining", *ask)
    assert (joined["run_id"], joined["created"]) == (first, False)
    assert "it stands for this trigger" in cli("enqueue", "cli-joining", *ask).stdout
    refused = cli.told("enqueue", "cli-rejecting", *ask, code=2)
    assert refused["error"]["code"] == "SINGLETON_CONFLICT"
    replaced = cli.told("enqueue", "cli-replacing", *ask)
    assert replaced["replaced"] == [first]
    assert cli.told("runs", "show", first)["cancel_reason"].startswith("replaced by run ")
    assert f"it replaces {replaced['run_id']}" in cli("enqueue", "cli-replacing", *ask).stdout
    keyed = cli("enqueue", "one", "--payload", payload(), "--key", "k")
    assert "before" not in keyed.stdout
    assert "same key" in cli("enqueue", "one", "--payload", payload(), "--key", "k").stdout


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--at", "2030-01-31T09:00"], "time zone"),
        (["--at", "soon"], "ISO 8601"),
        (["--at", "2030-01-31T09:00Z", "--delay", "5"], "exclude"),
        (["--budget-tokens", "0"], "budget_tokens"),
    ],
)
def test_enqueue_refuses_what_makes_no_sense(cli: Terminal, options: list[str], words: str) -> None:
    told = cli.told("enqueue", "one", "--payload", payload(), *options, code=2)
    assert words in told["error"]["message"]


def test_a_signal_is_sent_from_the_terminal(cli: Terminal, tmp_path: Path) -> None:
    run_id = cli.told("enqueue", "one", "--payload", payload())["run_id"]
    cli.suspend(run_id, Waits(signals={"go": 0}))
    why = cli.told("runs", "show", run_id)["why"]
    assert "It waits for signal 'go'" in why
    assert "No worker is alive" in why
    assert "waits for signal" in cli("runs", "show", run_id).stdout
    sent = cli.told("runs", "signal", run_id[-9:], "go", "--data", '{"ok": true}')
    assert sent == {
        "run_id": run_id,
        "status": "queued",
        "signal": "go",
        "number": 1,
        "woken": True,
    }
    file = tmp_path / "data.json"
    file.write_text("[1]")
    assert cli.told("runs", "signal", run_id, "more", "--data", f"@{file}")["number"] == 2
    assert cli.told("runs", "signal", run_id, "more", "--data", "-", stdin="5")["number"] == 3
    kept = cli.journal(lambda journal: journal.signals(run_id))
    assert [json.loads(signal.data) for signal in kept] == [{"ok": True}, [1], 5]
    wrong = cli.told("runs", "signal", run_id, "go", "--data", "{", code=2)
    assert "not JSON" in wrong["error"]["message"]
    cli.told("runs", "cancel", run_id)
    assert "Signal 4" in cli("runs", "signal", run_id, "late").stdout


def test_a_signal_to_an_ended_run_has_exit_code_2(cli: Terminal) -> None:
    run_id = cli.told("enqueue", "one", "--payload", payload())["run_id"]
    cli.told("runs", "cancel", run_id)
    assert cli.told("runs", "signal", run_id, "go", code=2)["error"]["code"] == "RUN_ENDED"


def test_a_retry_from_the_terminal_keeps_or_repeats(cli: Terminal) -> None:
    source = cli.execute("cli-third-fails", "broken", tags={"a": "b"})
    again = cli.told("runs", "retry", source)
    assert (again["replay_of"], again["steps_done"], again["tags"]) == (source, 2, {"a": "b"})
    assert cli.told("runs", "show", source)["replayed_as"] == again["run_id"]
    assert cli.told("runs", "retry", source, "--from", "second")["steps_done"] == 1
    assert cli.told("runs", "retry", source, "--from-scratch")["steps_done"] == 0
    human = cli("runs", "retry", source)
    assert f"it repeats {source} but for the steps that succeeded." in human.stdout
    human = cli("runs", "retry", source, "--from", "second")
    assert f"it repeats {source} from step second on." in human.stdout
    wrong = cli.told("runs", "retry", source, "--from", "tenth", code=2)
    assert wrong["error"]["code"] == "VALIDATION_FAILED"
    both = ("--from", "second", "--from-scratch")
    assert "not both" in cli.told("runs", "retry", source, *both, code=2)["error"]["message"]


def test_children_are_listed_and_shown(cli: Terminal) -> None:
    parent = cli.execute("cli-third-fails", "shout")

    async def work(journal: Journal) -> None:
        new = NewRun(
            run_id="00000000-0000-7000-8000-000000000001",
            flow="one",
            version=1,
            payload="{}",
            payload_sha256="x",
            source="child",
            parent_id=parent,
            root_id=parent,
        )
        await journal.accept(new)

    cli.journal(work)
    [child] = cli.told("runs", "list", "--parent", parent[-12:])["runs"]
    assert (child["parent"], child["root"], child["status"]) == (parent, parent, "queued")
    shown = cli.told("runs", "show", parent)
    assert [run["run_id"] for run in shown["children"]] == [child["run_id"]]
    assert shown["why"] is None
    human = cli("runs", "show", parent).stdout
    assert "Children" in human
    assert child["run_id"] in human
    assert f"child of  {parent}"[:8] in cli("runs", "show", child["run_id"]).stdout


def test_runs_are_shown_without_redis(cli: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    run_id = cli.told("enqueue", "one", "--payload", payload())["run_id"]

    async def away(*_: Any, **__: Any) -> Backend:
        raise QueueUnavailable("No Redis server was found.")

    monkeypatch.setattr(Backend, "open", away)
    assert "No worker is alive" in cli.told("runs", "show", run_id)["why"]


def test_dead_letters_are_listed_shown_and_replayed(cli: Terminal) -> None:
    sources = [cli.execute("cli-third-fails", "broken") for _ in range(3)]
    [group] = cli.told("dead", "list")["groups"]
    assert (group["flow"], group["count"], group["code"], group["example"]) == (
        "cli-third-fails",
        3,
        "TASK_EXECUTION_FAILED",
        sources[-1],
    )
    listed = cli("dead", "list").stdout
    assert group["fingerprint"] in listed
    assert "[b]third" in listed  # a message is never read as markup
    shown = cli.told("dead", "show", group["fingerprint"])
    assert {run["run_id"] for run in shown["runs"]} == set(sources)
    assert shown["example"]["failed_step"]["step"] == "third"
    human = cli("dead", "show", sources[0]).stdout
    for part in ("third (broken)", "ValueError", sources[0], "muster dead replay"):
        assert part in human
    planned = cli.told("dead", "replay", "--all", "--dry-run")
    assert (planned["planned"], planned["replayed"]) == (3, 0)
    done = cli.told("dead", "replay", "--fingerprint", group["fingerprint"])
    assert [run["run_id"] for run in done["runs"]] == sources
    assert done["replayed"] == 3
    assert cli.told("dead", "list") == {"groups": []}
    assert "No dead letters" in cli("dead", "list").stderr
    again = cli("dead", "replay", sources[0])
    assert again.exit_code == 0
    assert "skipped" in again.stdout
    assert "replayed already" in again.stdout
    assert cli.told("dead", "replay", "--all")["runs"] == []
    assert flows.CALLS["first"] == 3


def test_a_replay_that_was_refused_has_exit_code_2(cli: Terminal) -> None:
    source = cli.execute("cli-third-fails", "broken")
    refused = cli("dead", "replay", source, "--from", "tenth")
    assert refused.exit_code == 2
    assert "no step 'tenth'" in refused.stdout
    assert cli.told("dead", "replay", code=2)["error"]["code"] == "VALIDATION_FAILED"
    assert cli.told("dead", "show", "ffffffff", code=2)["error"]["code"] == "UNKNOWN_RUN"


class ToldPermits(InProcessPermits):
    """Reports what the test says, and remembers limits."""

    def __init__(self) -> None:
        super().__init__()
        self.limits: dict[str, int] = {}

    async def set_limits(self, limits: Any) -> None:
        self.limits = dict(limits)

    async def report(self) -> Sequence[AgentPermits]:
        holder = PermitHolder(
            run_id="r1", step="draft[b]", tenant="t", worker="w9", since=time.time() - 60
        )
        waiter = PermitWaiter(
            run_id="r2",
            step="draft",
            tenant="other",
            priority=4,
            worker="w8",
            since=time.time() - 5,
            place=1,
        )
        return [
            AgentPermits(
                agent="cli-limited",
                limit=self.limits.get("cli-limited", 2),
                holders=[holder] * 12,
                waiters=[waiter],
                why="all permits are held",
            )
        ]


def announce(cli: Terminal, **details: Any) -> None:
    info = WorkerInfo(worker_id="w1", hostname="h", pid=1, details=json.dumps(details))
    cli.journal(lambda journal: journal.beat(info, 30))


def by_name(told: Any) -> dict[str, Any]:
    return {report["agent"]: report for report in told["agents"]}


def test_agents_tell_who_holds_who_waits_and_who_serves(cli: Terminal) -> None:
    cli.permits = ToldPermits()
    announce(cli, agents=["cli-limited", "cli-elsewhere"])
    found = by_name(cli.told("agents"))
    report = found["cli-limited"]
    assert (report["limit"], report["held"], report["waiting"]) == (2, 12, 1)
    assert (report["rate"], report["inline"], report["workers"]) == ("60/min", True, ["w1"])
    assert report["holders"][0]["step"] == "draft[b]"
    assert (report["waiters"][0]["place"], report["waiters"][0]["priority"]) == (1, 4)
    assert report["why"] == "all permits are held"
    assert found["cli-elsewhere"]["inline"] is None
    human = cli("agents").stdout
    for part in ("all permits are held", "draft[b]", "for 60 s", "on w9", "and 2 more", "waits 1"):
        assert part in human


def test_limits_are_set_remembered_in_force_and_reset(cli: Terminal) -> None:
    cli.permits = permits = ToldPermits()
    announce(cli, agents=["cli-elsewhere"])
    set_now = cli.told("agents", "set", "cli-limited", "--concurrency", "5")
    assert set_now == {
        "agent": "cli-limited",
        "concurrency": 5,
        "rate": None,
        "notice": None,
    }
    cli.told("agents", "set", "cli-elsewhere", "--concurrency", "1")
    assert permits.limits == {"cli-limited": 5, "cli-elsewhere": 1}
    assert cli.told("agents", "set", "cli-limited", "--rate", "9/s")["concurrency"] == 5
    report = by_name(cli.told("agents"))["cli-limited"]
    assert (report["limit"], report["rate"]) == (5, "9/s")
    assert (report["limit_set"], report["rate_set"]) == (True, True)
    assert "5*" in cli("agents").stdout
    assert cli.told("agents", "set", "cli-limited", "--reset")["concurrency"] is None
    assert permits.limits == {"cli-elsewhere": 1}
    assert "as registered" in cli("agents", "set", "cli-limited", "--reset").stdout


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["cli-limitd", "--concurrency", "1"], "NOT_REGISTERED", "Did you mean 'cli-limited'?"),
        (["cli-limited", "--concurrency", "0"], "VALIDATION_FAILED", "at least 1"),
        (["cli-limited", "--rate", "fast"], "VALIDATION_FAILED", "is not a rate"),
        (["cli-limited"], "USAGE", "--reset"),
        (["cli-limited", "--reset", "--rate", "1/s"], "USAGE", "--reset"),
    ],
)
def test_a_limit_that_makes_no_sense_is_refused(
    cli: Terminal, arguments: list[str], code: str, words: str
) -> None:
    error = cli.told("agents", "set", *arguments, code=2)["error"]
    assert error["code"] == code
    assert words in error["message"]


def test_with_redis_away_agents_cannot_be_told_but_limits_are_kept(cli: Terminal) -> None:
    cli.permits = AwayPermits()
    assert cli.told("agents", code=3)["error"]["code"] == "QUEUE_UNAVAILABLE"
    told = cli.told("agents", "set", "cli-limited", "--concurrency", "3")
    assert (told["concurrency"], "Redis" in told["notice"]) == (3, True)
    assert "Not in force yet" in cli("agents", "set", "cli-limited", "--rate", "3/s").stderr


class ToldLocks(InProcessLocks):
    async def held(self) -> Sequence[LockInfo]:
        lock = LockInfo(
            key="default/run:u",
            owner="r1",
            fence=7,
            holder="host-1",
            why="singleton [b]of run r1",
            since=time.time() - 90,
            expires_in=800.04,
            metadata={"a": "b"},
        )
        return [lock]


def test_locks_are_listed(cli: Terminal) -> None:
    assert cli.told("locks") == {"locks": []}
    assert "No lock is held" in cli("locks").stderr
    cli.locks = ToldLocks()
    [lock] = cli.told("locks")["locks"]
    assert (lock["key"], lock["owner"], lock["fence"]) == ("default/run:u", "r1", 7)
    assert lock["expires_in"] == 800.04
    human = cli("locks").stdout
    for part in ("singleton [b]of run r1", "90 s", "13 min", "host-1"):
        assert part in human


def test_quarantined_messages_are_listed_newest_first(cli: Terminal) -> None:
    assert cli.told("quarantine") == {"messages": []}
    assert "No message was quarantined" in cli("quarantine").stderr
    for number in (1, 2):
        message = QuarantinedMessage(
            queue="runs.lead", reason="unknown_task", sha256="f" * 64, size=2_000 + number,
            excerpt=f"[b]message {number}",
        )  # fmt: skip
        cli.journal(lambda journal, message=message: journal.quarantine(message))
    newest, _ = cli.told("quarantine")["messages"]
    assert (newest["number"], newest["queue"], newest["size"]) == (2, "runs.lead", 2_002)
    assert newest["at"].endswith("+00:00")
    assert [row["size"] for row in cli.told("quarantine", "--limit", "1")["messages"]] == [2_002]
    human = cli("quarantine").stdout
    for part in ("unknown_task", "2,001", "[b]message 2"):
        assert part in human


def test_cancelled_descendants_are_sent_for_compensation(cli: Terminal) -> None:
    run_id = cli.told("enqueue", "one", "--payload", payload())["run_id"]
    cli.suspend(run_id, Waits(signals={"go": 0}))
    told = cli.told("runs", "cancel", run_id, "--reason", "enough")
    assert (told["status"], told["cancel_reason"]) == ("queued", "enough")
    assert [hint.run_id for hint in cli.queue.sent] == [run_id, run_id]
    rows = cli.journal(lambda journal: journal.runs(RunFilter()))
    assert rows[0].cancel_reason == "enough"


def test_a_permit_wait_is_told_by_runs_show(cli: Terminal) -> None:
    run_id = cli.told("enqueue", "one", "--payload", payload())["run_id"]
    announce(cli, agents=["cli-limited"], flows={"one": [1]})
    cli.journal(lambda journal: journal.claim(run_id, "w1"))

    async def scenario() -> list[str]:
        permits = InProcessPermits()
        first = PermitAsk(agent="cli-limited", run_id="r0", step="s", limit=1)
        await permits.acquire(first)
        second = PermitAsk(agent="cli-limited", run_id=run_id, step="draft", limit=1)
        waiting = asyncio.create_task(permits.acquire(second))
        while not (await permits.report())[0].waiters:
            await asyncio.sleep(0)
        reports = await permits.report()
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)

        class Kept(InProcessPermits):
            async def report(self) -> Sequence[AgentPermits]:
                return reports

        cli.permits = Kept()
        around = Surroundings(journal=journal_for(cli.url), permits=cli.permits)
        return [agent.agent for agent in await around.agents() or ()]

    assert asyncio.run(scenario()) == ["cli-limited"]
    why = cli.told("runs", "show", run_id)["why"]
    assert "Step 'draft' waits for a permit of agent 'cli-limited': place 1 of 1" in why
    assert Settings.load().database_url == cli.url
