"""A language model that says what a test tells it to, through the same checks as a real one."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from agents.llm.errors import InvalidOutput
from agents.llm.port import Check, Generated, OnDelta, Prompt
from agents.llm.tool import Tool, ToolLimits
from agents.testing.double import ScriptExhausted
from agents.testing.expecting import expect
from envelope.envelope import explain
from envelope.running import RUNNING
from envelope.usage import Usage

M = TypeVar("M", bound=BaseModel)

_REPAIRS = 2

Said = BaseModel | Mapping[str, Any] | BaseException | type[BaseException]
"""What the model says: an output, its fields, or an error that is raised."""

Predicate = Callable[[Prompt, type[BaseModel]], bool]


@dataclass(frozen=True, slots=True)
class ToolUse:
    """A turn in which the model calls a tool; `uses` makes it."""

    name: str
    arguments: Mapping[str, Any]


Turn = Said | ToolUse | Callable[[Prompt], Said]


@dataclass(slots=True, kw_only=True)
class ModelCall:
    """One call of `generate`.

    Attributes:
        prompt: What the model was given.
        output: The model that it was asked for.
        model: The name of another model that was asked for.
        name: What the schema was called instead of its class's name.
        tools: Names of the tools it was given.
        tool_results: What the tools answered, as JSON texts.
        complaints: What was wrong with its outputs, as it was told.
    """

    prompt: Prompt
    output: type[BaseModel]
    model: str | None
    tools: tuple[str, ...]
    name: str | None = None
    tool_results: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)


def uses(tool: str, /, **arguments: Any) -> ToolUse:
    """Let the model call a tool in this turn; its answer is the turn after."""
    return ToolUse(tool, arguments)


class ScriptedModel:
    """A `LanguageModel` that gives its answers in order, or by a predicate.

    An answer that does not fit the output's schema or the caller's check is complained of, and the
    next one is the repair, twice at most, as with a real model. Tools are really called.

    Args:
        *answers: One a turn: an output or its fields, an error to raise, `uses(tool, …)`, or a
            function of the prompt that returns an output, fields or an error.
        name: The model's name.
        usage: What each turn uses.

    Attributes:
        name: The model's name.
        calls: The calls so far.

    Example:
        >>> model = ScriptedModel({"points": 80, "reason": "fits"})
        >>> resources.provide(LanguageModel, lambda: model)
    """

    def __init__(
        self, *answers: Turn, name: str = "scripted-1", usage: Usage | None = None
    ) -> None:
        self.name = name
        self.calls: list[ModelCall] = []
        self._script = list(answers)
        self._by_predicate: list[tuple[Predicate, Turn]] = []
        self._usage = usage or Usage(requests=1)

    def add(self, *answers: Turn) -> ScriptedModel:
        """Append answers to the script."""
        self._script += answers
        return self

    def when(self, fits: Predicate | type[BaseModel], answer: Turn) -> ScriptedModel:
        """Give this answer to every call that fits, before the script is looked at.

        Args:
            fits: A function of prompt and output model, or the output model itself.
            answer: The answer.
        """
        if isinstance(fits, type):
            wanted = fits
            self._by_predicate.append((lambda _, output: output is wanted, answer))
        else:
            self._by_predicate.append((fits, answer))
        return self

    def assert_done(self) -> None:
        """Fail if answers of the script were not asked for."""
        left = len(self._script)
        expect(not left, f"{left} answer(s) of the script were not asked for.")

    async def generate(
        self,
        prompt: Prompt,
        output: type[M],
        *,
        check: Check | None = None,
        on_delta: OnDelta | None = None,
        tools: Sequence[Tool] = (),
        limits: ToolLimits | None = None,
        model: str | None = None,
        name: str | None = None,
    ) -> Generated[M]:
        """Say what the script says; see `LanguageModel.generate`.

        Raises:
            ScriptExhausted: The script has no further answer.
            InvalidOutput: The answer and its repairs do not fit.
            Exception: An answer that is an error.
        """
        call = ModelCall(
            prompt=prompt,
            output=output,
            model=model,
            name=name,
            tools=tuple(tool.name for tool in tools),
        )
        self.calls.append(call)
        turns, used = _Turns(tools, limits), Usage()
        while len(call.complaints) <= _REPAIRS:
            turn = self._next(call)
            used = used + self._use()
            if isinstance(turn, ToolUse):
                call.tool_results.append(await turns.call(turn.name, turn.arguments, used))
                continue
            made, complaint = _read(_said(turn, prompt), output, check)
            if made is not None and complaint is None:
                if on_delta is not None:
                    on_delta(made.model_dump_json())
                return Generated(made, model or self.name, used, prompt.sha256(output, tools, name))
            call.complaints.append(str(complaint))
        raise InvalidOutput(f"{output.__name__}: {call.complaints[-1]}")

    def _next(self, call: ModelCall) -> Turn:
        for fits, answer in self._by_predicate:
            if fits(call.prompt, call.output):
                return answer
        if not self._script:
            raise ScriptExhausted(
                f"The script of {self.name!r} has no answer for call {len(self.calls)}, which "
                f"wants a {call.output.__name__}. Complaints so far: {call.complaints or 'none'}."
            )
        return self._script.pop(0)

    def _use(self) -> Usage:
        running = RUNNING.get()
        if running is not None:
            running.add_usage(self._usage)
        return self._usage


class _Turns:
    """The tools of one call, which load the provider's SDK: most scripts use none."""

    def __init__(self, tools: Sequence[Tool], limits: ToolLimits | None) -> None:
        self._given = tools, limits
        self._turns: Any = None

    async def call(self, name: str, arguments: Mapping[str, Any], used: Usage) -> str:
        if self._turns is None:
            module = importlib.import_module("agents.testing.tool_turns")
            self._turns = module.ToolTurns(*self._given)
        answer: str = await self._turns.call(name, arguments, used)
        return answer


def _said(turn: Said | Callable[[Prompt], Said], prompt: Prompt) -> BaseModel | Mapping[str, Any]:
    is_error = isinstance(turn, type) and issubclass(turn, BaseException)
    said: Any = turn if is_error or not callable(turn) else turn(prompt)
    if isinstance(said, BaseException) or is_error:
        raise said
    made: BaseModel | Mapping[str, Any] = said
    return made


def _read(
    said: BaseModel | Mapping[str, Any], output: type[M], check: Check | None
) -> tuple[M | None, str | None]:
    given = said.model_dump(mode="json") if isinstance(said, BaseModel) else dict(said)
    try:
        made = output.model_validate_json(json.dumps(given))
    except ValidationError as problem:
        return None, explain(problem)
    return made, check(made) if check else None
