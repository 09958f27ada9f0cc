"""Composes the e-mail without a model: a letter around the facts' own sentences."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from agents.copywriter.selection import Quote, best_quotes
from agents.copywriter.voices import DIRECT, FRIENDLY, VOICES, Voice
from agents.llm.errors import InvalidOutput
from agents.llm.port import Prompt
from envelope.canonical import sha256_hex

_QUOTES = 3
_SUBJECT_LIMIT = 140


def compose(prompt: Prompt) -> tuple[str, str, list[str]]:
    """Return subject, body and the ids of the facts whose sentences stand in the body.

    The same prompt gives the same text. Wording varies with the company's name, so that the
    letters of one campaign are not all alike.

    Raises:
        InvalidOutput: No fact holds a sentence that can be quoted.
    """
    quotes = quotes_of(prompt, _QUOTES)
    words = words_of(prompt)
    body, kept = _fitting(words, quotes, int(prompt.task.get("max_words") or 160))  # type: ignore[arg-type] # the copywriter puts an int there
    return _subject(words), body, list(dict.fromkeys(quote.fact for quote in kept))


def quotes_of(prompt: Prompt, count: int) -> list[Quote]:
    """Return up to `count` sentences of the facts that fit the task best, best first.

    Raises:
        InvalidOutput: No fact holds a sentence that can be quoted.
    """
    task = _task(prompt)
    wanted = [
        (task.get("topic", ""), 3.0),
        (task.get("concern", ""), 2.0),
        (task.get("keywords", ""), 2.5),
        (f"{task.get('sector', '')} {task.get('sub_industry', '')}", 2.0),
        (task.get("product", ""), 1.5),
    ]
    quotes = best_quotes(prompt.documents, wanted, count, about=task.get("product", ""))
    if not quotes:
        raise InvalidOutput(
            "None of the facts holds anything that can be quoted. Ingest documents with prose, "
            "or set MUSTER_OPENAI_API_KEY to use a real model."
        )
    return quotes


def _task(prompt: Prompt) -> dict[str, str]:
    return {key: str(value) for key, value in prompt.task.items()}


def words_of(prompt: Prompt) -> dict[str, Any]:
    """Return what the sentences around the quotations are filled with."""
    task = _task(prompt)
    product, company = task.get("product") or "our product", task["company"]
    sector = task.get("sub_industry") or task.get("sector") or ""
    concern = task.get("concern") or f"every team has work that has to be done well at {company}"
    return {
        "company": company,
        "product": product,
        "field": _lower_words(sector) if sector else "your field",
        "topic": task.get("topic") or "work that has to be reliable",
        "concern": f"{concern[0].upper()}{concern[1:]}.",
        "concern_inside": f"{concern}.",
        "sender": task.get("sender") or f"The {product} team",
        "voice": VOICES.get(task.get("tone", "").lower(), FRIENDLY),
        "seed": int(sha256_hex(f"{company}|{task.get('campaign', '')}")[:8], 16),
    }


def _lower_words(name: str) -> str:
    """`Health Care REITs` becomes `health care REITs`: acronyms keep their capitals."""
    return " ".join(word.lower() if word[1:].islower() else word for word in name.split())


def _subject(words: dict[str, Any]) -> str:
    forms = ("{company}: {topic}", "{topic_first} at {company}", "For {company}: {topic}")
    topic: str = words["topic"]
    form = forms[words["seed"] % len(forms)]
    text = form.format(**words, topic_first=f"{topic[0].upper()}{topic[1:]}")
    return text if len(text) <= _SUBJECT_LIMIT else f"{text[: _SUBJECT_LIMIT - 1]}…"


def _fitting(
    words: dict[str, Any], quotes: Sequence[Quote], max_words: int
) -> tuple[str, Sequence[Quote]]:
    """Leave quotes out from the last, then the courtesies, until the letter is short enough."""
    for count in range(len(quotes), 0, -1):
        body = _body(words, quotes[:count])
        if len(body.split()) <= max_words:
            return body, quotes[:count]
    shortest = min(quotes, key=lambda quote: len(quote.text))
    return _body(words | {"voice": DIRECT}, [shortest]), [shortest]


def _body(words: dict[str, Any], quotes: Sequence[Quote]) -> str:
    voice: Voice = words["voice"]
    # Different digits of the seed, or opening and closing would always come in the same pairs.
    opening = voice.openings[words["seed"] % len(voice.openings)]
    bridge = voice.bridges[words["seed"] // 7 % len(voice.bridges)]
    closing = voice.closings[words["seed"] // 31 % len(voice.closings)]
    quoted = "\n".join(f"- {quote.text}" for quote in quotes)
    parts = [voice.greeting, opening, bridge, closing, voice.farewell]
    greeting, opening, bridge, closing, farewell = (part.format(**words) for part in parts)
    return "\n\n".join([greeting, opening, f"{bridge}\n{quoted}", closing, farewell])
