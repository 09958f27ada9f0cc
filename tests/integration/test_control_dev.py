"""`muster dev` and the commands and clients that use what it starts, as a user has them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from control import Muster, RunCancelled, RunFailed
from envelope.errors import IdempotencyConflict
from tests.services.waiting import wait_until
from worker.settings import Settings

SECONDS = 60.0

FLOWS = """
import asyncio
from pydantic import BaseModel
from agents import agent
from envelope import Envelope
from orchestrators import orchestrator


class Person(BaseModel):
    name: str
    seconds: float = 0.0


@agent("greeter", inline=True)
async def greeter(ctx, request: Person) -> Envelope:
    ctx.emit("greeter.progress", half=0.5)
    await asyncio.sleep(request.seconds)
    return Envelope.from_records([{"text": f"Hello {request.name}"}], source="greeter")


@agent("writer", concurrency=4)
def writer(ctx, request: Person) -> Envelope:
    if request.name == "Mallory":
        raise ValueError("not to her")
    return Envelope.from_records([{"to": request.name}], source="writer")


@orchestrator("greet")
async def greet(ctx, request: Person) -> Envelope:
    await ctx.call("greeter", request, key="greeting")
    return await ctx.call("writer", request, key="letter")
"""


class Terminal:
    """A user's folder with its environment."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "greetings.py").write_text(FLOWS)
        self.environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith(("MUSTER_", "REDIS_"))},
            "MUSTER_INCLUDE": "greetings",
            "MUSTER_HOME": str(folder / "home"),
        }

    def start(self, *command: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            command,
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def run(self, *command: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command,
            cwd=self.folder,
            env=self.environment,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )

    def told(self, *command: str, code: int = 0) -> Any:
        """The JSON that a command prints on stdout, alone."""
        done = self.run(*command, "--json")
        assert done.returncode == code, done.stderr
        return json.loads(done.stdout)


def script(name: str) -> str:
    return str(Path(sys.executable).with_name(name))


MUSTER = script("muster")


@pytest.fixture(scope="module")
def terminal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Terminal]:
    """A folder in which `muster dev` runs; its end by Ctrl-C is part of the test."""
    user = Terminal(tmp_path_factory.mktemp("dev"))
    log = (user.folder / "dev.log").open("wb")
    dev = subprocess.Popen(
        [MUSTER, "dev"],
        cwd=user.folder,
        env=user.environment,
        stdout=log,
        stderr=log,
        start_new_session=True,
    )

    def ready() -> bool:
        text = (user.folder / "dev.log").read_text(errors="replace")
        assert dev.poll() is None, text
        return "worker.started" in text

    try:
        wait_until(ready, SECONDS, "muster dev is ready")
        yield user
        os.killpg(dev.pid, signal.SIGINT)
        assert dev.wait(SECONDS) == 0, (user.folder / "dev.log").read_text(errors="replace")[-3000:]
    finally:
        if dev.poll() is None:
            os.killpg(dev.pid, signal.SIGKILL)
        log.close()


