"""keydeck incident start by what is known of the tokens: what is found, what is told, and what is kept."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy import Engine, text

from console.container import Container
from console.sandbox.world import World
from crypto_core.values.references import TokenRef

Keydeck = Callable[..., Any]
START = ("incident", "start", "token-compromise", "--title", "leak")
NOWHERE = "ghp_" + "NoWhere9" * 4


def github(world: World, number: int = 0) -> TokenRef:
    refs = world.sealed_under(world.current_key)
    return [r for r in refs if (r.table, r.column) == ("gh_connection", "access_token")][number]


def everything_stored(superuser: Engine) -> str:
    with superuser.connect() as connection:
        tables = connection.scalars(
            text("SELECT format('%I.%I', schemaname, tablename) FROM pg_tables WHERE schemaname = 'keydeck'")
        ).all()
        return "\n".join(
            str(row)
            for table in tables
            if "backup" not in table
            for row in connection.scalars(text(f"SELECT t::text FROM {table} t"))
        )


def test_an_organisation_or_what_a_principal_opened_is_the_scope(
    services: Container, world: World, keydeck: Keydeck
) -> None:
    organisation = services.inventory.row(github(world)).organisation
    declared = keydeck(*START, "--organisation", organisation, "--json")
    assert (declared.exit_code, declared.json["scope"]["filter"]) == (0, f'org:"{organisation}"')
    assert keydeck("incident", "check", "1", "scope").exit_code == 0
    nobody = keydeck(*START, "--organisation", "[/red]\x1b[2J")
    assert (nobody.exit_code, "\x1b" in nobody.stderr) == (2, False)
    stranger = "arn:aws:iam::123456789012:user/stranger"
    nothing = keydeck(*START, "--opened-by", stranger, "--since", "2h", "--json")
    assert (nothing.exit_code, nothing.json["incident"]) == (1, None)
    assert nothing.json["opened_by"]["gaps"]
    assert keydeck(*START, "--opened-by", stranger, "--organisation", organisation).exit_code == 2
    assert len(keydeck("incident", "list", "--json").json["incidents"]) == 1
