"""One model server, asked within an account's limits, a run's budget and an absolute time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

import openai
from openai import AsyncOpenAI

from agents.llm.account import Account, AccountCall, AccountLimits
from agents.llm.answer import Answer
from agents.llm.charging import amount_of, charged
from agents.llm.clients import LoopClients, new_client
from agents.llm.errors import ModelAccessDenied, ModelTimeout
from agents.llm.estimates import Estimate
from agents.llm.openai_errors import SDK_ERRORS, asks_for_patience, muster_error
from agents.llm.prices import usage_of
from agents.llm.watch import Operation, Watch, watched_by_step
from envelope.running import RUNNING
from envelope.usage import Usage

A = TypeVar("A", bound=Answer)

OPENAI_URL: Final = "https://api.openai.com/v1"


class ModelServer:
    """Sends requests over the OpenAI SDK; what is sent is the caller's business.

    The SDK's own retries are off: the step's policy is the one retry layer. The time limit is
    absolute, for servers that send a byte now and then as well; waiting for the account's limits
    is no part of it. Each request is charged to the budget of the running step's run, and its usage
    added to the step.

    Args:
        api_key: The key; a compatible server may need none.
        base_url: A compatible server; None for OpenAI.
        timeout_seconds: Limit of one request.
        limits: The account's limits, shared with everybody who names the account; None for none.
        max_answer_bytes: Largest body that is read.
        operation: What requests ask for, for who watches them.
        watch: Sees every request, and what came of it; by default who watches the running step.

    Raises:
        ModelAccessDenied: The key cannot stand in an HTTP header.
    """

    def __init__(
        self,
        *,
        api_key: str | None,
        base_url: str | None,
        timeout_seconds: float,
        limits: AccountLimits | None,
        max_answer_bytes: int,
        operation: Operation = "chat",
        watch: Watch = watched_by_step,
    ) -> None:
        self._operation = operation
        self._watch = watch
        self._key = _checked(api_key or "no-key-needed")
        self._base_url = base_url
        self._timeout_seconds = timeout_seconds
        self._account = Account(limits)
        self._clients = LoopClients(
            lambda: new_client(
                api_key=self._key,
                base_url=self.url,
                timeout_seconds=timeout_seconds,
                max_answer_bytes=max_answer_bytes,
            )
        )

    @property
    def url(self) -> str:
        """Where the server is."""
        return self._base_url or OPENAI_URL

    async def ask(
        self, model: str, expected: Estimate, send: Callable[[AsyncOpenAI], Awaitable[A]]
    ) -> tuple[A, Usage]:
        """Send one request and return its answer with what it used.

        Args:
            model: The model asked for.
            expected: The tokens that it will probably use.
            send: Sends it and reads the answer.

        Raises:
            BudgetExceeded: The request does not fit the run's budget.
            ModelBusy: As `LanguageModel.generate`.
            ModelTimeout: As there.
            ModelRejected: As there.
        """
        async with (
            self._account.call(expected.tokens) as call,
            charged(expected, model, self._base_url, self._timeout_seconds) as charge,
        ):
            call.begin()
            with self._watch(model, self.url, self._operation) as answered:
                answer = await self._in_time(call, model, send)
                usage = self._note(answer, model)
                answered(answer.model or model, usage)
            call.answered(usage.input_tokens + usage.output_tokens, answer.headers)
            charge.used(amount_of(usage))
            return answer, usage

    async def aclose(self) -> None:
        """Close the connections of the running event loop."""
        await self._clients.aclose()

    def close(self) -> None:
        """Close the connections of every event loop that runs."""
        self._clients.close()

    async def _in_time(
        self, call: AccountCall, model: str, send: Callable[[AsyncOpenAI], Awaitable[A]]
    ) -> A:
        try:
            async with asyncio.timeout(self._timeout_seconds) as limit:
                return await send(self._clients.current())
        except TimeoutError:
            if not limit.expired():
                raise
            raise ModelTimeout(
                f"Model {model!r} gave no whole answer in {self._timeout_seconds:g} s. "
                "Raise MUSTER_LLM_TIMEOUT_SECONDS if it needs longer."
            ) from None
        except SDK_ERRORS as error:
            _tell(call, error)
            raise muster_error(error, model=model, key=self._key) from None

    def _note(self, answer: Answer, model: str) -> Usage:
        """Add the call to the running step at once: a failing step has cost money too."""
        usage = usage_of(answer, model, self._base_url)
        running = RUNNING.get()
        if running is not None:
            running.add_usage(usage)
        return usage


def _tell(call: AccountCall, error: Exception) -> None:
    """What was used is known only where the server itself refused."""
    if not isinstance(error, openai.APIStatusError):
        return
    if asks_for_patience(error):
        call.limited(error.status_code, error.response.headers)
    else:
        call.refused()


def _checked(key: str) -> str:
    """A key with a line break would be quoted by the HTTP library's own error."""
    if not key.isascii() or not key.isprintable() or " " in key:
        raise ModelAccessDenied(
            "The API key holds a blank, a line break or a character outside ASCII. "
            "Set MUSTER_OPENAI_API_KEY anew."
        )
    return key
