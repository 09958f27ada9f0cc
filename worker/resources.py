"""What this process gives its agents: knowledge, records, a language model."""

from __future__ import annotations

from agents.providers import knowledge_base, language_model, provide, record_store
from envelope.resources import Resources
from worker.settings import Settings


def resources_of(settings: Settings) -> Resources:
    """Return the agents' resources as the settings say; each is made when it is first used."""
    resources = Resources()
    key = settings.openai_api_key
    provide(
        resources,
        knowledge=lambda: knowledge_base(settings.database_url, settings.home),
        records=lambda: record_store(settings.database_url, settings.home),
        model=lambda: language_model(
            key.get_secret_value() if key else None,
            settings.openai_base_url,
            settings.llm_model,
            settings.llm_timeout_seconds,
        ),
    )
    return resources
