"""`muster approvals …`: what waits for a person's consent."""

from __future__ import annotations

from collections.abc import Sequence

import click
from rich.markup import escape

from control.approvals import find_approval
from control.async_client import AsyncMuster
from control.cli.delivery_view import approval_json, approvals_table, print_approval
from control.cli.options import json_option
from control.cli.people import by_option, limit_option, reason_option
from control.cli.session import with_client, with_journal
from control.cli.terminal import console, print_json, side_console
from control.run_lookup import find_run
from control.shown import Shown
from envelope.approval import ApprovalState
from envelope.errors import ApprovalRefused
from envelope.ports.journal import Journal
from envelope.ports.ledger import ApprovalFilter, ApprovalRow
from worker.delivery.ledger_of import ledger_of


@click.group()
def approvals() -> None:
    """List, show, approve, reject what runs ask a person for.

    APPROVAL is an approval's id, or a beginning or ending of it that no other approval has.
    """


@approvals.command("list")
@click.option(
    "--state",
    type=click.Choice([*(state.value for state in ApprovalState), "any"]),
    default=ApprovalState.PENDING.value,
    show_default=True,
)
@click.option("--run", metavar="RUN", help="Only what this run asked for.")
@click.option("--channel", metavar="NAME", help="Only on this channel.")
@click.option("--tenant", metavar="NAME", help="Only of this tenant.")
@limit_option
@json_option
def list_approvals(
    state: str,
    run: str | None,
    channel: str | None,
    tenant: str | None,
    limit: int,
    as_json: bool,
) -> None:
    """List approvals, newest first: those that wait, unless --state says otherwise."""

    async def work(journal: Journal) -> Sequence[ApprovalRow]:
        which = ApprovalFilter(
            tenant=tenant,
            state=None if state == "any" else ApprovalState(state),
            run_id=(await find_run(journal, run)).run_id if run else None,
            channel=channel,
            limit=limit,
        )
        return await ledger_of(journal).approvals(which)

    found = Shown.by_settings().rows(with_journal(work))
    if as_json:
        print_json({"approvals": [approval_json(row) for row in found]})
    elif found:
        console().print(approvals_table(found))
        side_console().print("[dim]muster approvals show APPROVAL[/]")
    else:
        side_console().print("Nothing waits for approval." if state == "pending" else "None.")


@approvals.command()
@click.argument("approval")
@json_option
def show(approval: str, as_json: bool) -> None:
    """Show an approval with exactly what will be sent."""
    row = _found(approval)
    if as_json:
        print_json(approval_json(row, content=True))
    else:
        print_approval(console(), row)


@approvals.command()
@click.argument("approval")
@by_option
@reason_option
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
def approve(approval: str, by: str, reason: str, yes: bool, as_json: bool) -> None:
    """Show exactly what will be sent, ask, and consent to it; its run goes on.

    The consent is for the content that was shown, for one time.
    """
    if as_json and not yes:
        raise click.UsageError("With --json nobody is asked: add --yes.")
    row = _found(approval)
    if not as_json:
        print_approval(console(), row)
    if row.state is not ApprovalState.PENDING:
        raise ApprovalRefused(f"Approval {row.approval_id} is {row.state.value} already.")
    if not yes and not click.confirm("Approve exactly this?", err=True):
        side_console().print("Nothing was decided.")
        return

    async def work(client: AsyncMuster) -> ApprovalRow:
        return await client.approvals.approve(
            row.approval_id, by=by, reason=reason, sha256=row.content_sha256
        )

    _tell(with_client(work), as_json=as_json)


@approvals.command()
@click.argument("approval")
@by_option
@reason_option
@json_option
def reject(approval: str, by: str, reason: str, as_json: bool) -> None:
    """Say no; nothing is sent, and the flow of the run is told so."""

    async def work(client: AsyncMuster) -> ApprovalRow:
        return await client.approvals.reject(approval, by=by, reason=reason)

    _tell(with_client(work), as_json=as_json)


def _found(name: str) -> ApprovalRow:
    return with_journal(lambda journal: find_approval(ledger_of(journal), name))


def _tell(row: ApprovalRow, *, as_json: bool) -> None:
    if as_json:
        print_json(approval_json(row))
        return
    said = f"{row.state.value} by {escape(row.decided_by or '')}"
    console().print(f"Approval [bold]{row.approval_id}[/] is {said}; run {row.run_id} goes on.")
