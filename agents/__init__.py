"""Units of work: envelope in, envelope out. Register your own with `@agent`."""

from agents.definition import AgentDefinition
from agents.registry import AGENTS, agent
from agents.retries import NO_RETRY, RetryPolicy

__all__ = ["AGENTS", "NO_RETRY", "AgentDefinition", "RetryPolicy", "agent"]
