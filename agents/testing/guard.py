"""Keeps tests from asking a real model, and from paying for it."""

from __future__ import annotations

import importlib
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from envelope.errors import Terminal

_CLIENTS = ("AsyncOpenAI", "OpenAI")


class ModelCallForbidden(Terminal):
    """A test asked a real model that it does not allow. Nothing was sent."""

    code = "MODEL_CALL_FORBIDDEN"


@contextmanager
def forbid_model_calls(allow: Collection[str] = ()) -> Iterator[None]:
    """Refuse every request of the OpenAI SDK within the block, whoever makes it.

    Blocks may be nested; the innermost one decides.

    Args:
        allow: Names of models that may be asked all the same.

    Raises:
        ModelCallForbidden: In the code that asks, before anything is sent.

    Example:
        >>> with forbid_model_calls(allow=["local-test-model"]):
        ...     asyncio.run(run_inline("brief", {"company": "Acme"}))
    """
    # The SDK takes most of a second to import; whoever only uses doubles does not wait for it.
    sdk = importlib.import_module("openai")
    with ExitStack() as patched:
        for name in _CLIENTS:
            patched.enter_context(_guarded(getattr(sdk, name), frozenset(allow)))
        yield


@contextmanager
def _guarded(client: Any, allow: frozenset[str]) -> Iterator[None]:
    before = vars(client).get("request")

    def request(self: Any, cast_to: Any, options: Any, **more: Any) -> Any:
        _check(options, allow)
        return super(client, self).request(cast_to, options, **more)

    client.request = request
    try:
        yield
    finally:
        if before is None:
            del client.request
        else:
            client.request = before


def _check(options: Any, allow: frozenset[str]) -> None:
    body = getattr(options, "json_data", None)
    model = body.get("model") if isinstance(body, dict) else None
    if model not in allow:
        raise ModelCallForbidden(
            f"The model {model or '(none named)'!r} was asked in a test that allows "
            f"{', '.join(sorted(allow)) or 'none'}. Use a ScriptedModel or the OfflineModel, or "
            f"allow it: forbid_model_calls(allow=[…])."
        )
