"""Runs the migrations on the connection, and inside the transaction, of the journal that opens."""

from alembic import context

from worker.journal.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    version_table=context.config.attributes["version_table"],
    target_metadata=metadata,
    # The journal began the transaction and ends it: all of an upgrade, or nothing.
    transactional_ddl=False,
)
context.run_migrations()
