"""`muster demo`."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import click

from control.cli.group import EXIT_INTERRUPTED, EXIT_RUN_FAILED
from control.cli.logs import quiet_logs
from control.cli.people import by_option
from control.cli.terminal import console
from control.demo.options import Choice, Deliver, DemoOptions, Ended
from control.demo.question import ask
from control.demo.settings import demo_settings
from control.demo.show import show_demo

_EXIT = {
    Ended.ALL_SUCCEEDED: 0,
    Ended.SOME_FAILED: EXIT_RUN_FAILED,
    Ended.INTERRUPTED: EXIT_INTERRUPTED,
}
_FIRST = ""


@click.command()
@click.option(
    "--leads", type=click.Path(path_type=Path), metavar="FILE.csv", help="Companies to write to."
)
@click.option(
    "--knowledge", type=click.Path(path_type=Path), metavar="DIR", help="Documents to cite from."
)
@click.option("--limit", type=click.IntRange(1), metavar="N", help="Only the first N companies.")
@click.option("--new", "choice", flag_value="new", help="Start a new campaign.")
@click.option("--continue", "choice", flag_value="continue", help="Go on with the last campaign.")
@click.option(
    "--deliver",
    "symbol",
    is_flag=False,
    flag_value=_FIRST,
    metavar="[SYMBOL]",
    help="Send one draft, of the first company or of SYMBOL, to the demo's own mail server, "
    "once it is approved.",
)
@click.option("--yes", is_flag=True, help="With --deliver: approve it without asking.")
@by_option
@click.pass_context
def demo(
    ctx: click.Context,
    /,
    leads: Path | None,
    knowledge: Path | None,
    limit: int | None,
    choice: str | None,
    symbol: str | None,
    yes: bool,
    by: str,
) -> None:
    """Watch a real campaign: a durable run per company, from retrieved facts to a stored draft.

    Starts an embedded Redis, an SQLite journal and a Celery worker, and stops them at the end.
    With --deliver one draft goes on as an e-mail, which never leaves this machine.
    """
    if yes and symbol is None:
        raise click.UsageError("--yes approves what --deliver sends: add --deliver.")
    talking = sys.stdin.isatty() and sys.stdout.isatty()
    options = DemoOptions(
        leads=leads,
        knowledge=knowledge,
        limit=limit,
        choice=Choice(choice or Choice.ASK),
        deliver=None if symbol is None else Deliver(symbol=symbol or None, by=by, yes=yes),
        ask=ask if talking else None,
    )
    settings = demo_settings()
    quiet_logs(settings)
    ctx.exit(_EXIT[asyncio.run(show_demo(options, settings, console()))])
