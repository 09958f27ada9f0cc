"""Makes the tasks' outputs without a model: of the data's own words, the same for the same data."""

from __future__ import annotations

import re

from agents.llm.errors import InvalidOutput
from agents.llm.port import Prompt
from agents.llm.sentences import sentences

_DEFAULT_WORDS = 120
_NAME = re.compile(r"\b[A-Z][\w&-]+(?: [A-Z][\w&-]+)*")
_SENTENCE_ENDS = ".!?:\n"


def said_in(prompt: Prompt) -> str:
    """Return all text of the data: the task's own first, then the documents'."""
    own = [value for value in prompt.task.values() if isinstance(value, str) and value.strip()]
    return "\n\n".join([*own, *(document.text for document in prompt.documents)])


def named_in(text: str) -> list[str]:
    """Return the capitalised names in their order; what only begins a sentence is none."""
    found = list(_NAME.finditer(text))
    return [name.group() for name in found if not _begins_sentence(text[: name.start()])]


def passage(prompt: Prompt) -> str:
    """Return sentences of the documents, or else of the task's text, up to `max_words`."""
    documents = [text for document in prompt.documents for text in sentences(document.text)]
    subject = prompt.task.get("text")
    own = subject if isinstance(subject, str) else said_in(prompt)
    return _fitting(documents or sentences(own), _most_words(prompt))


def continuation(prompt: Prompt) -> str:
    """Return sentences of the documents that the beginning does not hold.

    Raises:
        InvalidOutput: There are none: only a model can think of what comes next.
    """
    beginning = said_in(prompt.model_copy(update={"documents": ()}))
    documents = [text for document in prompt.documents for text in sentences(document.text)]
    fresh = [text for text in documents if text not in beginning]
    if not fresh:
        raise InvalidOutput(
            "The offline model continues a text only with sentences of `documents`, and there are "
            "none left. Set MUSTER_OPENAI_API_KEY or MUSTER_OPENAI_BASE_URL to use a real model."
        )
    return _fitting(fresh, _most_words(prompt))


def _begins_sentence(before: str) -> bool:
    return not before.strip() or before.rstrip(" ")[-1] in _SENTENCE_ENDS


def _most_words(prompt: Prompt) -> int:
    asked = prompt.task.get("max_words")
    return asked if isinstance(asked, int) and asked > 0 else _DEFAULT_WORDS


def _fitting(texts: list[str], most: int) -> str:
    """Take whole sentences as long as they fit; the first one is cut where it does not."""
    chosen: list[str] = []
    for text in dict.fromkeys(texts):
        if sum(len(taken.split()) for taken in chosen) + len(text.split()) > most:
            break
        chosen.append(text)
    return " ".join(chosen) or " ".join(" ".join(texts).split()[:most])
