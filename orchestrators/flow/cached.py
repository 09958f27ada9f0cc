"""`@cached` for plain async functions: one answer for the same arguments, for a while."""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import Awaitable, Callable
from typing import Any, Generic, ParamSpec, TypeVar, cast

from pydantic import BaseModel

from envelope.canonical import canonical_json
from envelope.errors import InvalidInput
from envelope.lru import MISSING, CacheStats, LruCache
from orchestrators.flow.errors import InvalidFlow

P = ParamSpec("P")
R = TypeVar("R")


class CachedFunction(Generic[P, R]):
    """What `@cached` makes of a function. Call it like the function.

    Attributes:
        stats: How often it was of use.
    """

    def __init__(
        self,
        function: Callable[P, Awaitable[R]],
        kept: LruCache[R],
        key: Callable[P, Any] | None,
    ) -> None:
        functools.update_wrapper(self, function)
        self._function = function
        self._signature = inspect.signature(function)
        self._kept = kept
        self._key = key
        self._under_way: dict[Any, asyncio.Task[R]] = {}

    @property
    def stats(self) -> CacheStats:
        """How often it was of use."""
        return self._kept.stats

    def clear(self) -> None:
        """Forget all answers."""
        self._kept.clear()

    async def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Return the kept answer, that of a call under way, or a new one.

        Raises:
            InvalidInput: The arguments are neither JSON nor pydantic models, and there is no `key`.
        """
        key = self._key(*args, **kwargs) if self._key else self._key_of(args, kwargs)
        kept = self._kept.get(key)
        if kept is not MISSING:
            self.stats.hits += 1
            return cast("R", kept)
        return await asyncio.shield(self._making(key, args, kwargs))

    def _making(self, key: Any, args: Any, kwargs: Any) -> asyncio.Task[R]:
        """A call belongs to nobody: whoever asked first may be cancelled, others wait for it."""
        flight = (asyncio.get_running_loop(), key)
        making = self._under_way.get(flight)
        if making is not None:
            self.stats.joined += 1
            return making
        self.stats.misses += 1
        making = asyncio.create_task(self._make(key, args, kwargs))
        self._under_way[flight] = making
        making.add_done_callback(functools.partial(self._landed, flight))
        return making

    async def _make(self, key: Any, args: Any, kwargs: Any) -> R:
        made = await self._function(*args, **kwargs)
        self._kept.put(key, made)
        return made

    def _landed(self, flight: Any, task: asyncio.Task[R]) -> None:
        del self._under_way[flight]
        if not task.cancelled():
            task.exception()  # nobody may be left to take it

    def _key_of(self, args: Any, kwargs: Any) -> str:
        bound = self._signature.bind(*args, **kwargs)
        bound.apply_defaults()
        try:
            return canonical_json(_plain(dict(bound.arguments)))
        except InvalidInput as error:
            name = getattr(self._function, "__name__", "it")
            raise InvalidInput(
                f"The arguments of {name!r} make no key for the cache: {error} "
                "Say with @cached(key=…) what the answer depends on."
            ) from None


def cached(
    max_size: int = 1_024,
    ttl: float | None = None,
    *,
    key: Callable[..., Any] | None = None,
) -> Callable[[Callable[P, Awaitable[R]]], CachedFunction[P, R]]:
    """Keep the answers of the decorated `async def`; concurrent calls with one key are one call.

    The least recently used answer makes room. A call that fails is not kept.

    Args:
        max_size: How many answers are kept.
        ttl: Seconds that an answer is kept; None for as long as there is room.
        key: Makes the key of the arguments, where they are neither JSON nor pydantic models.

    Raises:
        InvalidFlow: A limit is out of range, or the function is no `async def`.

    Example:
        >>> @cached(max_size=500, ttl=600)
        ... async def rate(currency: str) -> float: ...
        >>> rate.stats.hit_rate
        0.0
    """
    try:
        kept: LruCache[Any] = LruCache(max_size, ttl)
    except InvalidInput as problem:
        raise InvalidFlow(str(problem)) from None

    def decorate(function: Callable[P, Awaitable[R]]) -> CachedFunction[P, R]:
        if not inspect.iscoroutinefunction(function):
            raise InvalidFlow(f"@cached keeps the answers of `async def`, not of {function!r}.")
        return CachedFunction(function, kept, key)

    return decorate


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return {type(value).__qualname__: value.model_dump(mode="json")}
    if isinstance(value, dict):
        return {_text(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value


def _text(key: Any) -> str:
    if not isinstance(key, str):
        raise InvalidInput(f"The key {key!r} of a mapping is no text.")
    return key
