"""The executor behind the functions of `control.tasks`; it keeps nothing of its own."""

from typing import Final

from control.tasks.executor import TaskExecutor

DEFAULT: Final = TaskExecutor()
