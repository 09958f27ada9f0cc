import pytest

from envelope.errors import InvalidInput
from worker.journal.memory import MemoryJournal
from worker.journal.open import journal_for
from worker.journal.sql import SqlJournal
from worker.journal.trouble import unavailable
from worker.journal.urls import database_url, shown


@pytest.mark.parametrize(
    ("given", "driver"),
    [
        ("postgres://u@h/d", "postgresql+psycopg"),
        ("postgresql://u@h/d", "postgresql+psycopg"),
        ("postgresql+psycopg://u@h/d", "postgresql+psycopg"),
        ("sqlite:///a.db", "sqlite+pysqlite"),
    ],
)
def test_a_url_gets_the_driver_of_the_journal(given: str, driver: str) -> None:
    assert database_url(given).drivername == driver


def test_a_url_is_shown_without_password_and_options() -> None:
    url = database_url("postgresql://u:p%40ss-word@h:5/d?sslmode=require&password=other")
    assert shown(url) == "postgresql+psycopg://u:***@h:5/d"


def test_an_error_repeats_no_password() -> None:
    url = database_url("postgresql://u:p%40ss-word@h:5/d")
    error = unavailable(url, RuntimeError("cannot use p@ss-word\nand more"))
    assert "p@ss" not in str(error)
    assert "cannot use *** and more" in str(error)


@pytest.mark.parametrize("url", ["", "x", "mysql://h/d", "sqlite://", "sqlite:///:memory:"])
def test_a_url_that_no_journal_can_live_in_is_refused(url: str) -> None:
    with pytest.raises(InvalidInput, match="sqlite:///"):
        database_url(url)


def test_the_url_chooses_the_journal() -> None:
    assert isinstance(journal_for("memory://"), MemoryJournal)
    assert isinstance(journal_for("sqlite:///x.db"), SqlJournal)
