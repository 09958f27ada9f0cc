"""The order of work: flows, written as plain `async def` over durable steps, or put together from
the nodes of `orchestrators.flow`.
"""

from orchestrators.flow import flow_of
from orchestrators.inline import run_inline
from orchestrators.registry import FLOWS, orchestrator

__all__ = ["FLOWS", "flow_of", "orchestrator", "run_inline"]
