"""The turns of a scripted model in which it calls tools, as a real model's are made."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from agents.llm.ask import ToolCall
from agents.llm.tool import Tool, ToolLimits
from agents.llm.toolbox import Toolbox
from envelope.usage import Usage


class ToolTurns:
    """Makes the calls of one scripted call of a model.

    Args:
        tools: What the model was given.
        limits: How far it may go; None for `ToolLimits()`.
    """

    def __init__(self, tools: Sequence[Tool], limits: ToolLimits | None) -> None:
        self._toolbox = Toolbox(tools, limits or ToolLimits())

    async def call(self, name: str, arguments: Mapping[str, Any], used: Usage) -> str:
        """Call a tool and return its answer as JSON; errors as `Toolbox.answer` and `check`."""
        call = ToolCall(id="call-1", name=name, arguments=json.dumps(dict(arguments)))
        (result,) = await self._toolbox.answer([call])
        self._toolbox.check(used)
        return result.text
