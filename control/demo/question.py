"""A question at the terminal that Ctrl-C ends at once."""

from __future__ import annotations

import asyncio
import os
import sys
import termios

import click

_ANSWERS = {"y": True, "yes": True, "n": False, "no": False}
_LONGEST = 1024


async def ask(question: str, default: bool) -> bool | None:
    """Ask on the terminal until the answer is yes or no; None where the input ends instead.

    No thread waits for the answer: one that does could not be ended, and the process with it.
    """
    # What was typed before the question could be read is no answer to it.
    termios.tcflush(sys.stdin.fileno(), termios.TCIFLUSH)
    while True:
        click.echo(f"{question} [{'Y/n' if default else 'y/N'}]: ", nl=False)
        line = await _line(sys.stdin.fileno())
        if not line:
            click.echo()
            return None
        answer = line.strip().lower()
        if not answer:
            return default
        if answer in _ANSWERS:
            return _ANSWERS[answer]
        click.echo("Please answer y or n.")


async def _line(terminal: int) -> str:
    """A terminal hands over one line at a time."""
    loop, ready = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(terminal, ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_reader(terminal)
    return os.read(terminal, _LONGEST).decode(errors="replace")
