"""A model without a model: deterministic, free, and open about it in its name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol, Self, TypeVar

from pydantic import BaseModel, ValidationError

from agents.llm.errors import InvalidOutput
from agents.llm.offline_fill import fill
from agents.llm.port import Check, Generated, OnDelta, Prompt
from agents.llm.tool import Tool, ToolLimits
from agents.llm.watch import Watch, watched_by_step
from envelope.envelope import explain
from envelope.running import RUNNING
from envelope.usage import Usage

M = TypeVar("M", bound=BaseModel)

OFFLINE_NAME: Final = "offline-composer-1"


class ComposesOffline(Protocol):
    """An output that knows how to be made of a prompt's data without a model."""

    @classmethod
    def compose_offline(cls, prompt: Prompt) -> Self:
        """Make it of the task and the documents; the same prompt gives the same output."""


class OfflineModel:
    """A `LanguageModel` that calls nothing and invents nothing.

    An output with `compose_offline` makes itself; any other is filled from its JSON schema with
    sentences of the documents.

    Args:
        watch: Sees every composition, as if it were a request; by default who watches the running
            step.
    """

    def __init__(self, watch: Watch = watched_by_step) -> None:
        self._watch = watch

    @property
    def name(self) -> str:
        """`offline-composer-1`; another number means that the same prompt may give another text."""
        return OFFLINE_NAME

    async def generate(
        self,
        prompt: Prompt,
        output: type[M],
        *,
        check: Check | None = None,
        on_delta: OnDelta | None = None,
        tools: Sequence[Tool] = (),
        limits: ToolLimits | None = None,  # noqa: ARG002 - the port's; no tool is called
        model: str | None = None,  # noqa: ARG002 - the port's; there is no other one
        name: str | None = None,
    ) -> Generated[M]:
        """Compose the output; see `LanguageModel.generate`. No tool is called.

        Raises:
            InvalidOutput: The output's schema cannot be met without a real model.
        """
        usage = Usage(requests=1)
        with self._watch(OFFLINE_NAME, "", "chat") as answered:
            made = _checked(prompt, output, check)
            answered(OFFLINE_NAME, usage)
        running = RUNNING.get()
        if running is not None:
            running.add_usage(usage)
        if on_delta is not None:
            on_delta(made.model_dump_json())
        return Generated(made, OFFLINE_NAME, usage, prompt.sha256(output, tools, name))


def _checked(prompt: Prompt, output: type[M], check: Check | None) -> M:
    made = _made(prompt, output)
    problem = check(made) if check else None
    if problem:
        raise _needs_model(output, problem)
    return made


def _made(prompt: Prompt, output: type[M]) -> M:
    compose = getattr(output, "compose_offline", None)
    try:
        return output.model_validate(compose(prompt) if compose else fill(output, prompt))
    except ValidationError as problem:
        raise _needs_model(output, explain(problem)) from problem


def _needs_model(output: type[BaseModel], problem: str) -> InvalidOutput:
    return InvalidOutput(
        f"The offline model cannot make a {output.__name__}: {problem}. "
        "Set MUSTER_OPENAI_API_KEY or MUSTER_OPENAI_BASE_URL to use a real model."
    )
