"""The copywriter's prompt: our instructions, and everything else as fenced data."""

from __future__ import annotations

from typing import Any

from agents.copywriter.form import FORMS
from agents.copywriter.request import CopyRequest
from agents.copywriter.suspicion import fact_text
from agents.llm.port import Document, Prompt
from envelope.record import Record

_FACT_LIMIT = 4_000
_NOT_TASK = {"facts", "lead", "network", "lengths"}
_NOT_OF_POSTS = {"facts", "lead", "max_words"}


def fact_ids(facts: tuple[Record, ...]) -> dict[str, Record]:
    """Name the facts F1, F2 … for the model: short names are repeated without slips."""
    return {f"F{number}": fact for number, fact in enumerate(facts, start=1)}


def copy_prompt(request: CopyRequest) -> Prompt:
    """Return the prompt for one e-mail, ad or post."""
    documents = [
        Document(id=name, source=fact.provenance.row_id, text=fact_text(fact)[:_FACT_LIMIT])
        for name, fact in fact_ids(request.facts).items()
    ]
    return Prompt(
        instructions=FORMS[request.channel].instructions,
        task=_task(request),
        documents=tuple(documents),
    )


def _task(request: CopyRequest) -> dict[str, Any]:
    if request.channel == "email":
        return request.model_dump(mode="json", exclude=_NOT_TASK)
    task = request.model_dump(mode="json", exclude=_NOT_OF_POSTS)
    return {**task, "lengths": request.allowed.model_dump()}
