"""`muster dead …`: runs that ended badly, by cause, and their replay."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict

import click

from control.async_client import AsyncMuster
from control.cli.dead_view import groups_table, print_failure, replayed_line
from control.cli.group import EXIT_WRONG
from control.cli.options import json_option, keep_options
from control.cli.session import with_client, with_journal
from control.cli.terminal import console, print_json, side_console
from control.dead_letters import Choice, DeadLetters, Outcome, Replayed
from control.failure_report import FailureReport, failure_report, group_json
from envelope.ports.journal import Journal
from envelope.ports.journal_rows import FailureGroup


@click.group()
def dead() -> None:
    """List, show, replay dead letters: runs that are failed or dead and were not replayed.

    Runs of one cause have one fingerprint.
    """


@dead.command("list")
@click.option("--limit", type=click.IntRange(1, 1000), default=100, show_default=True)
@json_option
def list_groups(limit: int, as_json: bool) -> None:
    """List the causes, newest first."""

    async def work(journal: Journal) -> Sequence[FailureGroup]:
        return await journal.failure_groups(limit)

    groups = with_journal(work)
    if as_json:
        print_json({"groups": [group_json(group) for group in groups]})
    elif groups:
        console().print(groups_table(groups))
        side_console().print("[dim]muster dead show FINGERPRINT[/]")
    else:
        side_console().print("No dead letters.")


@dead.command()
@click.argument("name", metavar="FINGERPRINT|RUN")
@json_option
def show(name: str, as_json: bool) -> None:
    """Show a cause: its runs, and of one of them the failed step, the trace and the losses."""

    async def work(journal: Journal) -> FailureReport:
        return await failure_report(journal, name)

    report = with_journal(work)
    if as_json:
        print_json(report.to_json())
    else:
        print_failure(console(), report)


@dead.command()
@click.argument("runs", metavar="[RUN]...", nargs=-1)
@click.option("--fingerprint", metavar="F", help="All of this cause.")
@click.option("--flow", metavar="NAME", help="All of this flow.")
@click.option("--all", "everything", is_flag=True, help="All there are.")
@keep_options
@click.option("--dry-run", is_flag=True, help="Only say which would be replayed.")
@json_option
@click.pass_context
def replay(
    ctx: click.Context,
    /,
    runs: tuple[str, ...],
    fingerprint: str | None,
    flow: str | None,
    everything: bool,
    from_step: str | None,
    keep: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Replay dead letters one by one, oldest first, each as a new run.

    Steps that succeeded are taken over with their results. A command that was cut short may be
    given again: what was replayed is not replayed twice. Exits with 2 when one was refused.
    """
    choice = Choice(names=runs, fingerprint=fingerprint, flow=flow, everything=everything)

    async def work(client: AsyncMuster) -> list[Replayed]:
        done: list[Replayed] = []
        letters = DeadLetters(await client.manager())
        async for one in letters.replay(choice, keep=keep, from_step=from_step, dry_run=dry_run):
            done.append(one)
            if not as_json:
                console().print(replayed_line(one), soft_wrap=True)
        return done

    done = with_client(work)
    counts = Counter(one.outcome for one in done)
    if as_json:
        numbers = {outcome.value: counts[outcome] for outcome in Outcome}
        print_json({**numbers, "runs": [asdict(one) for one in done]})
    else:
        told = ", ".join(f"{number} {outcome}" for outcome, number in counts.items())
        side_console().print(f"{told}." if told else "No dead letters.")
    if counts[Outcome.REFUSED]:
        ctx.exit(EXIT_WRONG)
