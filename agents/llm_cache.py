"""A language model that remembers: the same question is paid for once."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar
from uuid import uuid4
from weakref import WeakKeyDictionary

from pydantic import BaseModel, ValidationError

from agents.cache_watch import cache_asked
from agents.llm.port import Check, Generated, LanguageModel, OnDelta, Prompt
from agents.llm.tool import Tool, ToolLimits
from envelope.answers import Answers
from envelope.canonical import content_hash
from envelope.lru import CacheStats
from envelope.model import Contract
from envelope.ports.shared import SharedStore
from envelope.usage import Usage

M = TypeVar("M", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class FromCache(Generated[M]):
    """An output that was remembered: its own usage is zero, for nothing was spent.

    Attributes:
        saved: What it used when it was made.
    """

    saved: Usage


class _Kept(Contract):
    """An answer as it is kept: as JSON, for another process may read it."""

    output_json: str
    model: str
    prompt_sha256: str
    usage: Usage


class CachedModel:
    """A `LanguageModel` in front of another one, which it asks only what is new.

    Answers are named by the hash of all that they depend on: prompt, history, output schema, model,
    cap of the answer. They are kept in this process's memory, and in the store that processes share
    where there is one; of all who ask the same at once, one asks the model. Whoever asks exactly
    the same gets the same answer, of whatever user or tenant: leave it off where that must not be.
    Calls with tools are never remembered, for tools look at the world.

    Args:
        model: The model to ask.
        ttl: Seconds that an answer is kept.
        max_size: How many answers this process keeps; the least recently used makes room.
        store: Makes the shared store of one event loop; None to share nothing.
        patience: Seconds to wait for somebody else's answer before asking oneself; at least as long
            as a call takes.

    Raises:
        InvalidInput: A limit is out of range.

    Example:
        >>> model = CachedModel(language_model(…), store=lambda: RedisShared(url))
        >>> model.stats.hit_rate
        0.0
    """

    def __init__(
        self,
        model: LanguageModel,
        *,
        ttl: float = 3_600.0,
        max_size: int = 1_024,
        store: Callable[[], SharedStore] | None = None,
        patience: float = 120.0,
    ) -> None:
        self._model = model
        self._answers = Answers(max_size, ttl, patience)
        self._make_store = store
        self._stores: WeakKeyDictionary[asyncio.AbstractEventLoop, SharedStore] = (
            WeakKeyDictionary()
        )
        self._guard = threading.Lock()

    @property
    def name(self) -> str:
        """The model that is asked for."""
        return self._model.name

    @property
    def stats(self) -> CacheStats:
        """How often it was of use in this process."""
        return self._answers.stats

    def clear(self) -> None:
        """Forget what this process keeps; what processes share goes by its time."""
        self._answers.clear()

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
        """Return the answer that is kept, as `FromCache`, or the model's.

        What is kept passes `check` again; `on_delta` gets it in one piece. Errors as the model's.
        """

        async def asked() -> Generated[M]:
            # Only what is wanted: a model that can do less than all is good enough for the rest.
            wanted = {
                "on_delta": on_delta,
                "tools": tools,
                "limits": limits,
                "model": model,
                "name": name,
            }
            more = {each: value for each, value in wanted.items() if value}
            return await self._model.generate(prompt, output, check=check, **more)  # type: ignore[arg-type] # each as it came in

        if tools:
            return await asked()
        key, token, store = self._key(prompt, output, model, name), uuid4().hex, self._store()
        try:
            text = await self._answers.look(store, key, token)
            kept = None if text is None else _read(text, output, check)
            cache_asked("model", model or self.name, hit=kept is not None)
            if kept is not None:
                if on_delta is not None:
                    on_delta(kept.output.model_dump_json())
                return kept
            return await self._made(asked, store, key, token)
        finally:
            self._answers.land(key, token)

    def close(self) -> None:
        """Close the model, and the shared stores of the event loops that still run."""
        with self._guard:
            stores = list(self._stores.items())
            self._stores.clear()
        for loop, store in stores:
            if loop.is_running():
                asyncio.run_coroutine_threadsafe(store.aclose(), loop)
        close = getattr(self._model, "close", None)
        if callable(close):
            close()

    async def _made(
        self,
        asked: Callable[[], Awaitable[Generated[M]]],
        store: SharedStore | None,
        key: str,
        token: str,
    ) -> Generated[M]:
        """Ask the model, and keep its answer for everybody."""
        try:
            made = await asked()
        except BaseException:
            await self._answers.give_up(store, key, token)
            raise
        await self._answers.keep(store, key, token, _written(made))
        return made

    def _key(
        self, prompt: Prompt, output: type[BaseModel], model: str | None, name: str | None
    ) -> str:
        asked = [prompt.sha256(output, name=name), model or self.name, prompt.max_output_tokens]
        return f"llm:{content_hash(asked)}"

    def _store(self) -> SharedStore | None:
        if self._make_store is None:
            return None
        loop = asyncio.get_running_loop()
        with self._guard:
            store = self._stores.get(loop)
            if store is None:
                store = self._stores[loop] = self._make_store()
            return store


def _written(made: Generated[Any]) -> str:
    kept = _Kept(
        output_json=made.output.model_dump_json(),
        model=made.model,
        prompt_sha256=made.prompt_sha256,
        usage=made.usage,
    )
    return kept.model_dump_json()


def _read(text: str, output: type[M], check: Check | None) -> FromCache[M] | None:
    """Return what is kept; None where it does not pass any more, or not this caller's check."""
    try:
        kept = _Kept.model_validate_json(text)
        made = output.model_validate_json(kept.output_json)
    except ValidationError:
        return None
    if check is not None and check(made):
        return None
    return FromCache(made, kept.model, Usage(), kept.prompt_sha256, kept.usage)
