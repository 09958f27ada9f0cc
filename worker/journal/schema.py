"""Brings the tables up to date when a journal opens; many processes may do so at once."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, text

from envelope.errors import JournalUnavailable

VERSION_TABLE = "muster_schema"
"""Apart from the `alembic_version` of an application that lives in the same database."""

_MIGRATIONS = Path(__file__).parent / "migrations"
_ADVISORY_LOCK = text("SELECT pg_advisory_xact_lock(7238459012)")


class SchemaTooNew(JournalUnavailable):
    """A newer Muster has changed the tables. Upgrade this process's Muster; nothing was touched."""

    code = "SCHEMA_TOO_NEW"


def upgrade(engine: Engine) -> None:
    """Create or migrate the tables inside one transaction, one process after the other.

    Raises:
        SchemaTooNew: The tables were made by a newer version than this code.
    """
    with engine.connect() as connection:
        _wait_for_turn(connection)
        _migrate(connection)
        connection.commit()


def head() -> str:
    """Return the version of the tables that this code works with."""
    return str(ScriptDirectory(str(_MIGRATIONS)).get_current_head())


def _wait_for_turn(connection: Connection) -> None:
    """On SQLite the transaction itself, immediate as it is, is the lock."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SET LOCAL lock_timeout = '60s'"))
        connection.execute(_ADVISORY_LOCK)
    else:
        connection.execute(text("SELECT 1"))


def _migrate(connection: Connection) -> None:
    context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
    found, wanted = context.get_current_revision(), head()
    if found == wanted:
        return
    if found is not None and not _known(found):
        raise SchemaTooNew(
            f"The journal's tables are at version {found}, this Muster knows versions up to "
            f"{wanted}. A newer Muster has migrated them: upgrade this one too."
        )
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    config.attributes["version_table"] = VERSION_TABLE
    command.upgrade(config, "head")


def _known(revision: str) -> bool:
    scripts = ScriptDirectory(str(_MIGRATIONS))
    return revision in {script.revision for script in scripts.walk_revisions()}
