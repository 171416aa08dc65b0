"""Alembic environment: the connection comes from `node.database.migrate`, or from the URL for the alembic command."""

from __future__ import annotations

from alembic import context
from sqlalchemy import Connection, create_engine

from node.schema import Base


def run(connection: Connection) -> None:
    """Run the migrations on an open connection."""
    context.configure(connection=connection, target_metadata=Base.metadata, render_as_batch=True)
    with context.begin_transaction():
        context.run_migrations()


given = context.config.attributes.get("connection")
if given is not None:
    run(given)
else:
    with create_engine(context.config.get_main_option("sqlalchemy.url") or "").connect() as opened:
        run(opened)
