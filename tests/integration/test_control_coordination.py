"""Signals, singletons, limits, locks and dead letters from the terminal, over a real worker."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from control import Muster, RunFailed
from envelope.errors import SingletonConflict
from envelope.ports.permits import AgentPermits
from tests.services.waiting import wait_until
from worker.settings import Settings

SECONDS = 60.0
MUSTER = str(Path(sys.executable).with_name("muster"))

FLOWS = """
import asyncio
from pathlib import Path
from pydantic import BaseModel
from agents import agent
from envelope import Envelope
from orchestrators import orchestrator


class Job(BaseModel):
    name: str
    seconds: float = 0.0


@agent("scarce", concurrency=1)
async def scarce(ctx, request: Job) -> Envelope:
    await asyncio.sleep(request.seconds)
    return Envelope.from_records([{"name": request.name}], source="scarce")


@agent("paid", inline=True)
async def paid(ctx, request: Job) -> Envelope:
    with Path("paid.txt").open("a") as file:
        file.write(f"{request.name}\\\\n")
    return Envelope.from_records([{"name": request.name}], source="paid")


@agent("fragile", inline=True)
async def fragile(ctx, request: Job) -> Envelope:
    if not Path("mended").exists():
        raise ValueError("not mended")
    return Envelope.from_records([{"name": request.name}], source="fragile")


@orchestrator("asking", singleton="ask:{user}")
async def asking(ctx, request: Job) -> Envelope:
    answer = await ctx.wait_for("answer")
    return Envelope.from_records([{"answer": answer}], source="asking")


@orchestrator("strict", singleton="strict:{payload.name}", on_conflict="reject")
async def strict(ctx, request: Job) -> Envelope:
    await ctx.wait_for("answer")
    return Envelope.from_records([], source="strict")


@orchestrator("working")
async def working(ctx, request: Job) -> Envelope:
    return await ctx.call("scarce", request, key="work")


@orchestrator("locking")
async def locking(ctx, request: Job) -> Envelope:
    async with ctx.lock("crm:acme"):
        return await ctx.call("scarce", request, key="work")


@orchestrator("breaking")
async def breaking(ctx, request: Job) -> Envelope:
    await ctx.call("paid", request, key="pay")
    return await ctx.call("fragile", request, key="use")


@orchestrator("parenting")
async def parenting(ctx, request: Job) -> Envelope:
    return await ctx.child("asking", request, key="child")
"""


class Terminal:
    """A user's folder in which `muster dev` runs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "jobs.py").write_text(FLOWS.replace("\\\\n", "\\n"))
        self.environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith(("MUSTER_", "REDIS_"))},
            "MUSTER_INCLUDE": "jobs",
            "MUSTER_HOME": str(folder / "home"),
        }

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [MUSTER, *command],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )

    def told(self, *command: str, code: int = 0) -> Any:
        """The JSON that a command prints on stdout, alone."""
        done = self.run(*command, "--json")
        assert done.returncode == code, done.stderr + done.stdout
        return json.loads(done.stdout)

    def enqueue(self, flow: str, name: str, *options: str, seconds: float = 0.0) -> str:
        payload = json.dumps({"name": name, "seconds": seconds})
        return str(self.told("enqueue", flow, "--payload", payload, *options)["run_id"])

    def shown(self, run_id: str) -> Any:
        return self.told("runs", "show", run_id)


@pytest.fixture(scope="module")
def terminal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Terminal]:
    user = Terminal(tmp_path_factory.mktemp("coordination"))
    with (user.folder / "dev.log").open("wb") as log:
        dev = subprocess.Popen(
            [MUSTER, "dev"],
            cwd=user.folder,
            env=user.environment,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )

    def text() -> str:
        return (user.folder / "dev.log").read_text(errors="replace")

    def ready() -> bool:
        assert dev.poll() is None, text()
        return "worker.started" in text()

    try:
        wait_until(ready, SECONDS, "muster dev is ready")
        yield user
        os.killpg(dev.pid, signal.SIGINT)
        assert dev.wait(SECONDS) == 0, text()[-3000:]
    finally:
        if dev.poll() is None:
            os.killpg(dev.pid, signal.SIGKILL)


@pytest.fixture(scope="module")
def client(terminal: Terminal) -> Iterator[Muster]:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(terminal.folder)
        settings = Settings.load(
            home=terminal.folder / "home", include=("jobs",), redis_url=None, database_url=None
        )
        with Muster(settings) as muster:
            yield muster


def until(client: Muster, run_id: str, state: str) -> None:
    """Wait for a run's state."""
    run = client.get(run_id)
    wait_until(lambda: run.status() == state, SECONDS, f"run {run_id} is {state}")


def until_permits(client: Muster, held: int, waiting: int) -> None:
    """Wait until so many permits of `scarce` are held, and so many steps wait for one."""

    def counts() -> tuple[int, int]:
        reports = client._thread.call(_reports(client))
        return next(
            ((len(one.holders), len(one.waiters)) for one in reports if one.agent == "scarce"),
            (0, 0),
        )

    wait_until(lambda: counts() == (held, waiting), SECONDS, f"{held} hold and {waiting} wait")


async def _reports(client: Muster) -> Sequence[AgentPermits]:
    return await (await client._client.manager()).backend.permits.report()


