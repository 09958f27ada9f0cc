"""`muster effects …`: what was done to the outside world."""

from __future__ import annotations

from collections.abc import Sequence

import click
from rich.markup import escape

from control.async_client import AsyncMuster
from control.cli.delivery_view import effect_json, effects_table
from control.cli.options import json_option
from control.cli.people import by_option, limit_option, reason_option, tenant_option
from control.cli.run_view import state_text
from control.cli.session import with_client, with_journal
from control.cli.terminal import console, print_json, side_console
from control.run_lookup import find_run
from envelope.effect import EffectState
from envelope.ports.journal import Journal
from envelope.ports.ledger import EffectFilter, EffectRow
from worker.delivery.ledger_of import ledger_of
from worker.delivery.recipients import one_spelling


@click.group()
def effects() -> None:
    """List effects (e-mails, webhooks) and settle those of which nobody knows."""


@effects.command("list")
@click.option("--state", type=click.Choice([state.value for state in EffectState]))
@click.option("--channel", metavar="NAME", help="Only on this channel.")
@click.option("--run", metavar="RUN", help="Only those of this run.")
@click.option("--recipient", metavar="WHO", help="Only those that reached or would reach WHO.")
@click.option("--tenant", metavar="NAME", help="Only of this tenant.")
@limit_option
@json_option
def list_effects(
    state: str | None,
    channel: str | None,
    run: str | None,
    recipient: str | None,
    tenant: str | None,
    limit: int,
    as_json: bool,
) -> None:
    """List effects, newest first."""

    async def work(journal: Journal) -> Sequence[EffectRow]:
        which = EffectFilter(
            tenant=tenant,
            state=EffectState(state) if state else None,
            channel=channel,
            run_id=(await find_run(journal, run)).run_id if run else None,
            recipient=one_spelling(recipient) if recipient else None,
            limit=limit,
        )
        return await ledger_of(journal).effects(which)

    found = with_journal(work)
    if as_json:
        print_json({"effects": [effect_json(row) for row in found]})
    elif found:
        console().print(effects_table(found))
    else:
        side_console().print("No effects.")


@effects.command()
@click.argument("key")
@click.argument("state", type=click.Choice([EffectState.SENT.value, EffectState.FAILED.value]))
@by_option
@reason_option
@tenant_option
@json_option
def settle(key: str, state: str, by: str, reason: str, tenant: str, as_json: bool) -> None:
    """Say whether effect KEY, of which nobody knows, was sent or has failed.

    Ask the receiver first. One that was sent is never repeated; one that failed is sent when its
    run is repeated.
    """

    async def work(client: AsyncMuster) -> EffectRow:
        return await client.effects.settle(key, state, by=by, reason=reason, tenant=tenant)

    row = with_client(work)
    if as_json:
        print_json(effect_json(row))
        return
    told = f"{state_text(row.state)} by {escape(row.settled_by or '')}"
    console().print(f"Effect [bold]{escape(row.key)}[/] is settled as {told}.")
    if row.state is EffectState.FAILED:
        side_console().print(f"[dim]To send it: muster runs retry {row.run_id}[/]")
