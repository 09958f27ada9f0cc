"""A task: typed work for a model, written down once and run anywhere."""

from __future__ import annotations

import builtins
import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Generic, TypeVar

from pydantic import BaseModel

from agents.llm.port import ToolLimits
from agents.retries import RetryPolicy
from agents.tasks.errors import InvalidTask
from agents.tasks.template import names_in
from envelope.canonical import content_hash
from envelope.registry import check_name

I = TypeVar("I", bound=BaseModel)  # noqa: E741 - input, beside O for output
O = TypeVar("O", bound=BaseModel)  # noqa: E741 - output

_SCHEMA_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")

TaskCheck = Callable[[Any, Any], str | None]
"""Says what is wrong with an output, given the input; None where nothing is."""


class TaskType(StrEnum):
    """What kind of work it is: an image model draws, a language model does all the others."""

    ANALYSIS = "analysis"
    TEXT_GENERATION = "text_generation"
    IMAGE_GENERATION = "image_generation"
    COMPLETION = "completion"


@dataclass(frozen=True, slots=True, kw_only=True)
class Task(Generic[I, O]):
    """What a model is to make of an input. Make one with `task(…)`, the builder.

    Attributes:
        name: Letters, digits, `_` and `-`; the step of its progress events.
        type: The kind of work.
        system_prompt: Who the model is and the rules that it keeps.
        user_prompt: What it is to do, with fields of the input in braces. Their values go to the
            model as data, beside the instructions.
        input: The model that the input is validated by.
        output: The model that the output is validated by; the function's parameters.
        function: The function's name, as the model is told it.
        schema: What the provider is told that the output's schema is called; None: the name of the
            output's class.
        progress: How far the whole work is when this task is done, from 0 to 1.
        model: The model to ask; None for that of the settings.
        route: A name that `ModelRoutes` resolves to a model; not together with `model`.
        tools: Names of registered tools that the model may use on the way.
        limits: How far it may go with them.
        check: A further test of the output; what it complains of is repaired.
        max_output_tokens: Cap of the answer, in tokens.
        timeout_seconds: Longest execution of one attempt; None for no limit but the model's own.
        retries: When a failed attempt is repeated.

    Raises:
        InvalidTask: Something is out of range; the message lists all that is.
    """

    name: str
    type: TaskType
    system_prompt: str
    user_prompt: str
    input: builtins.type[I]
    output: builtins.type[O]
    function: str
    progress: float
    schema: str | None = None
    model: str | None = None
    route: str | None = None
    tools: tuple[str, ...] = ()
    limits: ToolLimits | None = None
    check: TaskCheck | None = None
    max_output_tokens: int = 4_000
    timeout_seconds: float | None = None
    retries: RetryPolicy = field(default_factory=RetryPolicy)

    def __post_init__(self) -> None:
        problems = list(_problems(self))
        if problems:
            raise InvalidTask(f"Task {self.name!r} cannot work: {'; '.join(problems)}.")

    @property
    def fingerprint(self) -> str:
        """Tells this definition from another of the same name: 12 hex digits of its content."""
        said = [self.name, self.type, self.system_prompt, self.user_prompt, self.function]
        asked = [self.model, self.route, list(self.tools), self.progress]
        limits = self.limits.model_dump() if self.limits else None
        ends = [limits, self.max_output_tokens, self.timeout_seconds, self.retries.attempts]
        schemas = [self.input.model_json_schema(), self.output.model_json_schema()]
        named = [] if self.schema is None else [self.schema]
        return content_hash([said, asked, ends, schemas, *named])[:12]


def _problems(task: Task[Any, Any]) -> Iterator[str]:
    yield from _bad_name(task.name, "task")
    yield from _bad_name(task.function, "function")
    if task.schema is not None:
        yield from _bad_schema_name(task.schema)
    for part in ("system_prompt", "user_prompt"):
        if not getattr(task, part).strip():
            yield f"{part} is empty"
    yield from _bad_fields(task)
    if not (math.isfinite(task.progress) and 0 <= task.progress <= 1):
        yield f"progress is a fraction from 0 to 1, not {task.progress!r}"
    if task.model is not None and task.route is not None:
        yield f"it names both model {task.model!r} and route {task.route!r}; choose one"
    if task.timeout_seconds is not None and not task.timeout_seconds > 0:
        yield f"timeout is seconds above 0, not {task.timeout_seconds!r}"
    if task.max_output_tokens < 1:
        yield f"max_output_tokens is at least 1, not {task.max_output_tokens}"
    if task.type is TaskType.IMAGE_GENERATION and (task.tools or task.model or task.route):
        yield "an image model takes neither tools nor another model's name"


def _bad_name(name: str, noun: str) -> Iterator[str]:
    try:
        check_name(name, noun)
    except ValueError as problem:
        yield str(problem)


def _bad_schema_name(name: str) -> Iterator[str]:
    """A provider refuses any other name at every call."""
    if _SCHEMA_NAME.fullmatch(name) is None:
        yield f"the name of a schema is 1 to 64 letters, digits, _ and -, not {name!r}"


def _bad_fields(task: Task[Any, Any]) -> Iterator[str]:
    try:
        names = names_in(task.user_prompt)
    except ValueError as problem:
        yield f"user_prompt: {problem}"
        return
    known = task.input.model_fields
    for name in dict.fromkeys(names):
        if name not in known:
            whose = f"{task.input.__name__}, which has {', '.join(known) or 'none'}"
            yield f"user_prompt names {{{name}}}, no field of {whose}"
