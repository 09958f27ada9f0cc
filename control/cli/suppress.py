"""`muster suppress …`: who shall not be reached."""

from __future__ import annotations

from collections.abc import Sequence

import click
from rich.markup import escape

from control.async_client import AsyncMuster
from control.cli.delivery_view import suppression_json, suppressions_table
from control.cli.options import json_option
from control.cli.people import by_option, reason_option, tenant_option
from control.cli.session import with_client
from control.cli.terminal import console, print_json, side_console
from control.suppressions import ANY_CHANNEL
from envelope.ports.ledger import Suppression

_channel = click.option(
    "--channel", default=ANY_CHANNEL, show_default=True, metavar="NAME", help="* means any."
)


@click.group()
def suppress() -> None:
    """Keep recipients from being reached. RECIPIENT is an address, or the host of webhooks."""


@suppress.command()
@click.argument("recipient")
@_channel
@reason_option
@by_option
@tenant_option
@json_option
def add(recipient: str, channel: str, reason: str, by: str, tenant: str, as_json: bool) -> None:
    """Keep RECIPIENT from being reached from now on."""

    async def work(client: AsyncMuster) -> Suppression:
        return await client.suppressions.add(
            recipient, channel=channel, reason=reason, by=by, tenant=tenant
        )

    made = with_client(work)
    if as_json:
        print_json(suppression_json(made))
    else:
        console().print(f"[bold]{escape(made.recipient)}[/] is not reached any more.")


@suppress.command()
@click.argument("recipient")
@_channel
@by_option
@tenant_option
@json_option
def remove(recipient: str, channel: str, by: str, tenant: str, as_json: bool) -> None:
    """Let RECIPIENT be reached again; takes back what `add` did for the same channel."""

    async def work(client: AsyncMuster) -> bool:
        return await client.suppressions.remove(recipient, by=by, channel=channel, tenant=tenant)

    removed = with_client(work)
    if as_json:
        print_json({"recipient": recipient, "channel": channel, "removed": removed})
    elif removed:
        console().print(f"[bold]{escape(recipient)}[/] may be reached again.")
    else:
        side_console().print("Nothing of that name and channel was suppressed.")


@suppress.command("list")
@click.option("--channel", metavar="NAME", help="Only what counts on this channel.")
@click.option("--recipient", metavar="WHO", help="Only what concerns WHO.")
@tenant_option
@click.option("--limit", type=click.IntRange(1, 10_000), default=1000, show_default=True)
@json_option
def list_suppressions(
    channel: str | None, recipient: str | None, tenant: str, limit: int, as_json: bool
) -> None:
    """List who is not reached."""

    async def work(client: AsyncMuster) -> Sequence[Suppression]:
        return await client.suppressions.list(
            channel=channel, recipient=recipient, tenant=tenant, limit=limit
        )

    found = with_client(work)
    if as_json:
        print_json({"suppressions": [suppression_json(each) for each in found]})
    elif found:
        console().print(suppressions_table(found))
    else:
        side_console().print("Nobody is suppressed.")
