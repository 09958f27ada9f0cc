"""The commands that need no server, and what all of them share."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from agents import agent
from control.async_manager import AsyncCampaignManager
from control.cli import muster
from control.cli.group import exit_code
from control.cli.lazy import LazyCommand
from control.cli.options import parsed_payload, parsed_tags
from envelope import Envelope, Failure, Record, Status
from envelope.errors import (
    InvalidInput,
    JournalUnavailable,
    NotRegistered,
    QueueUnavailable,
    RunCancelled,
    RunFailed,
    RunTimeout,
    UnknownRun,
)
from orchestrators import orchestrator
from tests.rig import flows
from tests.rig.flows import Words
from tests.unit.test_control_backend import backend_over
from worker.journal.open import journal_for

Cli = Callable[..., Result]


@agent("cli-find", inline=True)
async def find(ctx: Any, request: Words) -> Envelope:
    rows = [
        Record.of({"text": f"[b]{request.text} {number}"}, source="docs/a.md", row_id=str(number))
        for number in range(2)
    ]
    return Envelope.from_records(rows, source="docs")


class Facts(Words):
    parents: list[str]


@agent("cli-write", inline=True)
async def write(ctx: Any, request: Facts) -> Envelope:
    made = Record.of(
        {"text": request.text},
        source="write",
        model="offline-test",
        derived_from=tuple(request.parents),
    )
    return Envelope.from_records([made], source="write")


@orchestrator("cli-letter")
async def letter(ctx: Any, request: Words) -> Envelope:
    found = await ctx.call("cli-find", {"text": request.text}, key="find")
    parents = [record.id for record in found.records]
    made: Envelope = await ctx.call("cli-write", {"text": "dear", "parents": parents}, key="write")
    return made


@orchestrator("cli-kept-back")
async def kept_back(ctx: Any, request: Words) -> Envelope:
    why = Failure(code="GATED", message=f"Approval is missing [b]{request.text}")
    return Envelope.from_records([], source="cli", status=Status.GATED, error=why)


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'journal.sqlite3'}"


@pytest.fixture
def cli(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cli:
    monkeypatch.setenv("MUSTER_DATABASE_URL", url)
    monkeypatch.setenv("MUSTER_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("COLUMNS", "200")
    for name in ("REDIS_URL", "MUSTER_REDIS_URL", "DATABASE_URL"):
        monkeypatch.delenv(name, raising=False)

    def run(*arguments: str, stdin: str | None = None) -> Result:
        return CliRunner().invoke(muster, list(arguments), input=stdin)

    return run


def execute(url: str, *events: dict[str, Any]) -> list[str]:
    """Execute runs in this process, over the journal that the commands will read."""

    async def scenario() -> list[str]:
        flows.reset()
        journal = journal_for(url)
        await journal.open()
        backend = backend_over(journal=journal)
        async with AsyncCampaignManager(backend) as manager:
            return [(await manager.ingest_event(event)).id for event in events]

    return asyncio.run(scenario())


def told(result: Result) -> Any:
    """What a command said with --json: one document and nothing else."""
    return json.loads(result.stdout)


def test_runs_are_listed_newest_first_and_filtered(url: str, cli: Cli) -> None:
    good, bad = execute(
        url,
        {"flow": "cli-letter", "payload": {"text": "x"}, "tags": {"a": "b"}, "user": "u"},
        {"flow": "one", "payload": {"text": "broken"}},
    )
    listed = told(cli("runs", "list", "--json"))["runs"]
    assert [run["run_id"] for run in listed] == [bad, good]
    assert listed[0]["error"]["code"] == "TASK_EXECUTION_FAILED"
    assert (listed[1]["status"], listed[1]["steps_done"], listed[1]["user"]) == (
        "succeeded",
        2,
        "u",
    )
    for options in (["--state", "succeeded"], ["--flow", "cli-letter"], ["--tag", "a=b"]):
        found = told(cli("runs", "list", "--json", *options))["runs"]
        assert [run["run_id"] for run in found] == [good]
    assert told(cli("runs", "list", "--json", "--before", bad))["runs"][0]["run_id"] == good
    assert good in cli("runs", "list").stdout


def test_an_empty_list_is_no_error(cli: Cli) -> None:
    assert told(cli("runs", "list", "--json")) == {"runs": []}
    human = cli("runs", "list")
    assert (human.exit_code, human.stdout) == (0, "")
    assert "muster demo" in human.stderr


def test_a_run_is_shown_with_steps_attempts_events_and_envelope(url: str, cli: Cli) -> None:
    [run_id] = execute(url, {"flow": "cli-letter", "payload": {"text": "x"}})
    shown = told(cli("runs", "show", run_id[-10:], "--json"))
    assert shown["run_id"] == run_id
    assert shown["status"] == "succeeded"
    assert shown["flow"] == "cli-letter"
    assert shown["payload"] == {"text": "x"}
    assert [step["step"] for step in shown["steps"]] == ["find", "write"]
    assert shown["steps"][0]["attempts"][0]["outcome"] == "succeeded"
    assert [event["number"] for event in shown["events"]] == [*range(1, len(shown["events"]) + 1)]
    assert Envelope.from_dict(shown["envelope"]).records[0].data == {"text": "dear"}
    assert shown["error"] is None
    human = cli("runs", "show", run_id).stdout
    for part in ("cli-write", "run.succeeded", "dear", run_id):
        assert part in human


def test_a_failed_run_shows_its_failure_and_trace(url: str, cli: Cli) -> None:
    [run_id] = execute(url, {"flow": "one", "payload": {"text": "broken"}})
    shown = cli("runs", "show", run_id)
    assert shown.exit_code == 0
    assert "TASK_EXECUTION_FAILED" in shown.stdout
    assert "ValueError" in shown.stdout


def test_a_gated_run_says_what_is_missing(url: str, cli: Cli) -> None:
    [run_id] = execute(url, {"flow": "cli-kept-back", "payload": {"text": "x"}})
    shown = cli("runs", "show", run_id).stdout
    assert "gated, 0 records\nGATED: Approval is missing [b]x\n" in shown


def test_an_error_is_told_once(url: str, cli: Cli) -> None:
    [run_id] = execute(url, {"flow": "one", "payload": {"text": "broken"}})
    assert cli("runs", "show", run_id).stdout.count("\nTASK_EXECUTION_FAILED") == 1


def test_what_cannot_be_done_says_what_can(url: str, cli: Cli) -> None:
    [run_id] = execute(url, {"flow": "cli-letter", "payload": {"text": "x"}})
    ended = cli("runs", "cancel", run_id)
    assert ended.exit_code == 2
    assert f"`muster runs retry {run_id}` repeats it" in ended.stderr
    nothing = cli("dead", "replay")
    assert nothing.exit_code == 2
    for option in ("RUN", "--fingerprint", "--flow", "--all"):
        assert option in nothing.stderr


def test_a_record_is_explained_down_to_its_sources(url: str, cli: Cli) -> None:
    [run_id] = execute(url, {"flow": "cli-letter", "payload": {"text": "x"}})
    [tree] = told(cli("runs", "explain", run_id, "--json"))["records"]
    assert tree["step"] == "write"
    assert [parent["provenance"]["source"] for parent in tree["derived_from"]] == ["docs/a.md"] * 2
    same = told(cli("runs", "explain", run_id[-8:], tree["record"][:12], "--json"))
    assert same["records"] == [tree]
    human = cli("runs", "explain", run_id).stdout
    assert "offline-test" in human
    assert "[b]x 1" in human  # text of a record is never read as markup
    unknown = cli("runs", "explain", run_id, "rec_ffff", "--json")
    assert unknown.exit_code == 2
    assert told(unknown)["error"]["code"] == "VALIDATION_FAILED"


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["runs", "show", "zzzzzzz"], "UNKNOWN_RUN"),
        (["runs", "explain", "zzzzzzz"], "UNKNOWN_RUN"),
        (["runs", "list", "--state", "done"], "USAGE"),
        (["runs", "list", "--wrong"], "USAGE"),
        (["runs", "list", "--tag", "x"], "USAGE"),
        (["runs"], "USAGE"),
        (["runs", "show"], "USAGE"),
    ],
)
def test_what_is_wrong_is_told_as_json_alone_with_exit_code_2(
    cli: Cli, arguments: list[str], code: str
) -> None:
    result = cli(*arguments, "--json")
    assert result.exit_code == 2
    assert told(result)["error"]["code"] == code
    assert told(result)["error"]["message"]


def test_without_json_errors_go_to_stderr_without_a_traceback(cli: Cli) -> None:
    result = cli("runs", "show", "zzzzzzz")
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.startswith("UNKNOWN_RUN: ")
    assert "Traceback" not in result.stderr


def test_a_database_that_is_away_gives_exit_code_3_and_keeps_the_password(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MUSTER_DATABASE_URL", "postgresql://u:canary-word@127.0.0.1:1/x")
    result = cli("runs", "list", "--json")
    assert result.exit_code == 3
    assert told(result)["error"]["code"] == "JOURNAL_UNAVAILABLE"
    assert "canary-word" not in result.output


def test_a_wrong_setting_is_named(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MUSTER_LEASE_SECONDS", "soon")
    result = cli("runs", "list", "--json")
    assert result.exit_code == 2
    assert "MUSTER_LEASE_SECONDS" in told(result)["error"]["message"]


def test_settings_are_shown_with_secrets_masked(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-canary-word")
    monkeypatch.setenv("MUSTER_REDIS_URL", "redis://:canary-word@example.org/0")
    monkeypatch.setenv("MUSTER_LEASE_SECOND", "3")
    result = cli("config", "show", "--json")
    assert "canary-word" not in result.output
    rows = {row["variable"]: row for row in told(result)["settings"]}
    assert rows["MUSTER_REDIS_URL"]["source"] == "environment"
    assert told(result)["unknown"][0]["nearest"] == "MUSTER_LEASE_SECONDS"
    human = cli("config", "show")
    assert "canary-word" not in human.output
    assert "MUSTER_LEASE_SECOND " in human.stderr


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (JournalUnavailable("x"), 3),
        (QueueUnavailable("x"), 3),
        (RunFailed("x"), 1),
        (RunCancelled("x"), 1),
        (RunTimeout("x"), 1),
        (InvalidInput("x"), 2),
        (NotRegistered("x"), 2),
        (UnknownRun("x"), 2),
    ],
)
def test_every_error_has_its_exit_code(error: Any, code: int) -> None:
    assert exit_code(error) == code


def test_payloads_come_as_json_from_a_file_or_from_stdin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert parsed_payload('{"a": 1}') == {"a": 1}
    file = tmp_path / "payload.json"
    file.write_text('\ufeff{"a": "ä"}', encoding="utf-8")
    assert parsed_payload(f"@{file}") == {"a": "ä"}
    with file.open("rb") as stream:
        monkeypatch.setattr(sys, "stdin", type("Stdin", (), {"buffer": stream})())
        assert parsed_payload("-") == {"a": "ä"}


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("{", "not JSON"),
        ("[1]", "a list"),
        ("null", "null"),
        ("[" * 200_000, "deeply"),
        ("@", "Cannot read"),
        ("@/nowhere/at/all", "No such file"),
    ],
)
def test_a_payload_that_cannot_be_read_is_refused(given: str, words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        parsed_payload(given)


def test_a_payload_that_is_no_text_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "payload.json"
    file.write_bytes(b"\xff\xfe{}")
    with pytest.raises(InvalidInput, match="UTF-8"):
        parsed_payload(f"@{file}")


def test_tags_are_pairs_and_may_hold_the_equals_sign() -> None:
    assert parsed_tags(["a=b", "c=d=e", "f="]) == {"a": "b", "c": "d=e", "f": ""}
    with pytest.raises(click.BadParameter):
        parsed_tags(["=x"])


def test_help_names_every_command_and_costs_no_heavy_import() -> None:
    program = (
        "import sys, control.cli as c\n"
        "try: c.muster(['--help'])\n"
        "except SystemExit: pass\n"
        "print(sorted({'celery', 'sqlalchemy', 'openai', 'redis'} & sys.modules.keys()))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    for command in ("demo", "dev", "enqueue", "runs", "dead", "agents", "locks", "config"):
        assert f"  {command} " in done.stdout
    assert done.stdout.splitlines()[-1] == "[]"


def leaves(command: click.Command, path: str = "") -> dict[str, click.Command]:
    """Every command by its words, without the groups that only hold others."""
    real = command.real if isinstance(command, LazyCommand) else command
    if not isinstance(real, click.Group):
        return {path: real}
    return {
        words: leaf
        for name, child in real.commands.items()
        for words, leaf in leaves(child, f"{path} {name}".strip()).items()
    }


def test_every_command_but_two_speaks_json() -> None:
    speaks = {
        words: any("--json" in option.opts for option in leaf.params)
        for words, leaf in leaves(muster).items()
    }
    assert "runs show" in speaks
    assert {words for words, said in speaks.items() if not said} == {"demo", "dev"}


def test_help_of_a_lazy_command_is_its_own(cli: Cli) -> None:
    assert "--payload" in cli("enqueue", "--help").stdout
    assert "explain" in cli("runs", "--help").stdout
