"""What a task and an input become for a model: instructions, and apart from them data."""

from __future__ import annotations

from typing import Any, Final

from pydantic import BaseModel, JsonValue

from agents.llm.image_port import ImagePrompt
from agents.llm.port import Document, Prompt
from agents.tasks.definition import Task
from agents.tasks.template import with_names, with_values
from envelope.canonical import canonical_json
from envelope.record import Record

_FUNCTION_RULE: Final = (
    "You answer as the function `{function}` would: from the data, with nothing but its result."
)
_LONGEST_DESCRIPTION = 4_000
_IMAGE_PARTS = ("headline", "colors", "shape")


def prompt_of(task: Task[Any, Any], request: BaseModel) -> Prompt:
    """Return the prompt for a language model.

    Fields that hold documents or records become its documents, all others its task.
    """
    sources = _sources(request)
    rule = _FUNCTION_RULE.format(function=task.function)
    return Prompt(
        instructions=f"{task.system_prompt}\n\n{with_names(task.user_prompt)}\n\n{rule}",
        task=_data(request, leave_out=set(sources)),
        documents=tuple(_document(source) for held in sources.values() for source in held),
        max_output_tokens=task.max_output_tokens,
    )


def image_prompt_of(task: Task[Any, Any], request: BaseModel) -> ImagePrompt:
    """Return the prompt for an image model: the template with its values, then the rules.

    Fields named headline, colors and shape go to the model under these names.
    """
    data = _data(request, leave_out=set())
    description = f"{with_values(task.user_prompt, data)}\n{task.system_prompt}"
    own = {part: data[part] for part in _IMAGE_PARTS if data.get(part)}
    return ImagePrompt.model_validate({"description": description[:_LONGEST_DESCRIPTION], **own})


def parents_of(request: BaseModel) -> tuple[str, ...]:
    """Return the ids of the records that the input holds: they are its parents."""
    held = (source for sources in _sources(request).values() for source in sources)
    return tuple(dict.fromkeys(source.id for source in held if isinstance(source, Record)))


def _sources(request: BaseModel) -> dict[str, list[Document | Record]]:
    """The fields that hold nothing but documents and records, by name."""
    found: dict[str, list[Document | Record]] = {}
    for name in type(request).model_fields:
        value = getattr(request, name)
        held = list(value) if isinstance(value, list | tuple) else [value]
        if held and all(isinstance(item, Document | Record) for item in held):
            found[name] = held
    return found


def _data(request: BaseModel, *, leave_out: set[str]) -> dict[str, JsonValue]:
    return request.model_dump(mode="json", exclude=leave_out)


def _document(source: Document | Record) -> Document:
    if isinstance(source, Document):
        return source
    text = source.data.get("text")
    return Document(
        id=source.id,
        source=source.provenance.source,
        text=text if isinstance(text, str) else canonical_json(source.data),
    )
