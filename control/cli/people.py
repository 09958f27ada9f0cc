"""Who decides at this terminal, and for which tenant."""

from __future__ import annotations

import getpass
from collections.abc import Callable
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])


def _login_name() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return ""


by_option: Callable[[F], F] = click.option(
    "--by", metavar="NAME", default=_login_name, help="Who decides; your login name by default."
)
reason_option: Callable[[F], F] = click.option(
    "--reason", default="", metavar="TEXT", help="What is said about it."
)
tenant_option: Callable[[F], F] = click.option(
    "--tenant", default="default", show_default=True, metavar="NAME", help="Whose it is."
)
limit_option: Callable[[F], F] = click.option(
    "--limit", type=click.IntRange(1, 1000), default=50, show_default=True
)