def test_a_signal_ends_the_wait_and_lets_the_next_in_line_begin(
    terminal: Terminal, client: Muster
) -> None:
    first = terminal.enqueue("asking", "one", "--user", "u1")
    second = terminal.enqueue("asking", "two", "--user", "u1")
    until(client, first, "waiting")
    shown = terminal.shown(first)
    assert "It waits for signal 'answer'" in shown["why"]
    behind = terminal.shown(second)
    assert behind["waits"]["singleton"] == "default/ask:u1"
    assert f"behind run {first}, which is waiting" in behind["why"]
    assert terminal.told("runs", "signal", first, "answer", "--data", "[1]")["woken"]
    assert client.get(first).result(SECONDS).records[0].data == {"answer": [1]}
    terminal.told("runs", "signal", second, "answer", "--data", "2")
    assert client.get(second).result(SECONDS).records[0].data == {"answer": 2}


def test_a_conflict_is_refused_with_exit_code_2(terminal: Terminal, client: Muster) -> None:
    run = client.enqueue("strict", {"name": "a/b"})
    assert run.row().singleton == "default/strict:a%2Fb"
    with pytest.raises(SingletonConflict, match=run.id):
        client.enqueue("strict", {"name": "a/b"})
    refused = terminal.told("enqueue", "strict", "--payload", '{"name": "a/b"}', code=2)
    assert refused["error"]["code"] == "SINGLETON_CONFLICT"
    run.cancel("enough")
    until(client, run.id, "cancelled")


def test_a_cancelled_parent_takes_its_waiting_child_along(
    terminal: Terminal, client: Muster
) -> None:
    parent = terminal.enqueue("parenting", "p", "--user", "u2")
    until(client, parent, "waiting")
    shown = terminal.shown(parent)
    [child] = [run["run_id"] for run in shown["children"]]
    assert shown["waits"]["children"] == [child]
    until(client, child, "waiting")
    terminal.told("runs", "cancel", parent, "--reason", "enough")
    until(client, parent, "cancelled")
    until(client, child, "cancelled")
    [row] = terminal.told("runs", "list", "--parent", parent)["runs"]
    assert (row["run_id"], row["parent"], row["cancel_reason"]) == (child, parent, "enough")


def agent_of(terminal: Terminal, name: str) -> Any:
    return next(one for one in terminal.told("agents")["agents"] if one["agent"] == name)


def test_who_waits_for_a_permit_and_why_until_the_limit_is_raised(
    terminal: Terminal, client: Muster
) -> None:
    first = terminal.enqueue("working", "a", seconds=600)
    until_permits(client, 1, 0)
    second = terminal.enqueue("working", "b", seconds=600)
    until_permits(client, 1, 1)
    why = terminal.shown(second)["why"]
    assert "Step 'work' waits for a permit of agent 'scarce': place 1 of 1" in why
    assert f"by run {first} step 'work'" in why
    report = agent_of(terminal, "scarce")
    assert (report["limit"], report["waiting"], len(report["workers"])) == (1, 1, 1)
    assert (report["holders"][0]["run_id"], report["waiters"][0]["run_id"]) == (first, second)
    assert terminal.told("agents", "set", "scarce", "--concurrency", "2")["notice"] is None
    until_permits(client, 2, 0)
    terminal.told("agents", "set", "scarce", "--reset")
    assert agent_of(terminal, "scarce")["limit"] == 1
    for run_id in (first, second):
        client.get(run_id).cancel()
        until(client, run_id, "cancelled")
    until_permits(client, 0, 0)


def test_a_held_lock_is_listed_until_its_run_ends(terminal: Terminal, client: Muster) -> None:
    run_id = terminal.enqueue("locking", "a", seconds=600)

    until_permits(client, 1, 0)
    [lock] = terminal.told("locks")["locks"]
    assert (lock["key"], lock["owner"]) == ("crm:acme", run_id)
    assert run_id in lock["why"]
    client.get(run_id).cancel()
    until(client, run_id, "cancelled")
    assert "No lock is held" in terminal.run("locks").stderr


def test_dead_letters_are_replayed_without_paying_twice(terminal: Terminal, client: Muster) -> None:
    runs = [client.enqueue("breaking", {"name": f"job {n}"}) for n in range(3)]
    for run in runs:
        with pytest.raises(RunFailed):
            run.result(SECONDS)
    [group] = [one for one in terminal.told("dead", "list")["groups"] if one["flow"] == "breaking"]
    assert (group["count"], group["code"]) == (3, "TASK_EXECUTION_FAILED")
    shown = terminal.told("dead", "show", group["fingerprint"])
    assert shown["example"]["failed_step"]["step"] == "use"
    (terminal.folder / "mended").touch()
    done = terminal.told("dead", "replay", "--fingerprint", group["fingerprint"])
    assert (done["replayed"], [one["run_id"] for one in done["runs"]]) == (
        3,
        [run.id for run in runs],
    )
    for one in done["runs"]:
        made = client.get(one["replayed_as"])
        assert made.result(SECONDS).records[0].data
        assert made.row().replay_of == one["run_id"]
    assert sorted((terminal.folder / "paid.txt").read_text().split("\n")) == [
        "",
        "job 0",
        "job 1",
        "job 2",
    ]
    assert terminal.told("dead", "replay", runs[0].id)["skipped"] == 1
    assert client.retry(runs[0].id, keep=False).result(SECONDS).records[0].data == {"name": "job 0"}
    assert client.dead_letters() == []
