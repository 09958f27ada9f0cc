"""The terminal: `muster …`, and the same commands as `celery muster …`."""

from __future__ import annotations

import sys

import click

from control.cli.group import MusterGroup
from control.cli.lazy import lazy_commands
from worker.shadowing import ShadowedPackage, check_not_shadowed

muster = MusterGroup(
    name="muster",
    help="Durable multi-agent campaigns on Celery and Redis.",
    commands=lazy_commands(
        {
            "demo": ("control.cli.demo:demo", "Watch a real campaign run on embedded parts."),
            "dev": ("control.cli.dev:dev", "Run everything that development needs, here."),
            "enqueue": ("control.cli.enqueue:enqueue", "Enqueue a run of a flow."),
            "runs": ("control.cli.runs:runs", "List, show, watch, steer, retry, explain runs."),
            "dead": ("control.cli.dead:dead", "List, show, replay dead letters."),
            "flows": ("control.cli.flows:flows", "List flows, and draw one."),
            "agents": ("control.cli.agents:agents", "Who holds permits, who waits, and limits."),
            "locks": ("control.cli.locks:locks", "List the locks that are held."),
            "approvals": (
                "control.cli.approvals:approvals",
                "Approve or reject what waits for it.",
            ),
            "effects": ("control.cli.effects:effects", "List what was sent, settle the unknown."),
            "suppress": ("control.cli.suppress:suppress", "Who shall not be reached."),
            "quarantine": (
                "control.cli.quarantine:quarantine",
                "List messages that no worker understood.",
            ),
            "config": ("control.cli.config:config", "Show the settings."),
        }
    ),
    context_settings={"help_option_names": ["-h", "--help"]},
)


def main() -> None:
    """Run the console script `muster`; explains a package that hides one of ours, exit code 2."""
    try:
        check_not_shadowed()
    except ShadowedPackage as shadowed:
        click.echo(f"Error: {shadowed}", err=True)
        sys.exit(2)
    muster()
