"""What this process gives its agents: stores, models, channels."""

from __future__ import annotations

from pydantic import SecretStr

from agents.db_write.tables.opening import table_store
from agents.email.smtp_mailer import SmtpMailer
from agents.image.store import FileImages
from agents.knowledge.embedding_factory import embedding_model
from agents.llm.account import AccountLimits
from agents.llm.factory import image_model
from agents.llm.messages.factory import message_store
from agents.llm.watch import Watch, unwatched
from agents.providers import (
    knowledge_base,
    language_model,
    provide,
    provide_channels,
    provide_model_parts,
    provide_stores,
    record_store,
)
from agents.rates import per_minute
from agents.tasks.routes import ModelRoutes
from agents.webhook.http_webhooks import HttpWebhooks
from envelope.ports.rates import Rate, RateLimits
from envelope.resources import Resources
from worker.coordination.rates.in_process import InProcessRates
from worker.coordination.rates.loops import LoopRates
from worker.settings import Settings


def resources_of(
    settings: Settings, rates: RateLimits | None = None, watch: Watch = unwatched
) -> Resources:
    """Return the agents' resources as the settings say; each is made when it is first used.

    Args:
        settings: The settings.
        rates: The cluster's rate limits, in a form that every event loop of the process may use,
            such as `LoopRates`; whoever made them closes them. None: limits that the settings name
            are kept by this process alone.
        watch: Sees every request to the language model.
    """
    resources = Resources()
    limits = account_limits(settings, rates)
    server = (_shown(settings.openai_api_key), settings.openai_base_url)
    provide(
        resources,
        knowledge=lambda: knowledge_base(
            settings.database_url,
            settings.home,
            embedding_model(
                settings.embedding_model,
                *server,
                settings.llm_timeout_seconds,
                limits,
                settings.embedding_dimensions,
            ),
        ),
        records=lambda: record_store(settings.database_url, settings.home),
        model=lambda: language_model(
            *server, settings.llm_model, settings.llm_timeout_seconds, limits, watch
        ),
    )
    provide_model_parts(
        resources,
        images=lambda: image_model(
            *server, settings.image_model, settings.image_timeout_seconds, limits
        ),
        messages=lambda: message_store(settings.database_url, settings.home),
        routes=lambda: ModelRoutes(dict(_route(text) for text in settings.llm_routes)),
    )
    provide_stores(
        resources,
        tables=lambda: table_store(_tables_url(settings), settings.home),
        pictures=lambda: FileImages(settings.home / "images"),
    )
    provide_channels(
        resources,
        mailer=lambda: SmtpMailer(_shown(settings.smtp_url), settings.mail_from),
        webhooks=lambda: HttpWebhooks(
            _shown(settings.webhook_secret), private=settings.webhook_private
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


def _tables_url(settings: Settings) -> str | None:
    """Users' tables stand beside the journal in Postgres, and never in the journal's own file."""
    if settings.tables_url is not None:
        return settings.tables_url.get_secret_value()
    url = settings.database_url
    return url if url is not None and url.startswith("postgres") else None


def _shown(secret: SecretStr | None) -> str | None:
    return secret.get_secret_value() if secret else None


def _route(text: str) -> tuple[str, str]:
    name, _, model = text.partition("=")
    return name.strip(), model.strip()


def _per_minute(amount: int | None) -> Rate | None:
    return None if amount is None else per_minute(amount)
