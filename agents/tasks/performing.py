"""Performs a task for an input, as one attempt of a step: ask, check, tell, keep."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

from pydantic import BaseModel

from agents.llm.image_port import ImageModel
from agents.llm.port import Check, Generated, LanguageModel, OnDelta
from agents.llm_cache import FromCache
from agents.tasks.definition import Task, TaskType
from agents.tasks.outputs import Picture
from agents.tasks.prompt import image_prompt_of, parents_of, prompt_of
from agents.tasks.routes import ModelRoutes
from agents.tasks.text_pieces import TextPieces
from agents.tools import tools_of
from envelope.envelope import Envelope
from envelope.errors import TooLarge
from envelope.ports.context import AgentContext
from envelope.record import Record

PROGRESS_EVENT = "task.progress"
_LARGEST_PICTURE = 700_000
_TEXT = "text"
_STREAMED = frozenset({TaskType.TEXT_GENERATION, TaskType.COMPLETION})


async def perform(ctx: AgentContext, task: Task[Any, Any], request: BaseModel) -> Envelope:
    """Return one record: the output, with the model and the prompt's hash in its provenance.

    It derives from the records that the input holds. Once it is made, `task.progress` tells how far
    the whole work is; the text that a language model writes goes to `ctx.stream` meanwhile,
    except in an analysis.

    Raises:
        ModelBusy, ModelTimeout: Worth another attempt.
        ModelRejected, InvalidOutput, UnknownTool, ToolLimitExceeded: Not worth one.
        NotRegistered: A resource, tool or route is not there; the message lists what is.
        BudgetExceeded: The work's budget does not allow the call.
    """
    draws = task.type is TaskType.IMAGE_GENERATION
    made = await (_drawn if draws else _generated)(ctx, task, request)
    record = Record.of(
        made.output.model_dump(mode="json"),
        source=task.name,
        model=made.model,
        prompt_sha256=made.prompt_sha256,
        derived_from=parents_of(request),
    )
    told = {
        "type": str(task.type),
        "function": task.function,
        "model": made.model,
        "cached": isinstance(made, FromCache),
    }
    ctx.emit(PROGRESS_EVENT, step=task.name, progress=task.progress, data=told)
    return Envelope.from_records([record], source=task.name)


async def _generated(
    ctx: AgentContext, task: Task[Any, Any], request: BaseModel
) -> Generated[BaseModel]:
    model = ctx.resource(LanguageModel)  # type: ignore[type-abstract] # a port is asked for by its Protocol
    return await model.generate(
        prompt_of(task, request), task.output, check=_check(task, request), **_asked(ctx, task)
    )


def _asked(ctx: AgentContext, task: Task[Any, Any]) -> dict[str, Any]:
    """Only what the task wants: a model that can do less than all is good enough for the rest."""
    asked: dict[str, Any] = {}
    if task.type in _STREAMED:
        asked["on_delta"] = _streamed(ctx, task)
    if task.tools:
        asked["tools"] = tools_of(ctx, *task.tools)
    if task.schema is not None:
        asked["name"] = task.schema
    if task.limits is not None:
        asked["limits"] = task.limits
    if task.route is not None:
        asked["model"] = ctx.resource(ModelRoutes).model(task.route)
    elif task.model is not None:
        asked["model"] = task.model
    return asked


def _streamed(ctx: AgentContext, task: Task[Any, Any]) -> OnDelta:
    """People who watch want the text, not the JSON around it; of larger outputs they get all."""
    if list(task.output.model_fields) == [_TEXT]:
        return TextPieces(_TEXT, ctx.stream).take
    return ctx.stream


def _check(task: Task[Any, Any], request: BaseModel) -> Check | None:
    check = task.check
    return None if check is None else lambda output: check(request, output)


async def _drawn(
    ctx: AgentContext, task: Task[Any, Any], request: BaseModel
) -> Generated[BaseModel]:
    model = ctx.resource(ImageModel)  # type: ignore[type-abstract] # as above
    drawn = await model.draw(image_prompt_of(task, request))
    if len(drawn.content) > _LARGEST_PICTURE:
        raise TooLarge(
            f"The picture has {len(drawn.content):,} bytes; a record carries at most "
            f"{_LARGEST_PICTURE:,}. Let an agent of your own store it and return a reference."
        )
    picture = Picture(
        media_type=drawn.media_type,
        size_bytes=len(drawn.content),
        sha256=hashlib.sha256(drawn.content).hexdigest(),
        content_base64=base64.b64encode(drawn.content).decode(),
    )
    output = task.output.model_validate(picture.model_dump())
    return Generated(output, drawn.model, drawn.usage, drawn.prompt_sha256)
