"""What `muster runs` prints of a run holds no secret, in whatever part of it one was put."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from pydantic import BaseModel

from agents import agent
from control.async_manager import AsyncCampaignManager
from control.cli import muster
from control.shown import Shown
from envelope import Envelope
from envelope.errors import Terminal
from envelope.failure import Failure
from envelope.ports.journal_rows import Attempt, Event, Run, RunState, Step, StepState
from orchestrators import orchestrator
from tests.unit.test_control_backend import backend_over
from worker.engine.masking import masked_failure
from worker.journal.open import journal_for
from worker.redaction import MASK, Redactor

CONFIGURED = 'canary/of the "settings"'
SHAPED = "sk-canary1234567890"
HONEST = "a customer's own words"


class Told(BaseModel):
    text: str
    api_key: str = "canary-by-its-name"
    deep: Any = None
    fail: bool = False


class Broken(Terminal):
    code = "SHW_BROKEN"


@agent("shw-says", inline=True)
async def says(ctx: Any, request: Told) -> Envelope:
    """Repeat everything, in a result, an event or an error."""
    ctx.emit("shw.said", text=request.text)
    if request.fail:
        raise Broken(f"broken by {request.text}")
    row = {"text": request.text, "api_key": request.api_key}
    return Envelope.from_records([row], source=f"http://u:{SHAPED}@host/")


@orchestrator("shw-flow")
async def shw_flow(ctx: Any, request: Told) -> Envelope:
    """One step."""
    return await ctx.call("shw-says", request)


@pytest.fixture
def url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    made = f"sqlite:///{tmp_path / 'journal.db'}"
    monkeypatch.setenv("MUSTER_DATABASE_URL", made)
    monkeypatch.setenv("MUSTER_HOME", str(tmp_path))
    monkeypatch.setenv("MUSTER_OPENAI_API_KEY", CONFIGURED)
    return made


def finished(url: str, payload: dict[str, Any]) -> str:
    """Execute a run in process, over a journal that the commands read afterwards."""

    async def scenario() -> str:
        journal = journal_for(url)
        await journal.open()
        async with AsyncCampaignManager(backend_over(journal=journal)) as manager:
            event = {
                "flow": "shw-flow",
                "payload": payload,
                "user": SHAPED,
                "thread": SHAPED,
                "key": SHAPED,
                "tags": {"token": "canary-tag", "note": CONFIGURED},
            }
            run = await manager.ingest_event(event)
            await run.ended(20)
        return run.id

    return asyncio.run(scenario())


def said(*arguments: str) -> str:
    done: Result = CliRunner().invoke(muster, [*arguments])
    assert done.exit_code in {0, 1}, done.output
    return done.output


PAYLOAD = {"text": f"{HONEST} {SHAPED} {CONFIGURED}", "deep": {"a": [{"token": "canary-deep"}]}}


@pytest.mark.parametrize("fail", [False, True])
@pytest.mark.parametrize(
    "command",
    [
        lambda run: ("runs", "show", run),
        lambda run: ("runs", "show", run, "--json"),
        lambda _: ("runs", "list"),
        lambda _: ("runs", "list", "--json"),
        lambda run: ("runs", "watch", run),
        lambda run: ("runs", "watch", run, "--json"),
    ],
    ids=["show", "show-json", "list", "list-json", "watch", "watch-json"],
)
def test_no_secret_of_a_run_is_printed(
    url: str, command: Callable[[str], tuple[str, ...]], fail: bool
) -> None:
    run_id = finished(url, {**PAYLOAD, "fail": fail})
    told = said(*command(run_id))
    assert run_id in told
    assert "canary" not in told
    if "--json" in command(run_id):
        for document in told.splitlines() if "watch" in command(run_id) else [told]:
            json.loads(document)


def test_what_is_no_secret_is_printed_whole(url: str) -> None:
    run_id = finished(url, PAYLOAD)
    told = json.loads(said("runs", "show", run_id, "--json"))
    assert told["payload"]["text"] == f"{HONEST} {MASK} {MASK}"
    assert told["payload"]["api_key"] == MASK
    assert told["payload"]["deep"] == {"a": [{"token": MASK}]}
    assert told["steps"][0]["input"]["text"] == told["payload"]["text"]
    assert told["envelope"]["records"][0]["data"]["text"] == told["payload"]["text"]
    assert told["envelope"]["status"] == "success"
    assert told["tags"] == {"token": MASK, "note": MASK}


def test_the_journal_keeps_what_the_run_is_executed_from(url: str) -> None:
    run_id = finished(url, PAYLOAD)

    async def payload() -> str:
        journal = journal_for(url)
        await journal.open()
        run = await journal.run(run_id)
        await journal.close()
        assert run is not None
        return run.payload

    assert SHAPED in asyncio.run(payload())


def test_deep_data_is_shown(url: str) -> None:
    deep: Any = "bottom"
    for _ in range(30):
        deep = [deep]
    run_id = finished(url, {"text": "x", "deep": deep})
    told = json.loads(said("runs", "show", run_id, "--json"))
    assert told["payload"]["deep"] == deep


def full(kind: type[Any], **more: Any) -> Any:
    """A row with a secret in each text."""
    names = {field.name for field in fields(kind)}
    texts = dict.fromkeys(names, SHAPED)
    return kind(**{**texts, **{name: value for name, value in more.items() if name in names}})


def test_every_text_of_every_row_is_masked() -> None:
    secret = json.dumps({"any": SHAPED})
    failure = Failure(code="X", message=SHAPED).model_dump_json()
    numbers = dict.fromkeys(("version", "priority", "epoch", "losses", "position"), 1)
    json_fields = dict.fromkeys(("payload", "envelope", "input", "result", "data"), secret)
    for kind, state in (
        (Run, RunState.FAILED),
        (Step, StepState.FAILED),
        (Attempt, ""),
        (Event, ""),
    ):
        row = full(
            kind,
            **numbers,
            **json_fields,
            failure=failure,
            state=state,
            tags={"a": SHAPED},
            waits=None,
        )
        shown = Shown(Redactor()).row(row)
        assert "canary" in repr(row)
        assert "canary" not in repr(shown), kind
        if kind in {Run, Step}:
            assert shown.state is state


def test_a_masked_message_is_never_longer_than_a_failure_takes() -> None:
    failure = Failure(code="X", message="token=a " * 500)
    masked = masked_failure(Redactor(), failure)
    assert Failure.model_validate_json(masked.model_dump_json()).message.startswith("token=***")
