"""Alembic's entry: migrates over the connection that prosa.adapters.sql.migrate hands in."""

from alembic import context

from prosa.adapters.sql.tables import metadata

connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=metadata,
    render_as_batch=connection.dialect.name == "sqlite",
    compare_type=True,
)
with context.begin_transaction():
    context.run_migrations()
