"""keydeck init."""

from __future__ import annotations

import click

from console.commands.operation_command import OperationCommand
from console.commands.session import services_of
from console.container import Container
from console.printed.output import print_line
from crypto_core.database.state.installation import ddl, install
from crypto_core.database.tokens.orders import offered
from crypto_core.guard.guarded_change import Outcome
from crypto_core.values.clean_text import clean
from crypto_core.values.errors import ReadOnlyError


@click.command(cls=OperationCommand, operation="init")
@click.option("--sql", is_flag=True, help="Print the DDL for a DBA instead; nothing is connected.")
@click.option(
    "--indexes",
    is_flag=True,
    help="Print statements for indexes on the platform's tables that speed lists up; nothing is changed.",
)
def init(*, sql: bool, indexes: bool) -> None:
    """Create Keydeck's own schema `keydeck`: envelope backups, KMS's answers, the journal.

    The platform's tables are never touched. --indexes prints what their owner may add: with it lists by date
    and by organisation page as fast as the others.
    """
    if sql and indexes:
        raise click.UsageError("Choose --sql or --indexes.")
    if sql:
        click.echo(ddl(), nl=False)
        return
    if indexes:
        with services_of() as services:
            for statement in offered(services.catalogue().tables):
                # Cleaned, a name may be another one's: such a statement is not there to be run.
                safe = clean(statement, 5_000) == statement
                print_line(statement if safe else f"-- A name is not printable: {statement}")
        return
    with services_of() as services:
        changed = set_up(services)
    click.echo("Schema keydeck is ready." if changed else "Schema keydeck already exists.")


def set_up(services: Container) -> bool:
    """Create or update the schema where it is configured; return whether anything changed, journaled then.

    Raises ReadOnlyError, MissingGrantError, DatabaseError.
    """
    if services.settings.read_only:
        raise ReadOnlyError("Cannot create the schema: Keydeck is in read-only mode.")
    # Not by their URLs: SQLAlchemy writes those of two servers alike that name sockets or lists of hosts.
    changed = [install(engine) for engine in dict.fromkeys((services.engine, services.state_engine))]
    if any(changed):
        services.journal.record("init", "schema keydeck", Outcome.DONE)
    return any(changed)
