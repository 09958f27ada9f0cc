"""The port: a prompt goes in, a validated pydantic model comes out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Generic, Literal, Protocol, TypeVar

from pydantic import BaseModel, Field, JsonValue, PositiveInt

from agents.llm.image_port import DrawnImage, ImageModel, ImagePrompt
from agents.llm.tool import Tool, ToolLimits
from envelope.canonical import canonical_json, content_hash, sha256_hex
from envelope.model import AsTuple, Contract
from envelope.usage import Usage

__all__ = [
    "Check",
    "Document",
    "DrawnImage",
    "Generated",
    "ImageModel",
    "ImagePrompt",
    "LanguageModel",
    "Message",
    "OnDelta",
    "Prompt",
    "Tool",
    "ToolLimits",
]

M = TypeVar("M", bound=BaseModel)

Check = Callable[[Any], str | None]
"""Says what is wrong with an output that fits its schema; None where nothing is."""

OnDelta = Callable[[str], None]
"""Takes the next piece of what the model writes, such as `ctx.stream`."""

_FENCE_DIGITS = 16


class Document(Contract):
    """A text that the model may use as a source and must never obey.

    Attributes:
        id: Short name by which the output refers to it, such as `F1`.
        source: Where the text was read.
        text: The text.
    """

    id: Annotated[str, Field(min_length=1, max_length=64)]
    source: Annotated[str, Field(max_length=2048)] = ""
    text: str


class Message(Contract):
    """One turn of a conversation.

    Attributes:
        role: Who said it.
        text: What was said.
    """

    role: Literal["user", "assistant"]
    text: str


class Prompt(Contract):
    """What a model is asked to do, apart from the data that it is to do it with.

    Attributes:
        instructions: Written by us: the task and its rules.
        task: The parameters of this piece of work, as data.
        documents: The sources, as data.
        history: What was said before, oldest first.
        max_output_tokens: Cap of the answer, in tokens; thinking counts.
    """

    instructions: Annotated[str, Field(min_length=1)]
    task: dict[str, JsonValue] = Field(default_factory=dict)
    documents: Annotated[tuple[Document, ...], AsTuple] = ()
    history: Annotated[tuple[Message, ...], AsTuple] = ()
    max_output_tokens: PositiveInt = 4_000

    def data_text(self) -> str:
        """Return task and documents as one fenced text.

        Every item is one line of JSON, so no text of a document can start a line of its own, and
        the fence carries the hash of what it holds, which no document can contain.
        """
        lines = [canonical_json({"task": self.task})]
        lines += [canonical_json(document.model_dump()) for document in self.documents]
        fence = f"DATA {sha256_hex(chr(10).join(lines))[:_FENCE_DIGITS]}"
        return "\n".join([f"<<<{fence}", *lines, f"{fence}>>>"])

    def sha256(
        self, output: type[BaseModel], tools: Sequence[Tool] = (), name: str | None = None
    ) -> str:
        """Return the hash of all that a model is given when it is asked for an `output`."""
        given: list[Any] = [self.instructions, self.data_text(), output.model_json_schema()]
        if name is not None:
            given.append({"name": name})
        if self.history:
            given.append({"history": [message.model_dump() for message in self.history]})
        if tools:
            given.append({"tools": [_shown(tool) for tool in tools]})
        return content_hash(given)


def _shown(tool: Tool) -> list[Any]:
    return [tool.name, tool.description, tool.arguments.model_json_schema()]


@dataclass(frozen=True, slots=True)
class Generated(Generic[M]):
    """An output that passed its schema and check, and what made it.

    Attributes:
        output: The validated output.
        model: Name of the model that answered; `offline…` for the deterministic composer.
        usage: What all calls for it used, repairs and tool steps included.
        prompt_sha256: Hash of the prompt, the output's schema and the tools.
    """

    output: M
    model: str
    usage: Usage
    prompt_sha256: str


class LanguageModel(Protocol):
    """Fills a pydantic model from a prompt. Safe to use from many tasks and event loops at once.

    What its calls use is added to the running step by the implementation.
    """

    @property
    def name(self) -> str:
        """The model that is asked for."""

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
        """Return an `output` made from `prompt`.

        Args:
            prompt: The task and its data.
            output: The model to fill. Its docstring and field descriptions reach the model.
            check: A further test; what it complains of is repaired like a broken schema.
            on_delta: Takes the text as it is written, the JSON of `output`, not the thinking
                before it; what is repaired is written anew. None asks for the whole answer at once.
            tools: What the model may use on the way, see `agents.tools`; nothing else.
            limits: How far it may go with them; None for `ToolLimits()`.
            model: Another model of the same server; None for `self.name`.
            name: What the provider is told that the schema is called; None: its class's name.

        Raises:
            ModelBusy: The provider is overloaded, limits us or is away: worth another attempt.
            ModelTimeout: No whole answer within the time limit: worth another attempt.
            ModelRejected: The provider refuses the request, the key or the model's name.
            InvalidOutput: The output stayed invalid after the repairs.
            UnknownTool: The model went on calling a tool that it was not given.
            ToolLimitExceeded: It went further than `limits`.
        """
