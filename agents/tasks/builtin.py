"""Registers the predefined tasks as agents, so that flows can call them by name."""

from agents.tasks.agent import as_agent
from agents.tasks.predefined import PREDEFINED

REGISTERED = tuple(as_agent(task) for task in PREDEFINED.values())
"""`intent`, `brand`, `complexity`, `text`, `image_task` and `completion`."""
