"""What the user asked the demo for, and how it ended."""

from __future__ import annotations

import shlex
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

Ask = Callable[[str, bool], Awaitable[bool | None]]
"""Asks a person a question with its default answer; None where they leave it open."""


class Choice(StrEnum):
    """What to do about a campaign that is there already."""

    ASK = "ask"
    NEW = "new"
    CONTINUE = "continue"


class Ended(StrEnum):
    """How the demo ended. An e-mail that still waits for a person, or was declined, is success."""

    ALL_SUCCEEDED = "all_succeeded"
    SOME_FAILED = "some_failed"
    INTERRUPTED = "interrupted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Deliver:
    """One draft shall be sent.

    Attributes:
        symbol: The company that it is for; None for the first that has one.
        by: Who decides at this terminal.
        yes: Whether to consent without asking.
    """

    symbol: str | None = None
    by: str
    yes: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoOptions:
    """What the user asked for.

    Attributes:
        leads: CSV of companies; None for the sample.
        knowledge: Folder or file of documents; None for the project's own.
        limit: Most leads; None for all.
        choice: What to do about an unfinished campaign.
        deliver: What to send; None for nothing.
        ask: Asks the user; None where nobody can be asked.
    """

    leads: Path | None = None
    knowledge: Path | None = None
    limit: int | None = None
    choice: Choice = Choice.ASK
    deliver: Deliver | None = None
    ask: Ask | None = None

    @property
    def delivery_command(self) -> str:
        """The command that delivers the same draft of the same companies."""
        symbol = self.deliver.symbol if self.deliver else None
        named = {"--leads": self.leads, "--knowledge": self.knowledge, "--limit": self.limit}
        words = [
            "muster",
            "demo",
            "--deliver",
            *([symbol] if symbol else []),
            *(str(each) for pair in named.items() if pair[1] is not None for each in pair),
        ]
        return shlex.join(words)
