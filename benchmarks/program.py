"""A child process that does one contender's work: one line of JSON asks, one answers."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

_ROOT = Path(__file__).resolve().parents[1]
_TAIL_CHARACTERS = 2000
_LINE_LIMIT = 64 * 1024 * 1024


class ProgramFailed(RuntimeError):
    """A child process ended, or its work failed. The message carries the end of its log."""


class Program:
    """`python -m MODULE` whose handlers `benchmarks.programs.serving` serves.

    Args:
        module: What is executed.
        facts: The child's environment besides ours.
        log: File for what it prints.
    """

    def __init__(self, module: str, facts: Mapping[str, str], log: Path) -> None:
        self._module = module
        self._facts = dict(facts)
        self._log = log
        self._process: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int:
        """The child's process id."""
        return self._started.pid

    async def ask(self, do: str, **arguments: Any) -> Any:
        """Have the child do something and return what came of it.

        Raises:
            ProgramFailed: It did not.
        """
        process = self._started
        assert process.stdin is not None  # noqa: S101 - both are pipes
        assert process.stdout is not None  # noqa: S101
        process.stdin.write(json.dumps({"do": do, **arguments}).encode() + b"\n")
        await process.stdin.drain()
        line = await process.stdout.readline()
        answer = json.loads(line) if line else {"error": "it has ended"}
        if "error" in answer:
            raise ProgramFailed(f"{self._module}: {answer['error']}\n{tail(self._log)}")
        return answer["value"]

    async def __aenter__(self) -> Self:
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                self._module,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                cwd=_ROOT,
                env={**os.environ, **self._facts, "PYTHONPATH": str(_ROOT)},
                limit=_LINE_LIMIT,
                start_new_session=True,  # its processor time is counted by group
            )
        return self

    async def __aexit__(self, *_error: object) -> None:
        """Close its input, which ends it; what hangs is killed."""
        process = self._started
        assert process.stdin is not None  # noqa: S101 - it is a pipe
        process.stdin.close()
        try:
            async with asyncio.timeout(30):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()

    @property
    def _started(self) -> asyncio.subprocess.Process:
        if self._process is None:
            raise ProgramFailed(f"{self._module} is not started; use it in `async with`.")
        return self._process


def tail(log: Path) -> str:
    """Return the end of a log."""
    return log.read_text("utf-8", "replace")[-_TAIL_CHARACTERS:] if log.exists() else ""
