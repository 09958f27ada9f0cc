"""The terminal: `muster …`, and the same commands as `celery muster …`."""

from __future__ import annotations

from control.cli.group import MusterGroup
from control.cli.lazy import lazy_commands

muster = MusterGroup(
    name="muster",
    help="Durable multi-agent campaigns on Celery and Redis.",
    commands=lazy_commands(
        {
            "demo": ("control.cli.demo:demo", "Watch a real campaign run on embedded parts."),
            "dev": ("control.cli.dev:dev", "Run everything that development needs, here."),
            "enqueue": ("control.cli.enqueue:enqueue", "Enqueue a run of a flow."),
            "runs": ("control.cli.runs:runs", "List, show, watch, cancel, retry, explain runs."),
            "config": ("control.cli.config:config", "Show the settings."),
        }
    ),
    context_settings={"help_option_names": ["-h", "--help"]},
)


def main() -> None:
    """Run the console script `muster`."""
    muster()
