"""`muster approvals`, `effects`, `suppress`: what people see, and what they must say."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from control.cli import muster
from control.surroundings import Surroundings
from control.why import why
from envelope.canonical import sha256_hex
from envelope.effect import EffectState
from envelope.ids import new_id
from envelope.ports.journal_rows import RunState, Waits
from envelope.ports.journal_writes import Commit, NewRun, RunEnd
from envelope.ports.ledger import Conclusion, Intent, NewApproval, approval_signal
from worker.delivery.ledger_of import ledger_of
from worker.journal.open import journal_for

Cli = Callable[..., Result]
CONTENT = json.dumps({"to": "ada@example.com", "text": "Hi [b]Ada[/]\u202e\x1b[2J", "html": None})


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'journal.sqlite3'}"


@pytest.fixture
def cli(url: str, tmp_path: Path, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> Cli:
    monkeypatch.setenv("MUSTER_DATABASE_URL", url)
    monkeypatch.setenv("MUSTER_REDIS_URL", redis_url)
    monkeypatch.setenv("MUSTER_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("COLUMNS", "200")

    def run(*arguments: str, stdin: str | None = None) -> Result:
        return CliRunner().invoke(muster, list(arguments), input=stdin)

    return run


def told(result: Result, exit_code: int = 0) -> Any:
    assert result.exit_code == exit_code, result.output
    return json.loads(result.stdout)


def waiting_run(url: str) -> tuple[str, str]:
    """Let a run ask for approval, act into the unknown and wait; return it and the approval."""

    async def scenario() -> tuple[str, str]:
        journal = journal_for(url)
        await journal.open()
        run_id, approval_id = new_id(), new_id()
        new = NewRun(
            run_id=run_id, flow="f", version=1, payload="{}", payload_sha256="x", source="t"
        )
        await journal.accept(new)
        claim = await journal.claim(run_id, "w")
        assert claim is not None
        epoch = claim.run.epoch
        asked = NewApproval(
            approval_id=approval_id,
            run_id=run_id,
            epoch=epoch,
            tenant="default",
            requester="eve",
            channel="email",
            content=CONTENT,
            content_sha256=sha256_hex(CONTENT),
            title="[red]Mail[/] to ada@example.com",
            role="approver",
            expires_seconds=3600,
        )
        intent = Intent(
            key="k 1",
            run_id=run_id,
            step="send",
            attempt=1,
            tenant="default",
            channel="email",
            recipients=["ada@example.com"],
            content_sha256="0" * 64,
            title="[red]Mail[/]",
            epoch=epoch,
        )
        ledger = ledger_of(journal)
        await ledger.ask_approval(asked)
        await ledger.intend(intent)
        conclusion = Conclusion(
            key="k 1", tenant="default", tries=1, state=EffectState.UNKNOWN, reason="silence"
        )
        await ledger.conclude(conclusion)
        waits = Waits(signals={approval_signal(approval_id): 0}, until=time.time() + 3600)
        end = RunEnd(state=RunState.WAITING, waits=waits)
        await journal.commit(Commit(run_id=run_id, epoch=epoch, end=end))
        await journal.close()
        return run_id, approval_id

    return asyncio.run(scenario())


def test_what_waits_is_listed_and_shown_exactly(url: str, cli: Cli) -> None:
    assert "Nothing waits" in cli("approvals", "list").stderr
    run_id, approval_id = waiting_run(url)
    (listed,) = told(cli("approvals", "list", "--json"))["approvals"]
    assert (listed["approval_id"], listed["status"]) == (approval_id, "pending")
    assert "content" not in listed
    assert approval_id in cli("approvals", "list", "--run", run_id).stdout
    assert told(cli("approvals", "list", "--state", "approved", "--json")) == {"approvals": []}
    shown = told(cli("approvals", "show", approval_id, "--json"))
    assert shown["content"] == json.loads(CONTENT)
    human = cli("approvals", "show", approval_id[-8:]).stdout
    assert "[red]Mail[/]" in human, "markup in a text is text"
    assert "Hi [b]Ada[/]\\u202e\\x1b[2J" in human, "nothing is hidden or obeyed"


def test_a_person_is_shown_and_asked(url: str, cli: Cli) -> None:
    _, approval_id = waiting_run(url)
    no = cli("approvals", "approve", approval_id, "--by", "ada", stdin="n\n")
    assert no.exit_code == 0
    assert "Hi [b]Ada" in no.stdout
    assert "Approve exactly this?" in no.stderr
    assert "Nothing was decided" in no.stderr
    yes = cli("approvals", "approve", approval_id, "--by", "ada", stdin="y\n")
    assert yes.exit_code == 0, yes.output
    assert "approved by ada" in yes.stdout
    again = told(
        cli("approvals", "approve", approval_id, "--by", "bob", "--yes", "--json"), exit_code=2
    )
    assert again["error"]["code"] == "APPROVAL_REFUSED"


def test_the_login_name_decides_unless_another_is_given(
    url: str, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOGNAME", "eve")
    _, approval_id = waiting_run(url)
    own = told(cli("approvals", "approve", approval_id, "--yes", "--json"), exit_code=2)
    assert "another person must decide" in own["error"]["message"]
    monkeypatch.setenv("LOGNAME", "carol")
    assert told(cli("approvals", "reject", approval_id, "--json"))["decided_by"] == "carol"


def test_json_asks_nobody(url: str, cli: Cli) -> None:
    _, approval_id = waiting_run(url)
    refused = told(cli("approvals", "approve", approval_id, "--json"), exit_code=2)
    assert refused["error"] == {
        "code": "USAGE",
        "message": "With --json nobody is asked: add --yes.",
    }


def test_a_run_says_whose_approval_it_waits_for(url: str, cli: Cli) -> None:
    run_id, approval_id = waiting_run(url)
    said = told(cli("runs", "show", run_id, "--json"))["why"]
    assert "It waits for approval '[red]Mail[/] to ada@example.com' by somebody with the role" in (
        said
    )
    assert f"muster approvals show {approval_id}" in said
    assert "runs signal" not in said

    async def without_the_row() -> list[str]:
        journal = journal_for(url)
        await journal.open()
        run = await journal.run(run_id)
        assert run is not None
        ledger_of(journal).approval = _none  # type: ignore[method-assign]
        answer = await why(Surroundings(journal=journal), run)
        await journal.close()
        return answer

    assert f"It waits for approval: muster approvals show {approval_id}" in asyncio.run(
        without_the_row()
    )


async def _none(_: str) -> None:
    return None


def test_effects_are_listed_and_settled(url: str, cli: Cli) -> None:
    assert "No effects" in cli("effects", "list").stderr
    run_id, _ = waiting_run(url)
    (row,) = told(cli("effects", "list", "--state", "unknown", "--json"))["effects"]
    assert (row["key"], row["run_id"], row["reason"]) == ("k 1", run_id, "silence")
    for options in (["--run", run_id], ["--recipient", "ADA@example.com"], ["--channel", "email"]):
        assert "[red]Mail[/] — silence" in cli("effects", "list", *options).stdout
    assert told(cli("effects", "list", "--channel", "fax", "--json")) == {"effects": []}
    human = cli("effects", "settle", "k 1", "failed", "--by", "ada", "--reason", "asked")
    assert "settled as" in human.stdout
    assert f"muster runs retry {run_id}" in human.stderr
    again = told(cli("effects", "settle", "k 1", "sent", "--by", "ada", "--json"), exit_code=2)
    assert again["error"]["code"] == "EFFECT_CONFLICT"
    unknown = told(cli("effects", "settle", "k", "sent", "--json"), exit_code=2)
    assert unknown["error"]["code"] == "UNKNOWN_EFFECT"
    assert cli("effects", "settle", "k 1", "unknown").exit_code == 2


def test_recipients_are_suppressed_and_let_through_again(cli: Cli) -> None:
    assert "Nobody" in cli("suppress", "list").stderr
    made = told(
        cli("suppress", "add", "Ada@Example.com", "--reason", "asked", "--by", "bob", "--json")
    )
    assert (made["recipient"], made["channel"], made["by"]) == ("ada@example.com", "*", "bob")
    cli("suppress", "add", "hooks.example.com", "--channel", "webhook")
    (row,) = told(cli("suppress", "list", "--channel", "email", "--json"))["suppressions"]
    assert row["recipient"] == "ada@example.com"
    assert row["at"]
    assert "hooks.example.com" in cli("suppress", "list").stdout
    assert "Nothing of that name" in cli("suppress", "remove", "x@y.example").stderr
    gone = told(cli("suppress", "remove", "ADA@example.com", "--json"))
    assert gone["removed"] is True
    assert told(cli("suppress", "add", "*@x", "--json"), exit_code=2)["error"]["code"]
    refused = told(cli("suppress", "add", "not an address", "--json"), exit_code=2)["error"]
    assert refused["code"] == "VALIDATION_FAILED"
    assert "'not an address' is nobody" in refused["message"]
