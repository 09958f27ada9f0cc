"""Turns the SDK's errors into ours; no key and no request text passes through."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

import httpx2
import openai

from agents.llm.clients import AnswerTooLong
from agents.llm.errors import (
    ModelAccessDenied,
    ModelBusy,
    ModelNotFound,
    ModelRejected,
    ModelTimeout,
)
from agents.llm.rate_headers import retry_after
from envelope.errors import MusterError

SDK_ERRORS: Final = (openai.OpenAIError, httpx2.HTTPError, httpx2.InvalidURL, AnswerTooLong)
"""What a call of the SDK raises; not all of the HTTP library's errors are wrapped by it."""

_SAID_LIMIT = 300
_LOOKS_SECRET = re.compile(r"\b(?:sk|pk|Bearer|Basic)[-_ ][^\s\"',;]{4,}", re.IGNORECASE)
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]+")
_BUSY = frozenset({408, 409, 425, 429})
_NO_CREDIT = frozenset({"insufficient_quota", "billing_hard_limit_reached"})
_FIRST_SERVER_ERROR = 500


def muster_error(error: Exception, *, model: str, key: str) -> MusterError:
    """Return the error to raise in place of one of `SDK_ERRORS`."""
    if isinstance(error, openai.APITimeoutError):
        return ModelTimeout(f"Model {model!r} did not answer in time.")
    if isinstance(error, openai.APIStatusError):
        return _of_status(error, model, key)
    if isinstance(error, AnswerTooLong):
        return ModelRejected(f"The server's answer for model {model!r} exceeds the size cap.")
    if isinstance(error, openai.APIConnectionError):
        cause = type(error.__cause__).__name__ if error.__cause__ else "no details"
        return ModelBusy(f"The model server cannot be reached or broke off ({cause}).")
    return ModelRejected(
        f"The model server cannot be asked ({type(error).__name__}). Check MUSTER_OPENAI_BASE_URL."
    )


def _of_status(error: openai.APIStatusError, model: str, key: str) -> MusterError:
    status, said = error.status_code, _said(error, key)
    if status in {401, 403}:
        return ModelAccessDenied(
            f"The model server refuses the key for {model!r} (HTTP {status}). "
            "Check MUSTER_OPENAI_API_KEY and what it may use."
        )
    if status == openai.NotFoundError.status_code:
        return ModelNotFound(
            f"The model server knows no {model!r} (HTTP 404). Check MUSTER_LLM_MODEL and "
            f"MUSTER_OPENAI_BASE_URL.{said}"
        )
    if error.code in _NO_CREDIT:
        return ModelRejected(f"The account of the model server has no credit left.{said}")
    if status in _BUSY or status >= _FIRST_SERVER_ERROR:
        return ModelBusy(
            f"The model server is busy or broken (HTTP {status}).{said}",
            retry_after=retry_after(error.response.headers),
        )
    return ModelRejected(f"The model server refuses the request (HTTP {status}).{said}")


def asks_for_patience(error: openai.APIStatusError) -> bool:
    """Whether the server is overloaded or limits us, so that others should leave it alone too."""
    limited = error.status_code == openai.RateLimitError.status_code
    return (limited or error.status_code >= _FIRST_SERVER_ERROR) and error.code not in _NO_CREDIT


def _said(error: openai.APIStatusError, key: str) -> str:
    """What the server said, on one line, without the key or anything that looks like one."""
    body = error.body
    said = body.get("message") if isinstance(body, Mapping) else None
    if not isinstance(said, str) or not said.strip():
        return ""
    plain = _UNPRINTABLE.sub(" ", said.replace(key, "***"))
    return f" It says: {_LOOKS_SECRET.sub('***', plain)[:_SAID_LIMIT].strip()}"