@pytest.fixture
def client(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> Iterator[Muster]:
    monkeypatch.chdir(terminal.folder)
    settings = Settings.load(
        home=terminal.folder / "home", include=("greetings",), redis_url=None, database_url=None
    )
    with Muster(settings) as muster:
        yield muster


def test_a_run_is_enqueued_waited_for_and_shown(terminal: Terminal) -> None:
    payload = '{"name": "Ada"}'
    shown = terminal.told(
        MUSTER, "enqueue", "greet", "--payload", payload, "--wait", "--tag", "a=b"
    )
    assert shown["status"] == "succeeded"
    assert shown["envelope"]["records"][0]["data"] == {"to": "Ada"}
    assert [step["step"] for step in shown["steps"]] == ["greeting", "letter"]
    assert [step["inline"] for step in shown["steps"]] == [True, False]
    listed = terminal.told(MUSTER, "runs", "list", "--tag", "a=b")["runs"]
    assert [run["run_id"] for run in listed] == [shown["run_id"]]
    assert terminal.told(MUSTER, "runs", "show", shown["run_id"][-12:])["tags"] == {"a": "b"}


def test_a_run_that_fails_gives_exit_code_1(terminal: Terminal) -> None:
    payload = '{"name": "Mallory"}'
    shown = terminal.told(MUSTER, "enqueue", "greet", "--payload", payload, "--wait", code=1)
    assert shown["status"] == "failed"
    assert shown["error"]["agent"] == "writer"
    watched = terminal.run(MUSTER, "runs", "watch", shown["run_id"], "--json")
    assert watched.returncode == 1
    events = [json.loads(line) for line in watched.stdout.splitlines()]
    assert [event["number"] for event in events] == list(range(1, len(events) + 1))
    assert events[-1]["type"] == "run.failed"


def test_a_payload_comes_from_stdin_and_a_retry_repeats_it(terminal: Terminal) -> None:
    done = terminal.run(
        MUSTER, "enqueue", "greet", "--payload", "-", "--json", stdin='{"name": "Bo"}'
    )
    run_id = json.loads(done.stdout)["run_id"]
    assert terminal.run(MUSTER, "runs", "watch", run_id).returncode == 0
    again = terminal.told(MUSTER, "runs", "retry", run_id)
    assert again["replay_of"] == run_id
    assert terminal.run(MUSTER, "runs", "watch", again["run_id"]).returncode == 0
    assert terminal.told(MUSTER, "runs", "show", again["run_id"])["payload"]["name"] == "Bo"


def test_a_running_run_is_cancelled_from_the_terminal(terminal: Terminal) -> None:
    payload = '{"name": "Slow", "seconds": 600}'
    run_id = terminal.told(MUSTER, "enqueue", "greet", "--payload", payload)["run_id"]
    show = (MUSTER, "runs", "show", run_id)
    wait_until(lambda: terminal.told(*show)["status"] == "running", SECONDS, "the run runs")
    terminal.told(MUSTER, "runs", "cancel", run_id, "--reason", "enough")
    ended = terminal.run(MUSTER, "runs", "watch", run_id)
    assert ended.returncode == 1
    shown = terminal.told(*show)
    assert (shown["status"], shown["cancel_reason"]) == ("cancelled", "enough")


def test_the_same_commands_work_under_celery(terminal: Terminal) -> None:
    celery = (script("celery"), "-A", "worker", "muster")
    listed = terminal.run(*celery, "runs", "list", "--json")
    assert listed.returncode == 0, listed.stderr
    assert "runs" in json.loads(listed.stdout)
    wrong = terminal.run(*celery, "runs", "show", "zzzzzz", "--json")
    assert wrong.returncode == 2
    assert json.loads(wrong.stdout)["error"]["code"] == "UNKNOWN_RUN"


def test_input_is_refused_with_its_reason(terminal: Terminal) -> None:
    unknown = terminal.told(MUSTER, "enqueue", "greeet", code=2)["error"]
    assert unknown["code"] == "NOT_REGISTERED"
    assert "Did you mean 'greet'?" in unknown["message"]
    shape = terminal.told(MUSTER, "enqueue", "greet", "--payload", '{"nam": "x"}', code=2)["error"]
    assert shape["code"] == "VALIDATION_FAILED"
    assert "name" in shape["message"]


def test_with_redis_away_a_run_is_accepted_and_with_the_database_away_it_is_refused(
    terminal: Terminal,
) -> None:
    enqueue = (MUSTER, "enqueue", "greet", "--payload", '{"name": "x"}')
    usual = terminal.environment
    try:
        terminal.environment = usual | {"MUSTER_REDIS_URL": "redis://127.0.0.1:1/0"}
        accepted = terminal.told(*enqueue)
        assert (accepted["created"], accepted["sent"]) == (True, False)
        assert "Redis does not answer" in accepted["notice"]
        terminal.environment = usual | {"MUSTER_DATABASE_URL": "postgresql://u:pw@127.0.0.1:1/x"}
        assert terminal.told(*enqueue, code=3)["error"]["code"] == "JOURNAL_UNAVAILABLE"
    finally:
        terminal.environment = usual
    # The worker's reconciler finds the accepted run, although no message was ever sent for it.
    assert terminal.run(MUSTER, "runs", "watch", accepted["run_id"]).returncode == 0


def test_the_synchronous_client_enqueues_watches_and_gets_results(client: Muster) -> None:
    run = client.enqueue("greet", {"name": "Ada"}, user="u", key="sync-1", tags={"c": "d"})
    assert run.result(SECONDS).records[0].data == {"to": "Ada"}
    again = client.enqueue("greet", {"name": "Ada"}, user="u", key="sync-1")
    assert again.id == run.id
    with pytest.raises(IdempotencyConflict):
        client.enqueue("greet", {"name": "Bo"}, key="sync-1")
    types = [event.type for event in client.get(run.id).events()]
    assert types[0] == "run.queued"
    assert "greeter.progress" in types
    assert types[-1] == "run.succeeded"
    assert [found.run_id for found in client.runs(tags={"c": "d"})] == [run.id]
    failing = client.enqueue("greet", {"name": "Mallory"})
    with pytest.raises(RunFailed, match="not to her"):
        failing.result(SECONDS)


def test_a_cancelled_run_raises_where_its_result_is_awaited(client: Muster) -> None:
    run = client.enqueue("greet", {"name": "Slow", "seconds": 600})
    wait_until(lambda: run.status() == "running", SECONDS, "the run runs")
    run.cancel(reason="no more")
    with pytest.raises(RunCancelled, match="no more"):
        run.result(SECONDS)


def test_priority_and_delay_are_honoured(client: Muster) -> None:
    late = client.enqueue("greet", {"name": "Late"}, delay=1.0, priority=9)
    assert late.receipt is not None
    assert not late.receipt.sent
    late.result(SECONDS)
    row = late.row()
    assert row.priority == 9
    assert row.started_at is not None
    assert row.started_at >= row.available_at == pytest.approx(row.created_at + 1.0)
