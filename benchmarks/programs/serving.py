"""The child's side of a `Program`."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import traceback
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

Handlers = Mapping[str, Callable[..., Awaitable[Any]]]


async def serve(handlers: Handlers) -> None:
    """Answer requests from standard input until it ends.

    Whatever libraries print goes to standard error: standard output carries answers alone.
    """
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    while line := await asyncio.to_thread(sys.stdin.readline):
        print(json.dumps(await _answer(handlers, json.loads(line))), file=answers, flush=True)


async def _answer(handlers: Handlers, request: dict[str, Any]) -> dict[str, Any]:
    try:
        return {"value": await handlers[request.pop("do")](**request)}
    except Exception as error:  # noqa: BLE001 - the parent reports it
        traceback.print_exc()
        return {"error": f"{type(error).__name__}: {error}"}
