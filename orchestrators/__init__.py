"""The order of work: flows, written as plain `async def` over durable steps."""

from orchestrators.inline import run_inline
from orchestrators.registry import FLOWS, orchestrator

__all__ = ["FLOWS", "orchestrator", "run_inline"]
