"""Chooses the language model and the image model that the settings ask for."""

from __future__ import annotations

import importlib

from agents.llm.account import AccountLimits
from agents.llm.image_port import ImageModel
from agents.llm.offline_image import OfflineImages
from agents.llm.offline_model import OfflineModel
from agents.llm.port import LanguageModel
from agents.llm.watch import Watch, watched_by_step


def language_model(
    api_key: str | None,
    base_url: str | None,
    model: str,
    timeout_seconds: float,
    limits: AccountLimits | None = None,
    watch: Watch = watched_by_step,
) -> LanguageModel:
    """Return the OpenAI SDK's model where there is a key or a base URL, else the offline one.

    Args:
        api_key: The key; a compatible server may need none.
        base_url: A compatible server; None for OpenAI.
        model: Name of the model.
        timeout_seconds: Absolute limit of one call.
        limits: The account's limits; None for none. The offline model needs none.
        watch: Sees every request, and what came of it; by default who watches the running step.

    Raises:
        ModelAccessDenied: The key cannot stand in an HTTP header.
    """
    if not api_key and not base_url:
        return OfflineModel(watch)
    # The SDK takes most of a second to import; a process without a model does not wait for it.
    sdk = importlib.import_module("agents.llm.openai_model")
    made: LanguageModel = sdk.OpenAIModel(
        model,
        api_key=api_key or None,
        base_url=base_url or None,
        timeout_seconds=timeout_seconds,
        limits=limits,
        watch=watch,
    )
    return made


def image_model(
    api_key: str | None,
    base_url: str | None,
    model: str,
    timeout_seconds: float,
    limits: AccountLimits | None = None,
) -> ImageModel:
    """Return the model of OpenAI's Images API where there is a key or a base URL, else the banner.

    Arguments and errors as for `language_model`.
    """
    if not api_key and not base_url:
        return OfflineImages()
    sdk = importlib.import_module("agents.llm.openai_images")  # slow, as above
    made: ImageModel = sdk.OpenAIImages(
        model,
        api_key=api_key or None,
        base_url=base_url or None,
        timeout_seconds=timeout_seconds,
        limits=limits,
    )
    return made
