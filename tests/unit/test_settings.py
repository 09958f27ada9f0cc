"""Settings: what is read, from where, and how a mistake is told."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from envelope.errors import Terminal
from worker.settings import Settings
from worker.settings_docs import ENV_EXAMPLE, PAGE, env_example, settings_page, write
from worker.settings_errors import ConfigurationError
from worker.settings_names import allowed_values, variable_names

ROOT = Path(__file__).parents[2]


@pytest.fixture
def env_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An `.env` that is read, in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(Settings.model_config, "env_file", ".env")
    return tmp_path / ".env"


def wrong(**values: object) -> str:
    with pytest.raises(ConfigurationError) as caught:
        Settings.load(**values)
    return str(caught.value)


def test_everything_has_a_default_that_suits_a_newcomer() -> None:
    settings = Settings.load()
    assert settings.redis_url is None
    assert settings.home == Path.cwd() / ".muster"
    assert settings.journal_url == f"sqlite:///{Path.cwd()}/.muster/journal.sqlite3"
    assert settings.include == ()
    assert (settings.lease_seconds, settings.heartbeat_seconds, settings.max_losses) == (10, 2, 3)
    assert settings.allow_delivery is False


def test_reads_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MUSTER_LEASE_SECONDS", "7.5")
    monkeypatch.setenv("MUSTER_INCLUDE", "shop.agents, shop.flows,")
    monkeypatch.setenv("MUSTER_ALLOW_DELIVERY", "true")
    monkeypatch.setenv("MUSTER_LOG_LEVEL", "debug")
    settings = Settings.load()
    assert settings.lease_seconds == 7.5
    assert settings.include == ("shop.agents", "shop.flows")
    assert settings.allow_delivery is True
    assert settings.log_level == "DEBUG"


def test_an_empty_value_counts_as_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MUSTER_REDIS_URL", "")
    monkeypatch.setenv("MUSTER_LEASE_SECONDS", "")
    assert Settings.load().redis_url is None
    assert Settings.load().lease_seconds == 10


@pytest.mark.parametrize(
    ("field", "plain", "value"),
    [
        ("redis_url", "REDIS_URL", "redis://somewhere:1/0"),
        ("database_url", "DATABASE_URL", "sqlite:////data/journal.db"),
        ("openai_base_url", "OPENAI_BASE_URL", "http://localhost:8080/v1"),
    ],
)
def test_honours_the_names_that_everybody_uses(
    monkeypatch: pytest.MonkeyPatch, field: str, plain: str, value: str
) -> None:
    monkeypatch.setenv(plain, value)
    assert getattr(Settings.load(), field) == value
    monkeypatch.setenv(f"MUSTER_{plain}", value + "9")
    assert getattr(Settings.load(), field) == value + "9"


def test_honours_the_key_of_openai(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-from-openai")
    assert Settings.load().openai_api_key == SecretStr("sk-from-openai")


def test_the_environment_wins_over_the_file(
    env_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    env_file.write_text(
        "MUSTER_REDIS_URL=redis://file\nMUSTER_MAX_LOSSES=9\nOTHER=1\n", encoding="utf-8"
    )
    assert Settings.load().redis_url == "redis://file"
    monkeypatch.setenv("REDIS_URL", "redis://environment")
    assert Settings.load().redis_url == "redis://environment"
    assert Settings.load().max_losses == 9


@pytest.mark.parametrize(
    ("given_url", "used"),
    [
        ("postgres://u:p@db/name", "postgresql+psycopg://u:p@db/name"),
        ("postgresql://u:p@db/name?x=1", "postgresql+psycopg://u:p@db/name?x=1"),
        ("postgresql+psycopg://db/name", "postgresql+psycopg://db/name"),
        ("sqlite:///journal.db", "sqlite:///journal.db"),
    ],
)
def test_database_urls(given_url: str, used: str) -> None:
    assert Settings.load(database_url=given_url).journal_url == used


@pytest.mark.parametrize(
    "url", ["mysql://u:hunter22@db/x", "sqlite://", "sqlite:///:memory:", "journal.db", "postgres"]
)
def test_other_databases_are_refused_without_repeating_the_password(url: str) -> None:
    said = wrong(database_url=url)
    assert "MUSTER_DATABASE_URL" in said
    assert "postgresql://" in said
    assert "hunter22" not in said


@pytest.mark.parametrize("url", ["http://:hunter22@h", "localhost:6379", "hunter22"])
def test_a_wrong_redis_url_is_refused_without_repeating_it(url: str) -> None:
    said = wrong(redis_url=url)
    assert "MUSTER_REDIS_URL" in said
    assert "rediss://" in said
    assert "hunter22" not in said


def test_the_error_names_the_variable_that_was_set(
    env_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REDIS_URL", "memcached://h")
    assert wrong().startswith("REDIS_URL ")
    monkeypatch.delenv("REDIS_URL")
    env_file.write_text("DATABASE_URL=mysql://h\n", encoding="utf-8")
    assert wrong().startswith("DATABASE_URL ")


NUMBERS = [
    "lease_seconds",
    "heartbeat_seconds",
    "reissue_seconds",
    "max_losses",
    "concurrency",
    "max_runs",
    "payload_max_bytes",
    "envelope_max_bytes",
    "llm_timeout_seconds",
]


@pytest.mark.parametrize("field", NUMBERS)
@pytest.mark.parametrize("value", ["0", "-1", "nan", "inf", "-inf", "ten", "1e999", "\x00"])
def test_a_wrong_number_is_refused_by_name(
    field: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    variable = f"MUSTER_{field.upper()}"
    if "\x00" in value:
        said = wrong(**{field: value})
    else:
        monkeypatch.setenv(variable, value)
        said = wrong()
    assert variable in said
    assert allowed_values(Settings, field) in said


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("MUSTER_LOG_FORMAT", "xml"),
        ("MUSTER_LOG_LEVEL", "LOUD"),
        ("MUSTER_ALLOW_DELIVERY", "maybe"),
        ("MUSTER_INCLUDE", "shop/agents.py"),
        ("MUSTER_INCLUDE", "shop..agents"),
        ("MUSTER_OPENAI_BASE_URL", "localhost:8080"),
        ("MUSTER_DELIVERY_QUIET", "20-8"),
        ("MUSTER_DELIVERY_QUIET", "20:00-08:00 Europe/Atlantis"),
        ("MUSTER_DELIVERY_QUIET", "08:00-08:00 UTC"),
        ("MUSTER_DELIVERY_CAP", "0/7d"),
        ("MUSTER_DELIVERY_CAP", "often"),
    ],
)
def test_other_wrong_values_are_refused_by_name(
    variable: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)
    assert wrong().startswith(f"{variable} ")


def test_quiet_hours_that_begin_when_they_end_are_refused_at_start() -> None:
    said = wrong(delivery_quiet=" 08:00-08:00 UTC ", max_losses=0)
    assert len(said.splitlines()) == 2
    assert "'08:00-08:00 UTC': hours that begin when they end" in said
    assert "MUSTER_ALLOW_DELIVERY=false to send nothing.\n" in said + "\n"


def test_hours_and_caps_are_kept_as_they_were_written() -> None:
    settings = Settings.load(delivery_quiet=" 20:00-08:00 Europe/Berlin ", delivery_cap=" 2/7d ")
    assert settings.delivery_quiet == "20:00-08:00 Europe/Berlin"
    assert settings.delivery_cap == "2/7d"


def test_all_wrong_values_are_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MUSTER_MAX_LOSSES", "none")
    monkeypatch.setenv("MUSTER_LOG_FORMAT", "xml")
    assert len(wrong().splitlines()) == 2


def test_the_lease_must_outlast_two_heartbeats() -> None:
    said = wrong(lease_seconds=4, heartbeat_seconds=2)
    assert "MUSTER_LEASE_SECONDS is 4" in said
    assert "MUSTER_HEARTBEAT_SECONDS, which is 2" in said
    assert Settings.load(lease_seconds=4.1, heartbeat_seconds=2).lease_seconds == 4.1


def test_an_unreadable_env_file_is_a_configuration_error(env_file: Path) -> None:
    env_file.write_bytes(b"MUSTER_HOME=\xff\xfe\n")
    assert ".env cannot be read" in wrong()


def test_a_configuration_error_is_terminal() -> None:
    assert issubclass(ConfigurationError, Terminal)
    assert ConfigurationError.code == "CONFIGURATION_INVALID"


def test_a_mistyped_variable_is_reported_with_the_nearest_name(
    env_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MUSTER_LEASE_SECONDS", "10")
    monkeypatch.setenv("MUSTER_LEESE_SECONDS", "10")
    monkeypatch.setenv("MUSTER_TEST_POSTGRES_URL", "x")
    env_file.write_text("MUSTER_QQQ=1\nmuster_home=x\n", encoding="utf-8")
    told = {unknown.name: unknown.nearest for unknown in Settings.unknown_variables()}
    assert told == {"MUSTER_LEESE_SECONDS": "MUSTER_LEASE_SECONDS", "MUSTER_QQQ": None}
    assert "Did you mean MUSTER_LEASE_SECONDS?" in str(Settings.unknown_variables()[0])


def test_settings_are_described_with_their_source(
    env_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REDIS_URL", "redis://:hunter22@h/0")
    env_file.write_text("MUSTER_MAX_LOSSES=5\nREDIS_URL=redis://unused\n", encoding="utf-8")
    rows = {row.variable: row for row in Settings.load(log_level="ERROR").described()}
    assert list(rows) == [f"MUSTER_{field.upper()}" for field in Settings.model_fields]
    assert rows["MUSTER_REDIS_URL"].source == "environment"
    assert rows["MUSTER_MAX_LOSSES"].source == ".env"
    assert (rows["MUSTER_MAX_LOSSES"].value, rows["MUSTER_MAX_LOSSES"].default) == ("5", "3")
    assert rows["MUSTER_LOG_LEVEL"].source == "argument"
    assert rows["MUSTER_HOME"].source == "default"


def test_no_secret_is_shown() -> None:
    settings = Settings.load(
        redis_url="rediss://user:hunter22@h/0",
        database_url="postgres://u:s3cr3t-pw@db/x?password=in-query",
        openai_api_key="sk-very-secret-key",
        openai_base_url="https://me:proxy-pw@gateway/v1",
    )
    shown = repr(settings) + str(settings) + repr(settings.described())
    for secret in ("hunter22", "s3cr3t-pw", "in-query", "sk-very-secret-key", "proxy-pw"):
        assert secret not in shown
    assert {"hunter22", "s3cr3t-pw", "sk-very-secret-key", "proxy-pw"} <= set(settings.secrets())


def test_settings_are_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Settings.load().max_losses = 4  # type: ignore[misc]  # what the test is about


@given(st.text(max_size=50), st.sampled_from(sorted(Settings.model_fields)))
def test_any_text_is_taken_or_refused_by_name(value: str, field: str) -> None:
    try:
        Settings.load(**{field: value})
    except ConfigurationError as error:
        assert variable_names(Settings, field)[0] in str(error)  # noqa: PT017  # both are right


def test_the_written_texts_are_those_of_the_settings() -> None:
    remedy = "run `uv run python -m worker.settings_docs`"
    assert (ROOT / ENV_EXAMPLE).read_text("utf-8") == env_example(), remedy
    assert (ROOT / PAGE).read_text("utf-8") == settings_page(), remedy


def test_the_example_names_every_setting_and_changes_nothing(env_file: Path) -> None:
    write(env_file.parent)
    example = env_file.with_name(".env.example").read_text("utf-8")
    uncommented = [line[1:] for line in example.splitlines() if line.startswith("#MUSTER_")]
    assert len(uncommented) == len(Settings.model_fields)
    env_file.write_text("\n".join(uncommented), encoding="utf-8")
    assert Settings.load() == Settings()
    assert Settings.unknown_variables() == ()
    env_file.unlink()
    assert Settings.load().model_dump() == Settings().model_dump()
