"""The fluent builder of tasks."""

from __future__ import annotations

import builtins
import re
from dataclasses import dataclass, field, replace
from typing import Any, Generic, TypeVar, cast

from pydantic import BaseModel

from agents.llm.port import ToolLimits
from agents.retries import RetryPolicy
from agents.tasks.definition import I, O, Task, TaskCheck, TaskType
from agents.tasks.errors import IncompleteTask, InvalidTask
from agents.tasks.outputs import OUTPUTS

I2 = TypeVar("I2", bound=BaseModel)
O2 = TypeVar("O2", bound=BaseModel)

_NEEDED = ("type", "system_prompt", "user_prompt", "input", "output", "progress")
_METHODS = {"output": "function"}
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


@dataclass(frozen=True, slots=True)
class TaskBuilder(Generic[I, O]):
    """Gathers the parts of a task, in any order. Every call returns a new builder.

    Example:
        >>> mood = task("mood").type("analysis").system_prompt("You judge messages.")
        >>> mood.user_prompt("Judge {message}.").input(Message).function(Mood).progress(0).build()
    """

    name: str
    parts: dict[str, Any] = field(default_factory=dict)

    def type(self, kind: TaskType | str) -> TaskBuilder[I, O]:
        """Say what kind of work it is.

        Args:
            kind: `analysis`, `text_generation`, `image_generation` or `completion`. All but the
                first have an output of their own unless `function` names another.

        Raises:
            InvalidTask: There is no such type.
        """
        if kind not in list(TaskType):
            raise InvalidTask(
                f"Task {self.name!r}: {kind!r} is no type of task. Types: {', '.join(TaskType)}."
            )
        return self._with(type=TaskType(kind))

    def system_prompt(self, text: str) -> TaskBuilder[I, O]:
        """Say who the model is and which rules it keeps."""
        return self._with(system_prompt=text)

    def user_prompt(self, template: str) -> TaskBuilder[I, O]:
        """Say what is to be done, with names of the input's fields in braces.

        The values never become part of the instructions: they go to the model as data. Only an
        image model gets them in their places, since it has nothing but a description.
        """
        return self._with(user_prompt=template)

    def input(self, model: builtins.type[I2]) -> TaskBuilder[I2, O]:
        """Say what the task takes."""
        return cast("TaskBuilder[I2, O]", self._with(input=model))

    def function(
        self, output: builtins.type[O2], *, name: str | None = None, schema: str | None = None
    ) -> TaskBuilder[I, O2]:
        """Say what the model is to fill.

        Args:
            output: Its parameters. Docstring and field descriptions reach the model.
            name: The function's name; the model's name in snake case where None.
            schema: What the provider is told that the schema is called; the model's name where
                None.
        """
        parts = {"output": output, "function": name, "schema": schema}
        return cast("TaskBuilder[I, O2]", self._with(**parts))

    def progress(self, fraction: float) -> TaskBuilder[I, O]:
        """Say how far the whole work is when this task is done, from 0 to 1."""
        return self._with(progress=fraction)

    def model(self, name: str) -> TaskBuilder[I, O]:
        """Ask this model instead of that of the settings."""
        return self._with(model=name)

    def route(self, name: str) -> TaskBuilder[I, O]:
        """Ask the model that `ModelRoutes` has under this name."""
        return self._with(route=name)

    def tools(self, *names: str) -> TaskBuilder[I, O]:
        """Let the model use these registered tools, and no others."""
        return self._with(tools=names)

    def limits(self, limits: ToolLimits) -> TaskBuilder[I, O]:
        """Say how far it may go with tools."""
        return self._with(limits=limits)

    def check(self, check: TaskCheck) -> TaskBuilder[I, O]:
        """Test the output further: `check(input, output)` says what is wrong, or None."""
        return self._with(check=check)

    def max_output_tokens(self, tokens: int) -> TaskBuilder[I, O]:
        """Cap the answer; 4,000 tokens where nobody says."""
        return self._with(max_output_tokens=tokens)

    def timeout(self, seconds: float) -> TaskBuilder[I, O]:
        """Cap one attempt."""
        return self._with(timeout_seconds=seconds)

    def retries(self, policy: RetryPolicy | int) -> TaskBuilder[I, O]:
        """Say when a failed attempt is repeated: a policy, or how many times at most."""
        if isinstance(policy, int):
            policy = RetryPolicy(attempts=policy + 1)
        return self._with(retries=policy)

    def build(self) -> Task[I, O]:
        """Return the task.

        Raises:
            IncompleteTask: Parts are missing; lists all of them.
            InvalidTask: A part is out of range; lists all that are.
        """
        parts = self._completed()
        missing = [_METHODS.get(part, part) for part in _NEEDED if parts.get(part) is None]
        if missing:
            raise IncompleteTask(self.name, missing)
        return Task(name=self.name, **parts)

    def _completed(self) -> dict[str, Any]:
        """Add what follows from other parts: the output of its type, the function's name."""
        own = OUTPUTS.get(self.parts.get("type", TaskType.ANALYSIS))
        parts = {"output": own, **self.parts}
        if parts["output"] is not None and not parts.get("function"):
            parts["function"] = _HUMP.sub("_", parts["output"].__name__).lower()
        return parts

    def _with(self, **parts: Any) -> TaskBuilder[I, O]:
        return replace(self, parts={**self.parts, **parts})


def task(name: str) -> TaskBuilder[BaseModel, BaseModel]:
    """Begin a task.

    Args:
        name: Letters, digits, `_` and `-`.
    """
    return TaskBuilder(name)
