"""The root of the commands: turns every expected error into a message and an exit code."""

from __future__ import annotations

import json
import os
import sys
from typing import Any, NoReturn

import click

from envelope.errors import (
    MusterError,
    RunCancelled,
    RunFailed,
    RunTimeout,
    Unavailable,
)

EXIT_RUN_FAILED = 1
EXIT_WRONG = 2
EXIT_AWAY = 3
EXIT_INTERRUPTED = 130

_JSON = "muster.json"


class MusterGroup(click.Group):
    """Exit codes: 0 done, 1 the run failed, 2 wrong usage or input, 3 a needed service is away.

    With `--json` the error goes to stdout as `{"error": {"code", "message"}}`, otherwise to stderr.
    """

    def make_context(
        self,
        info_name: str | None,
        args: list[str],
        parent: click.Context | None = None,
        **extra: Any,
    ) -> click.Context:
        """Note whether JSON is asked for before anything can go wrong."""
        wants_json = "--json" in args
        ctx = super().make_context(info_name, args, parent, **extra)
        ctx.meta[_JSON] = wants_json
        return ctx

    def invoke(self, ctx: click.Context) -> Any:
        """Invoke a sub-command."""
        try:
            return super().invoke(ctx)
        except MusterError as error:
            _fail(ctx, error.code, str(error), exit_code(error))
        except click.UsageError as error:
            if not ctx.meta[_JSON]:
                raise
            _fail(ctx, "USAGE", error.format_message(), EXIT_WRONG)
        except BrokenPipeError:
            _forget_stdout()
            ctx.exit(EXIT_RUN_FAILED)
        except KeyboardInterrupt:
            ctx.exit(EXIT_INTERRUPTED)


def exit_code(error: MusterError) -> int:
    """Return the exit code that stands for an error."""
    if isinstance(error, Unavailable):
        return EXIT_AWAY
    if isinstance(error, RunFailed | RunCancelled | RunTimeout):
        return EXIT_RUN_FAILED
    return EXIT_WRONG


def _fail(ctx: click.Context, code: str, message: str, status: int) -> NoReturn:
    if ctx.meta[_JSON]:
        click.echo(json.dumps({"error": {"code": code, "message": message}}, ensure_ascii=False))
    else:
        click.secho(f"{code}: ", fg="red", bold=True, nl=False, err=True)
        click.echo(message, err=True)
    ctx.exit(status)


def _forget_stdout() -> None:
    """The reader has gone; without this the interpreter would complain once more at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
