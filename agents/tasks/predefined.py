"""The predefined tasks by name."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any, Final

from agents.tasks.brand import BRAND
from agents.tasks.complexity import COMPLEXITY
from agents.tasks.definition import Task
from agents.tasks.intent import INTENT
from agents.tasks.picture import IMAGE
from agents.tasks.writing import COMPLETION, TEXT

_ALL: Final[tuple[Task[Any, Any], ...]] = (INTENT, BRAND, COMPLEXITY, TEXT, IMAGE, COMPLETION)

PREDEFINED: Final = MappingProxyType({task.name: task for task in _ALL})
"""By name, in their usual order."""
