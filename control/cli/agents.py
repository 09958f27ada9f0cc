"""`muster agents …`: each agent's limits, who holds permits, who waits and why."""

from __future__ import annotations

import click

from control.agent_limits import LimitSet, reset_agent_limit, set_agent_limit
from control.agent_report import AgentReport, agent_reports
from control.async_client import AsyncMuster
from control.cli.agents_view import agents_table, limit_text, print_queues
from control.cli.options import json_option
from control.cli.session import with_client
from control.cli.terminal import console, print_json, side_console
from control.surroundings import Surroundings


@click.group(invoke_without_command=True)
@json_option
@click.pass_context
def agents(ctx: click.Context, /, as_json: bool) -> None:
    """Show each agent's limit, who holds its permits, who waits and why; or set limits."""
    if ctx.invoked_subcommand is not None:
        return

    async def work(client: AsyncMuster) -> list[AgentReport]:
        return await agent_reports(Surroundings.of((await client.manager()).backend))

    found = with_client(work)
    if as_json:
        print_json({"agents": [agent.to_json() for agent in found]})
        return
    console().print(agents_table(found))
    print_queues(console(), found)


@agents.command("set")
@click.argument("name")
@click.option("--concurrency", type=int, metavar="N", help="How many steps may run at once.")
@click.option("--rate", metavar="RATE", help="Requests per time, such as 500/min.")
@click.option("--reset", is_flag=True, help="Let its registration hold again.")
@json_option
def set_limit(
    name: str, concurrency: int | None, rate: str | None, reset: bool, as_json: bool
) -> None:
    """Set limits of agent NAME for the whole cluster, at once and until they are reset.

    A lower concurrency takes no permit away: steps under way end first.
    """
    if reset == (concurrency is not None or rate is not None):
        raise click.UsageError("Give --concurrency or --rate, or else --reset.")

    async def work(client: AsyncMuster) -> LimitSet:
        around = Surroundings.of((await client.manager()).backend)
        if reset:
            return await reset_agent_limit(around, name)
        return await set_agent_limit(around, name, concurrency=concurrency, rate=rate)

    made = with_client(work)
    if as_json:
        print_json(
            {
                "agent": made.limit.agent,
                "concurrency": made.limit.concurrency,
                "rate": made.limit.rate,
                "notice": made.notice,
            }
        )
        return
    console().print(limit_text(made.limit))
    if made.notice:
        side_console().print(f"[yellow]Not in force yet:[/] {made.notice}")
