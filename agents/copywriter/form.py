"""The three forms of copy: what each is asked for, how it is checked, what its record holds."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from pydantic import BaseModel, JsonValue

from agents.copywriter.draft import AdDraft, EmailDraft, PostDraft
from agents.copywriter.instructions import AD, EMAIL, POST
from agents.copywriter.lengths import measured
from agents.copywriter.marks import has_hashtag, has_mention
from agents.copywriter.request import CopyRequest

_TOLERANCE: Final = 1.25
_WORDS_OF_TAG: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|_")


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """One form of copy.

    Attributes:
        draft: What the model fills.
        instructions: What it is told.
        problem: Says what is wrong with a draft that fits its schema; None where nothing is.
        fields: What the record holds of it.
        claims: All that it says, as text, for the check against the facts.
    """

    draft: type[BaseModel]
    instructions: str
    problem: Callable[[CopyRequest, Any], str | None]
    fields: Callable[[CopyRequest, Any], dict[str, JsonValue]]
    claims: Callable[[Any], str]


def _email_problem(request: CopyRequest, draft: EmailDraft) -> str | None:
    count = len(draft.body.split())
    if count <= request.max_words * _TOLERANCE:
        return None
    return f"body: it has {count} words; at most {request.max_words} are allowed"


def _email_fields(_: CopyRequest, draft: EmailDraft) -> dict[str, JsonValue]:
    return {"subject": draft.subject, "body": draft.body, "words": len(draft.body.split())}


def _ad_parts(draft: AdDraft) -> dict[str, str]:
    return {
        "headline": draft.headline,
        "body": draft.body,
        "call_to_action": draft.call_to_action,
    }


def _ad_problem(request: CopyRequest, draft: AdDraft) -> str | None:
    allowed = request.allowed.model_dump()
    too_long = (
        _too_long(part, text, allowed[part], request.network)
        for part, text in _ad_parts(draft).items()
    )
    return next(filter(None, too_long), None) or _addressed(" ".join(_ad_parts(draft).values()))


def _ad_fields(request: CopyRequest, draft: AdDraft) -> dict[str, JsonValue]:
    parts = _ad_parts(draft)
    lengths: dict[str, JsonValue] = {
        part: measured(text, request.network) for part, text in parts.items()
    }
    return {"network": request.network, **parts, "characters": lengths}


def _post_problem(request: CopyRequest, draft: PostDraft) -> str | None:
    allowed = request.allowed
    if len(draft.hashtags) > allowed.hashtags:
        return f"hashtags: there are {len(draft.hashtags)}; at most {allowed.hashtags} are allowed"
    if has_hashtag(draft.text):
        return "text: hashtags belong into hashtags, not into the text"
    too_long = _too_long("text with hashtags", draft.whole, allowed.text, request.network)
    return too_long or _addressed(draft.text)


def _post_fields(request: CopyRequest, draft: PostDraft) -> dict[str, JsonValue]:
    return {
        "network": request.network,
        "text": draft.text,
        "hashtags": [*draft.hashtags],
        "post": draft.whole,
        "characters": measured(draft.whole, request.network),
    }


def _post_claims(draft: PostDraft) -> str:
    """A hashtag claims what its words say: `#HIPAACompliant`."""
    tags = (_WORDS_OF_TAG.sub(" ", tag) for tag in draft.hashtags)
    return "\n\n".join([draft.text, *tags])


def _too_long(part: str, text: str, limit: int, network: str) -> str | None:
    length = measured(text, network)
    if length <= limit:
        return None
    return f"{part}: it has {length} characters; at most {limit} are allowed"


def _addressed(text: str) -> str | None:
    return "leave out mentions (@…)" if has_mention(text) else None


FORMS: Final[Mapping[str, Form]] = {
    "email": Form(
        draft=EmailDraft,
        instructions=EMAIL,
        problem=_email_problem,
        fields=_email_fields,
        claims=lambda draft: f"{draft.subject}\n\n{draft.body}",
    ),
    "ad": Form(
        draft=AdDraft,
        instructions=AD,
        problem=_ad_problem,
        fields=_ad_fields,
        claims=lambda draft: "\n\n".join(_ad_parts(draft).values()),
    ),
    "post": Form(
        draft=PostDraft,
        instructions=POST,
        problem=_post_problem,
        fields=_post_fields,
        claims=_post_claims,
    ),
}
