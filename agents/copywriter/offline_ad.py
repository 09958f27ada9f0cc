"""Composes an ad without a model: the facts' own best sentence under a plain headline."""

from __future__ import annotations

from typing import Any, Final

from agents.copywriter.lengths import Lengths, cut, measured
from agents.copywriter.marks import unmarked
from agents.copywriter.offline import quotes_of, words_of
from agents.llm.port import Prompt

_QUOTES: Final = 12
_HEADLINES: Final = (
    "{product}: {topic}",
    "{topic_first}",
    "{product} for {field}",
    "{product}",
)
_CALLS: Final = {
    "formal": ("Request a presentation", "Contact us", "Learn more"),
    "direct": ("See how it works", "Try it now", "Learn more"),
}
_FRIENDLY: Final = ("See how it works", "Take a look", "Learn more")


def compose_ad(prompt: Prompt) -> tuple[str, str, str, list[str]]:
    """Return headline, body, call to action and the ids of the facts that the body quotes.

    Raises:
        InvalidOutput: No fact holds a sentence that can be quoted.
    """
    task, words = prompt.task, words_of(prompt)
    lengths = Lengths.model_validate(task.get("lengths") or {})
    network = str(task.get("network") or "")
    quotes = [(unmarked(quote.text), quote.fact) for quote in quotes_of(prompt, _QUOTES)]
    fitting = [each for each in quotes if measured(each[0], network) <= lengths.body]
    body, fact = (fitting or quotes)[0]
    return (
        _headline(words, lengths.headline, network),
        cut(body, lengths.body, network),
        _call(str(task.get("tone", "")), lengths.call_to_action, network),
        [fact],
    )


def _headline(words: dict[str, Any], limit: int, network: str) -> str:
    topic: str = words["topic"]
    words = words | {"topic_first": f"{topic[0].upper()}{topic[1:]}"}
    made = [unmarked(form.format(**words)) for form in _HEADLINES]
    fitting = (text for text in made if measured(text, network) <= limit)
    return next(fitting, cut(made[-1], limit, network))


def _call(tone: str, limit: int, network: str) -> str:
    calls = _CALLS.get(tone.lower(), _FRIENDLY)
    fitting = (text for text in calls if measured(text, network) <= limit)
    return next(fitting, calls[-1])
