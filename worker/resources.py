"""What this process gives its agents: knowledge, records, a language model."""

from __future__ import annotations

from agents.llm.account import AccountLimits
from agents.providers import knowledge_base, language_model, provide, record_store
from agents.rates import per_minute
from envelope.ports.rates import Rate, RateLimits
from envelope.resources import Resources
from worker.coordination.rates.in_process import InProcessRates
from worker.coordination.rates.loops import LoopRates
from worker.settings import Settings


def resources_of(settings: Settings, rates: RateLimits | None = None) -> Resources:
    """Return the agents' resources as the settings say; each is made when it is first used.

    Args:
        settings: The settings.
        rates: The cluster's rate limits, in a form that every event loop of the process may use,
            such as `LoopRates`; whoever made them closes them. None: limits that the settings name
            are kept by this process alone.
    """
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
            account_limits(settings, rates),
        ),
    )
    return resources


def account_limits(settings: Settings, rates: RateLimits | None = None) -> AccountLimits:
    """Return the limits of the account at the model server; they hold its pauses where none is set.

    Args:
        settings: The settings.
        rates: As for `resources_of`.
    """
    return AccountLimits(
        rates=rates or LoopRates(InProcessRates),
        name=settings.llm_account,
        requests=_per_minute(settings.llm_requests_per_minute),
        tokens=_per_minute(settings.llm_tokens_per_minute),
    )


def _per_minute(amount: int | None) -> Rate | None:
    return None if amount is None else per_minute(amount)
