"""`muster enqueue`."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import asdict
from typing import Any

import click
from rich.markup import escape

from control.async_client import AsyncMuster
from control.async_run import AsyncRun
from control.cli.group import EXIT_RUN_FAILED
from control.cli.options import json_option, parsed_payload, parsed_tags, tag_option
from control.cli.run_view import print_run, state_text
from control.cli.session import with_client
from control.cli.terminal import console, print_json, side_console
from control.receipt import Receipt
from control.run_report import RunReport
from envelope.ports.journal_rows import Run, RunState


@click.command()
@click.argument("flow")
@click.option(
    "--payload", default="{}", metavar="JSON|@FILE|-", help="The flow's input; - reads stdin."
)
@click.option("--user", help="The user to run for.")
@click.option("--thread", help="That user's thread.")
@click.option("--key", help="Idempotency key: the same key and payload name the same run.")
@tag_option
@click.option("--priority", type=int, default=0, help="0 (default) to 9, which goes first.")
@click.option("--delay", type=float, default=0.0, metavar="S", help="Seconds before it may start.")
@click.option("--at", metavar="ISO8601", help="Not before this time, such as 2030-01-31T09:00Z.")
@click.option("--budget-tokens", type=int, metavar="N", help="Tokens for it and its children.")
@click.option("--budget-usd", type=float, metavar="X", help="US dollars for it and its children.")
@click.option("--allow-delivery", is_flag=True, help="Let it act on the outside world.")
@click.option("--wait", is_flag=True, help="Wait for the result; exit with 1 if the run fails.")
@click.option("--timeout", type=float, metavar="S", help="With --wait: seconds to wait at most.")
@json_option
@click.pass_context
def enqueue(
    ctx: click.Context,
    /,
    flow: str,
    payload: str,
    tags: tuple[str, ...],
    wait: bool,
    timeout: float | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Enqueue a run of FLOW. Once this returns, the run is committed."""
    request = {"payload": parsed_payload(payload), "tags": parsed_tags(tags), **options}

    async def work(client: AsyncMuster) -> RunState:
        run = await client.enqueue(flow, source="cli", **request)
        if wait:
            return await _finish(client, run, timeout, as_json)
        await _announce(run, options["key"], as_json)
        return RunState.QUEUED

    if with_client(work) not in {RunState.SUCCEEDED, RunState.QUEUED}:
        ctx.exit(EXIT_RUN_FAILED)


async def _announce(run: AsyncRun, key: str | None, as_json: bool) -> None:
    receipt = run.receipt
    assert receipt is not None  # noqa: S101 - what was just enqueued has one
    row = await run.row()
    if as_json:
        print_json({"status": row.state.value, **asdict(receipt)})
        return
    console().print(f"Run [bold]{run.id}[/] is {state_text(row.state)}{_how(receipt, row, key)}.")
    hints = side_console()
    if receipt.notice:
        hints.print(f"[yellow]Not done yet:[/] {escape(receipt.notice)}")
    hints.print(f"[dim]muster runs watch {run.id}[/]")


def _how(receipt: Receipt, row: Run, key: str | None) -> str:
    """Say what stands between the trigger and its run."""
    if receipt.replaced:
        return f"; it replaces {', '.join(receipt.replaced)}"
    if receipt.behind:
        return f", behind run {receipt.behind}, which has {escape(receipt.singleton or '')}"
    if receipt.created:
        return ""
    if key is not None and row.key == key:
        return " (it was there before: same key and payload)"
    return f" (active already; it stands for this trigger: {escape(receipt.singleton or '')})"


async def _finish(
    client: AsyncMuster,
    run: AsyncRun,
    seconds: float | None,
    as_json: bool,
) -> RunState:
    hints = side_console()
    with hints.status(f"Run {run.id} …") if hints.is_terminal else nullcontext():
        ended = await run.ended(seconds)
    report = await RunReport.read((await client.manager()).backend.journal, ended)
    if as_json:
        print_json(report.to_json())
    else:
        print_run(console(), report)
    return ended.state
