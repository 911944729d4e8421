"""A v1 token's timeline and a principal's blast radius with receipts: three classes that are never mixed."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator
from typing import cast

import pytest
from sqlalchemy import Engine, text

from console.container import Container
from console.sandbox.sandbox import Sandbox
from console.sandbox.world import World
from crypto_core.aws.receipts.receipt import Receipt
from crypto_core.database.tokens.value_hashes import ValueHashes
from crypto_core.envelope import Format
from crypto_core.lists.paging import Query
from crypto_core.trail.event import TrailEvent
from crypto_core.trail.store import EventStore
from crypto_core.trail.store.receipt_questions import OpenedSubject, OpenedSubjects
from crypto_core.trail.store.request_id_proof import RequestIdProof, note_proof
from crypto_core.trail.use.receipt_coverage import receipted_tokens
from crypto_core.trail.use.service import EventUse
from crypto_core.values.clean_text import clean
from crypto_core.values.key_names import same_key
from crypto_core.values.references import TokenRef
from tests.crypto_core.trail.records import NOW
from tests.crypto_core.trail.test_receipts import receipt
from tests.crypto_core.trail.use.test_use_in_the_sandbox import looked_up, past, v1_tokens


@pytest.fixture
def use(services: Container) -> EventUse:
    return cast("EventUse", services.services.event_use)


@pytest.fixture
def openings(sandbox: Sandbox, services: Container, world: World) -> list[TrailEvent]:
    """The calls that opened something under the newest material, and that no record names the token of."""
    sandbox.control.history([past(world, ago=0.5 + n / 100) for n in range(4)])
    services.trail.events.add(list(looked_up(sandbox)))
    newest = world.current_key.material_ids[-1]
    rows = services.trail.events.page(Query("name:Decrypt -failed -token:*"), limit=500).rows
    found = [row.event for row in rows if same_key(row.event.key_arns[0], world.current_key.arn)]
    found = [one for one in found if one.material_ids == (newest,)]
    assert len(found) > 8
    assert len({one.request_id for one in found}) == len(found)
    return sorted(found, key=lambda one: one.time, reverse=True)


def stored(engine: Engine, ref: TokenRef) -> str:
    with engine.connect() as connection:
        asked = text(f"SELECT {ref.column} FROM {ref.table} WHERE id = :id")
        return str(connection.execute(asked, {"id": ref.row_id}).scalar_one())


def sha256(value: str) -> str:
    return hashlib.sha256(value.encode()).hexdigest()


@pytest.fixture
def replaced(superuser: Engine, world: World) -> Iterator[Callable[[TokenRef, str], None]]:
    """Keep an envelope as one that Keydeck replaced."""
    insert = text(
        "INSERT INTO keydeck.envelope_backup (run_id, verb, token_column, row_id, envelope, key_arn,"
        " key_material_id, replaced_at) VALUES (gen_random_uuid(), 'reencrypt', :column, :id, :envelope,"
        " :key, :material, now())"
    )

    def keep(ref: TokenRef, envelope: str) -> None:
        told = {"key": world.current_key.arn, "material": world.current_key.material_ids[-1]}
        with superuser.begin() as connection:
            column = f"{ref.table}.{ref.column}"
            connection.execute(insert, {"column": column, "id": ref.identity, "envelope": envelope, **told})

    yield keep
    with superuser.begin() as connection:
        connection.execute(text("DELETE FROM keydeck.envelope_backup WHERE envelope LIKE 'older %'"))


def by_hash(of: TrailEvent, value: str) -> Receipt:
    return receipt(of, None, stored=sha256(value))


def test_every_receipted_token_is_named_however_many_there_are() -> None:
    tokens = [OpenedSubject(clean(f"gh_connection.access_token:gh-{n}"), "", 1, NOW, NOW) for n in range(200)]

    class Store:
        def receipt_subjects(self, expression: str, *, limit: int, **_: object) -> OpenedSubjects:
            return OpenedSubjects(tuple(tokens[:limit]), max(len(tokens) - limit, 0))

    found = receipted_tokens(cast("EventStore", Store()), None, "")
    assert (len(found.tokens), found.further) == (200, 0)


def test_receipts_make_a_v1_token_attributable_and_say_where_they_do_not(
    services: Container,
    world: World,
    platform: Engine,
    use: EventUse,
    openings: list[TrailEvent],
    replaced: Callable[[TokenRef, str], None],
) -> None:
    mine, other, old = v1_tokens(world)[:3]
    before = use.token_timeline(mine)
    assert before.receipted is None
    (possible,) = before.could
    # By one caller, who wrote no receipt for a call in their midst.
    ((caller, _),) = Counter(one.principal.arn for one in openings).most_common(1)
    a, b, _without, c, d, e, f, g, *left = (one for one in openings if one.principal.arn == caller)
    replaced(mine, "older one")
    services.trail.events.add_receipts(
        [
            receipt(a, str(mine)),
            by_hash(b, stored(platform, mine)),
            by_hash(c, "older one"),
            by_hash(d, stored(platform, other)),
            receipt(e, str(old)),
            by_hash(f, "nobody has this"),
            receipt(g, None),
        ]
    )
    timeline = use.token_timeline(mine)
    assert timeline.named.events == before.named.events == 0
    assert timeline.receipted is not None
    assert (timeline.receipted.use.opened, timeline.receipted.of_older) == (3, 1)
    listed = services.trail.events.page(Query(timeline.receipted.use.filter)).rows
    assert {row.event.event_id for row in listed} == {one.event_id for one in (a, b, c)}
    now = next(one for one in timeline.could if one.replaced_at is None)
    assert now.calls == possible.calls - 6
    assert (now.explained, now.unplaced) == (6, 1)
    assert not {one.event_id for one in (a, b, c, d, e, f)} & {
        row.event.event_id for row in services.trail.events.page(Query(now.filter), limit=500).rows
    }
    told = " ".join(timeline.statements)
    assert "as far as the caller wrote the truth" in told
    assert "1 call of these opened an older value" in told
    assert "found in no row: an earlier value of this token may be among them" in told
    assert "Receipts don't cover" in told
    assert "receipts cover nothing" in told
    assert "not confirmed in your account" in told
    note_proof(services.trail.events.file, "123456789012", RequestIdProof(NOW, ("a", "b"), NOW))
    assert "confirmed in account 123456789012 on 2026-11-25" in " ".join(use.token_timeline(mine).statements)
    share = use.key_use(world.current_key.arn)
    assert share.explained == 7
    assert share.opened > 7
    document = timeline.as_json()
    assert document["by_receipt"]["opened"] == 3
    assert [one["explained_by_receipts"] for one in document["could_have_opened"]][:1] == [6]
    assert left


@pytest.mark.deep
def test_a_principals_blast_radius_tells_facts_by_receipt_apart(
    services: Container, world: World, platform: Engine, use: EventUse, openings: list[TrailEvent]
) -> None:
    mine, other = v1_tokens(world)[:2]
    theirs = [one for one in openings if one.principal.arn.endswith("user/intruder")]
    before = use.blast_radius("intruder")
    services.trail.events.add_receipts(
        [
            by_hash(theirs[0], stored(platform, mine)),
            receipt(theirs[1], str(other)),
            by_hash(theirs[2], "gone"),
            receipt(theirs[3], "no reference [/red]\x1b[2J"),
        ]
    )
    radius = use.blast_radius("intruder")
    assert radius.receipted.references == {mine, other}
    assert (radius.receipted.gone, radius.receipted.gone_calls, radius.receipted.nameless) == (1, 1, 1)
    assert radius.calls == before.calls - 4
    assert radius.opened == before.opened
    told = " ".join(radius.assumptions())
    assert "1 value that receipts are about" in told
    assert "\x1b" not in told
    found = use.tokens_opened("intruder")
    assert set(found.receipted) == {mine, other}
    assert not {mine, other} & {*found.possible}
    assert "2 by receipts" in found.summary
    document = radius.as_json()["opened_by_receipt"]
    assert (document["tokens"], document["values_no_longer_stored"]) == (2, 1)


def test_values_are_found_by_their_hash_in_every_column_and_member(
    services: Container, world: World, replaced: Callable[[TokenRef, str], None]
) -> None:
    hashes = ValueHashes(services.engine, services.catalogue)
    refs = [next(r for r in sorted(world.tokens) if r.column == column) for column in ("access_token",)]
    refs += [r for r in sorted(world.tokens) if r.member is not None][:2]
    refs += [r for r in sorted(world.tokens) if world.tokens[r].format is Format.V1][:3]
    known = {ref: hashes.of_token(ref)[0].sha256 for ref in refs}
    replaced(refs[0], "older value")
    older = sha256("older value")
    assert [one.sha256 for one in hashes.of_token(refs[0])] == [known[refs[0]], older]
    found = hashes.places_of([*known.values(), older, sha256("none")])
    for ref, digest in known.items():
        assert ref in {place.ref for place in found[digest] if place.replaced_at is None}
    assert [(place.ref, place.replaced_at is not None) for place in found[older]] == [(refs[0], True)]
    assert sha256("none") not in found
