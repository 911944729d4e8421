"""Each documented role does all that it may, and what of Keydeck shows it is what SECURITY.md says.

What a role may do is asked of the catalogue and tried, so that a table that is added is tried, too. Every
column by itself is for the deep lane; the other one changes all of a row at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass

import pytest
from sqlalchemy import Engine

from console.container import Container
from console.sandbox.world import World
from crypto_core.database.schema import metadata
from crypto_core.guard.operations import KeydeckRole
from tests.adversary.attempts import Deed, deeds_of
from tests.adversary.detectors import shown
from tests.adversary.documented import Row, documented
from tests.adversary.ground import Ground, role_of, tried, work

NOBODY, PLATFORM, OWNER = "a login without grants", "the platform", "the owner of schema keydeck"


@dataclass
class Played:
    """The roles, and what each may do."""

    ground: Ground
    services: Container
    engines: Mapping[str, Engine]
    may: Mapping[str, Mapping[Deed, frozenset[str]]]

    def may_of(self, deed: Deed) -> frozenset[str]:
        """The roles that may do a deed."""
        return frozenset(role for role, deeds in self.may.items() if deed in deeds)

    def seen(self, deed: Deed, *, each: bool) -> tuple[frozenset[str], frozenset[str]] | None:
        """Do a deed as the least role that may: what shows it, and the columns whose change nothing shows.

        None where it is none of what is done with rows, or no constraint lets it be done.
        """
        role = next(role for role in self.engines if deed in self.may[role])
        by: set[str] = set()
        unseen: set[str] = set()
        done = False
        for statement, column in self.ground.statements(deed, self.may[role][deed], each=each):
            with self.engines[role].begin() as connection:
                if not tried(connection, statement):
                    continue
            done = True
            now = shown(self.services)
            new = {name for name, said in now.items() if said - self.before[name]}
            by |= new
            unseen |= set() if new else {column}
            self.ground.put_back(deed.place)
        return (frozenset(by), frozenset(unseen) if by else frozenset()) if done else None

    def __post_init__(self) -> None:
        self.before = shown(self.services)


@pytest.fixture
def played(services: Container, world: World, superuser: Engine, platform: Engine) -> Iterator[Played]:
    work(services, world, superuser)
    ground = Ground(superuser)
    with ExitStack() as stack:
        engines = {NOBODY: stack.enter_context(role_of(None, services, superuser))}
        engines |= {r.value: stack.enter_context(role_of(r, services, superuser)) for r in KeydeckRole}
        engines |= {PLATFORM: platform, OWNER: services.engine}
        may = {role: dict(deeds_of(engine, ground.tables)) for role, engine in engines.items()}
        # Privileges on the platform's tables are none that the schema's owner needs.
        may[OWNER] = {
            d: c for d, c in may[OWNER].items() if "keydeck" in d.place or d.place == "the database"
        }
        yield Played(ground, services, engines, may)


@pytest.mark.deep
def test_what_each_role_may_do_is_what_is_documented(played: Played) -> None:
    assert played.ground.empty() == [], "there is nothing to change"
    assert {str(table) for table in metadata.tables.values()} < played.ground.tables.keys()
    computed = {deed: played.may_of(deed) - {OWNER} for deeds in played.may.values() for deed in deeds}
    told = documented()
    owner = told.pop(("everything", "schema keydeck"))
    assert owner.who == {OWNER}
    assert {Deed(*named): row.who for named, row in told.items()} == {d: w for d, w in computed.items() if w}
    assert all(row.limit for row in told.values() if row.unseen or not row.shown_by)
    for place in (str(table) for table in metadata.tables.values()):
        # Whoever may do these can take away what refuses the rest.
        for action in ("TRIGGER", "ALTER", "DROP"):
            assert Deed(action, place) in played.may[OWNER], f"{action} {place}"


@pytest.mark.deep
def test_what_shows_a_deed_is_what_is_documented(played: Played) -> None:
    """Of Keydeck's own tables, and of the platform's as far as others than the platform may change them."""
    told = {d: row for d, row in rows().items() if row.who != {PLATFORM}}
    assert differing(told, {deed: played.seen(deed, each=False) for deed in told}) == {}


@pytest.mark.deep
def test_what_shows_the_change_of_each_column_and_the_platforms_deeds_is_what_is_documented(
    played: Played,
) -> None:
    told = rows()
    seen = {deed: played.seen(deed, each=True) for deed in told}
    assert differing(told, seen) == {}
    unseen = {deed: found[1] for deed, found in seen.items() if found}
    assert {d: sorted(u) for d, u in unseen.items() if u != told[d].unseen} == {}


def rows() -> dict[Deed, Row]:
    """What is documented of other roles than the owner."""
    return {Deed(*named): row for named, row in documented().items() if row.who != {OWNER}}


def differing(
    told: Mapping[Deed, Row], seen: Mapping[Deed, tuple[frozenset[str], frozenset[str]] | None]
) -> dict[Deed, frozenset[str]]:
    """Return what shows those deeds that are documented otherwise."""
    return {deed: found[0] for deed, found in seen.items() if found and found[0] != told[deed].shown_by}
