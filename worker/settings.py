"""Every setting of Muster, read once at start from the environment and `.env`.

A setting is named `MUSTER_…` after its field. The environment wins over `.env`. `REDIS_URL`,
`DATABASE_URL`, `OPENAI_API_KEY` and `OPENAI_BASE_URL` are read as well; the `MUSTER_` name goes
first. An empty value counts as not set.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Self

from pydantic import (
    AliasChoices,
    Field,
    PositiveInt,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from pydantic_settings import BaseSettings, SettingsConfigDict
from pydantic_settings.exceptions import SettingsError

from worker.redaction import mask_url, url_password
from worker.settings_errors import ConfigurationError, configuration_error
from worker.settings_names import ENV_FILE
from worker.settings_report import (
    SettingRow,
    UnknownVariable,
    setting_rows,
    unknown_variables,
)
from worker.settings_values import (
    CapText,
    DatabaseUrl,
    Folder,
    HttpUrl,
    LogFormat,
    LogLevel,
    ModuleNames,
    Parts,
    Port,
    PositiveSeconds,
    QuietText,
    RedisUrl,
    Routes,
    Share,
    Text,
)


def _also(name: str) -> AliasChoices:
    return AliasChoices(f"MUSTER_{name}", name)


class Settings(BaseSettings):
    """What a process of Muster may be told from outside. Frozen; create it with `Settings.load()`.

    Durations are seconds, sizes bytes. `description` and `allowed` of each field are what error
    messages, `muster config show`, `.env.example` and the reference page say about it.
    """

    model_config = SettingsConfigDict(
        env_prefix="MUSTER_",
        env_file=ENV_FILE,
        env_file_encoding="utf-8",
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
        populate_by_name=True,
        validate_default=True,
    )

    redis_url: RedisUrl | None = Field(
        default=None,
        validation_alias=_also("REDIS_URL"),
        description="Redis that carries messages and coordinates. Not set: an embedded one starts.",
        json_schema_extra={"allowed": "redis://…, rediss://… or unix://…", "shown": "embedded"},
    )
    database_url: DatabaseUrl | None = Field(
        default=None,
        validation_alias=_also("DATABASE_URL"),
        description="Database of the journal. Not set: an SQLite file in the home folder.",
        json_schema_extra={
            "allowed": "postgresql://USER:PASSWORD@HOST/NAME or sqlite:///PATH (a file)",
            "shown": "SQLite in the home folder",
        },
    )
    tables_url: SecretStr | None = Field(
        default=None,
        description="Database of your own tables, for agents that write to them. Not set: the "
        "journal's Postgres, or an SQLite file in the home folder.",
        json_schema_extra={"allowed": "postgresql://USER:PASSWORD@HOST/NAME or sqlite:///PATH"},
    )
    home: Folder = Field(
        default=Path(".muster"),
        description="Folder of the embedded parts. Processes with the same home share them.",
        json_schema_extra={"allowed": "a folder that can be written"},
    )
    include: ModuleNames = Field(
        default=(),
        description="Your modules with agents and flows, loaded at start.",
        json_schema_extra={"allowed": "dotted names of modules, separated by commas"},
    )
    lease_seconds: PositiveSeconds = Field(
        default=10.0,
        description="A run whose worker is silent for this long is taken over by another one.",
        json_schema_extra={"allowed": "seconds, more than twice MUSTER_HEARTBEAT_SECONDS"},
    )
    heartbeat_seconds: PositiveSeconds = Field(
        default=2.0,
        description="How often a worker process renews the leases of all its runs.",
        json_schema_extra={"allowed": "seconds, more than 0"},
    )
    reissue_seconds: PositiveSeconds = Field(
        default=3.0,
        description="A queued run that no worker has claimed for this long is sent again.",
        json_schema_extra={"allowed": "seconds, more than 0"},
    )
    max_losses: PositiveInt = Field(
        default=3,
        description="A run that has lost its worker this often becomes a dead letter.",
        json_schema_extra={"allowed": "a whole number, at least 1"},
    )
    concurrency: PositiveInt = Field(
        default=200,
        description="Steps and other tasks that one worker process executes at once.",
        json_schema_extra={"allowed": "a whole number, at least 1"},
    )
    max_runs: PositiveInt = Field(
        default=1000,
        description="Runs that one worker process holds at once, most of them waiting.",
        json_schema_extra={"allowed": "a whole number, at least 1"},
    )
    payload_max_bytes: PositiveInt = Field(
        default=256 * 1024,
        description="Largest payload of a run, as JSON.",
        json_schema_extra={"allowed": "bytes, at least 1"},
    )
    envelope_max_bytes: PositiveInt = Field(
        default=1024 * 1024,
        description="Largest envelope that an agent may return, as JSON.",
        json_schema_extra={"allowed": "bytes, at least 1"},
    )
    allow_delivery: bool = Field(
        default=False,
        description="Whether anything may be sent at all. A run must allow it as well.",
        json_schema_extra={"allowed": "true or false"},
    )
    delivery_allow: Parts = Field(
        default=(),
        description="Who may be reached: addresses, hosts, or patterns with *. Empty: anyone.",
        json_schema_extra={"allowed": "patterns such as *@example.com, separated by commas"},
    )
    delivery_quiet: QuietText | None = Field(
        default=None,
        description="Hours in which nothing is sent, and their time zone.",
        json_schema_extra={"allowed": "HH:MM-HH:MM ZONE, such as 20:00-08:00 Europe/Berlin"},
    )
    delivery_cap: CapText | None = Field(
        default=None,
        description="How often one recipient may be reached on one channel.",
        json_schema_extra={"allowed": "COUNT/DAYSd or COUNT/HOURSh, such as 2/7d"},
    )
    approval_channels: Parts = Field(
        default=("email",),
        description="Channels on which a person must approve exactly what is sent.",
        json_schema_extra={"allowed": "names of channels, separated by commas; none: no channel"},
    )
    approval_seconds: PositiveSeconds = Field(
        default=86_400.0,
        description="An approval must be given and used within this time.",
        json_schema_extra={"allowed": "seconds, more than 0"},
    )
    approvers: Parts = Field(
        default=(),
        description="Who may approve. Empty: anybody with access but the one who asks.",
        json_schema_extra={"allowed": "names, each with :ROLE where not approver; commas between"},
    )
    smtp_url: SecretStr | None = Field(
        default=None,
        description="Mail server that e-mails are handed to.",
        json_schema_extra={"allowed": "smtp://, smtp+starttls:// or smtps://USER:PASSWORD@HOST"},
    )
    mail_from: str | None = Field(
        default=None,
        description="Sender of e-mails that name none.",
        json_schema_extra={"allowed": "an address, or Name <address>"},
    )
    webhook_secret: SecretStr | None = Field(
        default=None,
        description="Key that outgoing webhooks are signed with (Standard Webhooks).",
        json_schema_extra={"allowed": "whsec_ and 24 to 64 bytes in base64"},
    )
    webhook_private: bool = Field(
        default=False,
        description="Whether webhooks may reach private and local addresses.",
        json_schema_extra={"allowed": "true or false"},
    )
    openai_api_key: SecretStr | None = Field(
        default=None,
        validation_alias=_also("OPENAI_API_KEY"),
        description="Key of the model server. Neither key nor base URL: the offline model writes.",
        json_schema_extra={"allowed": "the key as the server issued it"},
    )
    openai_base_url: HttpUrl | None = Field(
        default=None,
        validation_alias=_also("OPENAI_BASE_URL"),
        description="Base URL of an OpenAI-compatible server.",
        json_schema_extra={"allowed": "http://… or https://…", "shown": "OpenAI's own"},
    )
    llm_model: Text = Field(
        default="gpt-5.4-mini",
        description="Model that agents use unless they name another.",
        json_schema_extra={"allowed": "a model that the server offers"},
    )
    llm_routes: Routes = Field(
        default=(),
        description="Models by the names that tasks and routers ask for.",
        json_schema_extra={"allowed": "NAME=MODEL, separated by commas: fast=gpt-5.4-nano"},
    )
    image_model: Text = Field(
        default="gpt-image-1-mini",
        description="Model that draws images.",
        json_schema_extra={"allowed": "a model that the server offers"},
    )
    image_timeout_seconds: PositiveSeconds = Field(
        default=180.0,
        description="Absolute limit of one call that draws an image.",
        json_schema_extra={"allowed": "seconds, more than 0"},
    )
    embedding_model: Text | None = Field(
        default=None,
        description="Model that makes vectors of passages. Not set: words alone are searched.",
        json_schema_extra={"allowed": "a model that the server offers, or offline"},
    )
    embedding_dimensions: PositiveInt | None = Field(
        default=None,
        description="Length of the vectors, for models that can shorten them.",
        json_schema_extra={"allowed": "a whole number, at least 1", "shown": "the model's own"},
    )
    llm_timeout_seconds: PositiveSeconds = Field(
        default=60.0,
        description="Absolute limit of one model call, however slowly the answer trickles in.",
        json_schema_extra={"allowed": "seconds, more than 0"},
    )
    llm_requests_per_minute: PositiveInt | None = Field(
        default=None,
        description="Requests that all workers together may send to the model server.",
        json_schema_extra={"allowed": "a whole number, at least 1", "shown": "no limit"},
    )
    llm_tokens_per_minute: PositiveInt | None = Field(
        default=None,
        description="Tokens, sent and received, that all workers together may use.",
        json_schema_extra={"allowed": "a whole number, at least 1", "shown": "no limit"},
    )
    llm_account: Text = Field(
        default="default",
        description="Account that the two limits belong to. Who names another has limits apart.",
        json_schema_extra={"allowed": "any name"},
    )
    log_level: LogLevel = Field(
        default="INFO",
        description="Least serious line that is written.",
        json_schema_extra={"allowed": "DEBUG, INFO, WARNING, ERROR or CRITICAL"},
    )
    log_format: LogFormat = Field(
        default="auto",
        description="How lines look. auto: console on a terminal, JSON elsewhere.",
        json_schema_extra={"allowed": "auto, console or json"},
    )
    metrics_port: Port = Field(
        default=9464,
        description="First port that a worker tries for /metrics and /healthz. 0: it serves none.",
        json_schema_extra={"allowed": "0 to 65535; where it is taken, one of the next 31 is used"},
    )
    metrics_host: Text = Field(
        default="127.0.0.1",
        description="Address that /metrics and /healthz are served on, to whoever asks.",
        json_schema_extra={"allowed": "an address of this machine, or 0.0.0.0 for all"},
    )
    otlp_endpoint: HttpUrl | None = Field(
        default=None,
        description="Collector that traces are sent to, by OTLP over HTTP. Needs muster[otel].",
        json_schema_extra={
            "allowed": "http://… or https://…, without /v1/traces",
            "shown": "no traces",
        },
    )
    traces: Share = Field(
        default=1.0,
        description="Share of the runs that are traced; the same ones in every process.",
        json_schema_extra={"allowed": "0 to 1"},
    )

    @field_validator("heartbeat_seconds")
    @classmethod
    def _renews_in_time(cls, heartbeat: float, info: ValidationInfo) -> float:
        """A lease survives one missed heartbeat, or a short pause would cost runs their worker."""
        lease = info.data.get("lease_seconds")
        if lease is not None and lease <= 2 * heartbeat:
            raise ValueError(
                f"MUSTER_LEASE_SECONDS is {lease:g} and must be more than twice "
                f"MUSTER_HEARTBEAT_SECONDS, which is {heartbeat:g}"
            )
        return heartbeat

    @classmethod
    def load(cls, **overrides: Any) -> Self:
        """Reads the environment and `.env`; arguments win over both.

        Raises:
            ConfigurationError: A value is wrong, or `.env` cannot be read. Names each variable.
        """
        try:
            return cls(**overrides)
        except ValidationError as error:
            raise configuration_error(cls, error) from None
        except (SettingsError, UnicodeDecodeError, OSError) as error:
            raise ConfigurationError(
                f"{ENV_FILE} cannot be read ({type(error).__name__}). "
                "It must be a readable UTF-8 file with one NAME=value on each line."
            ) from None

    @property
    def journal_url(self) -> str:
        """The journal's database as SQLAlchemy takes it: `database_url` or the embedded file."""
        return self.database_url or f"sqlite:///{self.home / 'journal.sqlite3'}"

    def secrets(self) -> tuple[str, ...]:
        """Values that may never leave the process: keys, passwords inside URLs."""
        held = (self.openai_api_key, self.webhook_secret, self.tables_url, self.smtp_url)
        keys = [secret.get_secret_value() if secret else None for secret in held]
        servers = (self.redis_url, self.database_url, self.openai_base_url, self.otlp_endpoint)
        urls = (*servers, *keys[-2:])
        return tuple(s for s in (*keys, *map(url_password, urls)) if s)

    def described(self) -> tuple[SettingRow, ...]:
        """One row for each setting, secrets masked: what `muster config show` prints."""
        return setting_rows(self, os.environ)

    @staticmethod
    def unknown_variables() -> tuple[UnknownVariable, ...]:
        """`MUSTER_…` variables that no setting reads, each with the nearest name that one does."""
        return unknown_variables(Settings, os.environ)

    def __repr_args__(self) -> list[tuple[str | None, Any]]:
        """The usual representation, without the passwords inside URLs."""
        return [
            (name, mask_url(value) if isinstance(value, str) else value)
            for name, value in super().__repr_args__()
        ]
