"""keydeck grants."""

from __future__ import annotations

import json
from collections.abc import Sequence

import click

from console.commands.output_options import json_option
from console.commands.session import services_of
from console.printed.output import print_json
from crypto_core.database.role_grants import Login, role_grants
from crypto_core.guard.approvals import ADVISORY
from crypto_core.guard.iam_policy import iam_policy
from crypto_core.guard.operations import KeydeckRole
from crypto_core.values.clean_text import clean

OWNERS_ONLY = (
    "keydeck guard --apply and --remove change constraints, which only the owner of a table can: have it run "
    "the output of keydeck guard --sql."
)


_TWO = (
    "the URLs: the login with _tokens at its end goes into DATABASE_URL, the other into KEYDECK_STATE_URL, "
    "with the same host and database. Neither may be a member of the other."
)


@click.command()
@click.argument("role", type=click.Choice([role.value for role in KeydeckRole]))
@click.option("--to", "grantee", metavar="NAME", help="The database role; keydeck_ROLE unless you name one.")
@click.option(
    "--two-logins",
    is_flag=True,
    help="For two logins: one writes tokens, the other journal and state, so that code which others attached "
    "to token tables reaches no record of Keydeck's.",
)
@click.option("--sql", "part", flag_value="sql", help="Print the SQL alone, for psql.")
@click.option("--iam", "part", flag_value="iam", help="Print the IAM policy alone, as JSON.")
@json_option
def grants(*, role: str, grantee: str | None, two_logins: bool, part: str | None, as_json: bool) -> None:
    """Print the SQL privileges and the IAM policy that a role needs. Changes nothing.

    An inspector looks and verifies. An operator also writes tokens anew. A responder also works on incidents,
    changes KMS keys and revokes tokens. An approver decides what others ask for, and a signer signs
    checkpoints and records: each with credentials of its own.
    """
    wanted = KeydeckRole(role)
    with services_of() as services:
        settings = services.settings
        named = grantee or f"keydeck_{wanted.value}"
        tables = services.catalogue().tables
        sql = role_grants(services.engine, tables, wanted, named, Login.RECORDS if two_logins else Login.ONLY)
        if two_logins:
            sql += role_grants(services.engine, tables, wanted, f"{named}_tokens", Login.TOKENS)
        keys = [*([settings.write_key] if settings.write_key else []), *settings.trusted_keys]
        policy = iam_policy(
            wanted,
            [*keys, *settings.signing_key],
            approvals_key=settings.approvals_key,
            binding=settings.binding,
        )
        gaps = [*services.catalogue().gaps]
        if wanted is KeydeckRole.RESPONDER:
            gaps.append(OWNERS_ONLY)
        if wanted is KeydeckRole.APPROVER and not settings.approvals_key:
            gaps.append(ADVISORY)
    if as_json:
        print_json({"role": wanted.value, "sql": sql, "iam_policy": policy, "not_covered": gaps})
        return
    if part != "iam":
        _print_sql(sql, (*gaps, *([_TWO] if two_logins else [])))
    if part is None:
        click.echo("\n-- IAM policy")
    if part != "sql":
        click.echo(json.dumps(policy, indent=2))


def _print_sql(sql: Sequence[str], gaps: Sequence[str]) -> None:
    click.echo("-- SQL, for a role that exists: CREATE ROLE first, or name yours with --to")
    for statement in sql:
        # Cleaned, a name may be another one's: such a statement is not there to be run.
        safe = clean(statement) == statement
        click.echo(statement if safe else f"-- Only with --json, a name is not printable: {clean(statement)}")
    for gap in gaps:
        click.echo(f"-- Not covered: {gap}")
