"""From a token, a key, a principal to its use: over PostgreSQL, KMS and CloudTrail's LookupEvents."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import cast
from uuid import uuid4

import pytest
from sqlalchemy import Engine, text

from console.container import Container
from console.sandbox import access_keys
from console.sandbox.endpoint import PastCall
from console.sandbox.sandbox import Sandbox
from console.sandbox.traffic import INTRUDER_ADDRESS
from console.sandbox.world import World
from crypto_core.envelope import Format
from crypto_core.envelope.encryption_context import encryption_context
from crypto_core.keyring.cipher import TokenCipher
from crypto_core.lists.paging import Query
from crypto_core.trail.event import TrailEvent
from crypto_core.trail.record_reader import read_record
from crypto_core.trail.sources.files.record_shapes import records_of
from crypto_core.trail.use.radius import tokens_of
from crypto_core.trail.use.service import EventUse
from crypto_core.trail.use.token_timeline import UNNAMED
from crypto_core.values.errors import InvalidReferenceError, KeyNotFoundError
from crypto_core.values.references import TokenRef
from crypto_core.values.secret import Secret
from tests.platform_rows import connect_slack, put


def looked_up(sandbox: Sandbox) -> Iterator[TrailEvent]:
    """Every event that LookupEvents has."""
    sandbox.control.set_lookup_throttle(None)
    pages = sandbox.client("cloudtrail").get_paginator("lookup_events").paginate()
    for page in pages:
        for record in records_of(json.loads(json.dumps(page, default=str))):
            found = read_record(record)
            if found is not None:
                yield found


@pytest.fixture
def pull(sandbox: Sandbox, services: Container) -> Callable[[], None]:
    """Fetch all events into the store."""

    def fetch() -> None:
        services.trail.events.add(list(looked_up(sandbox)))

    return fetch


@pytest.fixture
def use(services: Container) -> EventUse:
    return cast("EventUse", services.services.event_use)


@pytest.fixture
def write_v2(services: Container, platform: Engine, world: World) -> Callable[[TokenRef], str]:
    """Seal a token as v2, as the platform does that reads through crypto_core."""
    cipher = TokenCipher(services.keyring, write_format=Format.V2)

    def write(ref: TokenRef) -> str:
        sealed = cipher.encrypt(Secret.of(world.token_for(ref)), ref=ref).stored
        put(platform, ref, sealed)
        return sealed

    return write


def v1_tokens(world: World) -> list[TokenRef]:
    """Whole v1 tokens of GitHub connections under the current key's newest material."""
    refs = world.sealed_under(world.current_key, world.current_key.material_ids[-1])
    return sorted(r for r in refs if r.table == "gh_connection" and world.tokens[r].format is Format.V1)


def past(world: World, operation: str = "Decrypt", *, ago: float = 1, **more: object) -> PastCall:
    values: dict[str, object] = {
        "time": datetime.now(UTC) - timedelta(hours=ago),
        "access_key_id": access_keys.INTRUDER,
        "operation": operation,
        "key_id": world.current_key.arn,
        "source_ip": INTRUDER_ADDRESS,
    }
    return PastCall(**{**values, **more})  # type: ignore[arg-type]


def test_of_a_v2_token_each_opening_is_told_exactly(
    sandbox: Sandbox,
    services: Container,
    world: World,
    use: EventUse,
    pull: Callable[[], None],
    write_v2: Callable[[TokenRef], str],
) -> None:
    ref, other = v1_tokens(world)[:2]
    pull()
    before = use.token_timeline(ref).named
    sealed = write_v2(ref)
    write_v2(other)
    cipher = TokenCipher(services.keyring)
    for _ in range(3):
        cipher.decrypt(sealed, ref=ref)
    context, ip = encryption_context(ref), "198.51.100.99"
    sandbox.control.history(
        [
            past(world, encryption_context=context, source_ip=ip),
            past(world, encryption_context=context, source_ip=ip, error_code="InvalidCiphertextException"),
        ]
    )
    pull()
    timeline = use.token_timeline(ref)
    named = timeline.named
    assert timeline.stored is not None
    assert timeline.stored.format is Format.V2
    assert (named.opened - before.opened, named.sealed - before.sealed) == (4, 1)
    assert named.failed - before.failed == 1
    intruder = [row for row in named.rows.rows if row.texts[2] == ip]
    assert [(row.texts[0], row.done, row.failed) for row in intruder] in (
        [("Decrypt", 1, 0), ("Decrypt", 0, 1)],
        [("Decrypt", 0, 1), ("Decrypt", 1, 0)],
    )
    assert {row.texts[1].rsplit("/", 1)[-1] for row in intruder} == {"intruder"}
    listed = services.trail.events.page(Query(timeline.named.filter), limit=500).rows
    assert {s.event.token_ref for s in listed} == {ref}
    assert timeline.named.events == len(listed)
    assert not timeline.could


def test_the_tokens_that_a_principal_opened_since_a_moment_are_named(
    sandbox: Sandbox,
    world: World,
    use: EventUse,
    pull: Callable[[], None],
    write_v2: Callable[[TokenRef], str],
) -> None:
    early, late, never = v1_tokens(world)[:3]
    for ref in (early, late, never):
        write_v2(ref)
    newest = world.current_key.material_ids[-1]
    who = "arn:aws:iam::123456789012:user/intruder"
    sandbox.control.history(
        [
            past(world, encryption_context=encryption_context(early), ago=30),
            past(world, encryption_context=encryption_context(late)),
            past(world, encryption_context=encryption_context(never), error_code="AccessDenied"),
            past(world),
        ]
    )
    pull()
    since = datetime.now(UTC) - timedelta(hours=2)
    found = use.tokens_opened(who, since=since)
    assert late in found.named
    assert not {early, never} & {*found.named}
    of_material = {
        ref
        for ref in world.sealed_under(world.current_key, newest)
        if world.tokens[ref].format is Format.V1 and ref not in (early, late, never)
    }
    assert of_material <= {*found.possible}
    assert not {*found.possible} & {*world.sealed_under(world.old_key)}
    assert found.references == tuple(sorted({*found.named, *found.possible}))
    assert early in use.tokens_opened(who).named
    later = use.tokens_opened(who, since=datetime.now(UTC))
    assert (later.references, later.lines[0][:15]) == ((), "0 tokens opened")
    nobody = use.tokens_opened("[/red]\x1b[2Jnobody")
    assert nobody.references == ()
    assert any("No event in the store" in gap for gap in nobody.gaps)
    assert "\x1b" not in "".join((*nobody.lines, nobody.summary))


def test_of_a_v1_token_it_is_only_told_what_could_have_opened_it(
    world: World, services: Container, use: EventUse, pull: Callable[[], None]
) -> None:
    pull()
    ref = v1_tokens(world)[-1]
    timeline = use.token_timeline(ref)
    assert timeline.named.events == 0
    assert UNNAMED in timeline.statements
    (could,) = timeline.could
    assert could.key_arn == world.current_key.arn
    assert could.key_material_id == world.tokens[ref].key_material_id
    assert could.since == services.services.inventory.row(ref).created_at
    expected = [
        e
        for e in (s.event for s in _all(services))
        if e.name in ("Decrypt", "ReEncrypt")
        and not e.failed
        and e.token_ref is None
        and e.key_arns[:1] == (could.key_arn,)
        and e.material_ids[:1] == (could.key_material_id,)
        and could.since is not None
        and e.time >= could.since
    ]
    assert expected
    assert could.calls == sum(row.events for row in could.by) == len(expected)
    assert {row.texts[0] for row in could.by} == {e.principal.arn for e in expected}
    assert could.first == min(e.time for e in expected)
    assert could.last == max(e.time for e in expected)


def test_a_token_that_went_from_v1_to_v2_has_both_told(
    sandbox: Sandbox,
    services: Container,
    world: World,
    use: EventUse,
    pull: Callable[[], None],
    superuser: Engine,
) -> None:
    ref = v1_tokens(world)[2]
    insert = text(
        "INSERT INTO keydeck.envelope_backup (run_id, verb, token_column, row_id, envelope, key_arn,"
        " key_material_id, replaced_at) SELECT gen_random_uuid(), 'reencrypt', :column, id::text,"
        f" {ref.column}, :key, :material, now() FROM {ref.table} WHERE id = :id"
    )
    with superuser.begin() as connection:
        told = {"key": world.current_key.arn, "material": world.tokens[ref].key_material_id}
        column = f"{ref.table}.{ref.column}"
        connection.execute(insert, {"column": column, "id": ref.row_id, **told})
    cipher = TokenCipher(services.keyring, write_format=Format.V2)
    put(superuser, ref, cipher.encrypt(Secret.of(world.token_for(ref)), ref=ref).stored)
    pull()
    timeline = use.token_timeline(ref)
    assert timeline.named.sealed >= 1
    assert [u.replaced_at is not None for u in timeline.could] == [True]
    assert timeline.could[0].calls > 0
    assert any("Until" in s and "can't name" in s for s in timeline.statements)


@pytest.fixture
def unsealed(world: World, superuser: Engine) -> Iterator[tuple[TokenRef, ...]]:
    """Two tokens that nobody has ever sealed: one in plaintext, one in the dev format."""
    dev = world.dev_refs[0]
    with superuser.begin() as connection:
        stored = connection.execute(
            text(f"SELECT {dev.column} FROM {dev.table} WHERE id = :id"), {"id": dev.row_id}
        ).scalar_one()
    made = connect_slack(superuser, "xoxb-of-a-test", stored)
    yield made
    with superuser.begin() as connection:
        ids = [int(ref.row_id) for ref in made]
        connection.execute(text("DELETE FROM slack_connection WHERE id = ANY(:ids)"), {"ids": ids})


def test_of_plaintext_and_dev_it_is_said_that_cloudtrail_says_nothing(
    unsealed: tuple[TokenRef, ...], use: EventUse, pull: Callable[[], None]
) -> None:
    pull()
    for ref in unsealed:
        timeline = use.token_timeline(ref)
        assert not timeline.could
        assert not timeline.named.events
        assert "CloudTrail says nothing" in timeline.statements[0]


def test_a_row_that_is_gone_is_a_gap_and_its_events_are_still_told(
    sandbox: Sandbox, world: World, use: EventUse, pull: Callable[[], None]
) -> None:
    ref = TokenRef("gh_connection", "access_token", f"gone-{uuid4().hex}")
    sandbox.control.history([past(world, encryption_context=encryption_context(ref))])
    pull()
    timeline = use.token_timeline(ref)
    assert timeline.stored is None
    assert timeline.named.opened == 1
    assert any("no such row" in reason for reason in timeline.coverage.reasons)


def test_a_table_that_there_is_not_is_refused(use: EventUse) -> None:
    with pytest.raises(InvalidReferenceError):
        use.token_timeline(TokenRef("nowhere", "token", "1"))


def test_rows_that_differ_in_case_alone_are_not_mixed_up(
    services: Container, world: World, use: EventUse
) -> None:
    from tests.crypto_core.trail.records import context, event

    services.trail.events.add([event(context=context("gh-x")), event(context=context("GH-X"))])
    timeline = use.token_timeline(TokenRef("gh_connection", "access_token", "gh-x"))
    assert timeline.named.events == 1
    assert timeline.named.days == ()  # the days of both can't be told apart


def test_an_empty_store_says_so_and_claims_nothing(world: World, use: EventUse) -> None:
    timeline = use.token_timeline(v1_tokens(world)[0])
    assert not timeline.coverage.complete
    assert "no events" in timeline.coverage.reasons[0]


@pytest.mark.deep
def test_the_blast_radius_tells_what_was_opened_from_what_could_have_been(
    sandbox: Sandbox, services: Container, world: World, use: EventUse, pull: Callable[[], None]
) -> None:
    opened, tried = v1_tokens(world)[3:5]
    sandbox.control.history(
        [
            past(world, encryption_context=encryption_context(opened)),
            past(world, encryption_context=encryption_context(opened), ago=2),
            past(
                world,
                encryption_context=encryption_context(tried),
                error_code="InvalidCiphertextException",
            ),
        ]
    )
    pull()
    radius = use.blast_radius("intruder")
    assert [arn.rsplit("/", 1)[-1] for arn in radius.who.arns] == ["intruder"]
    by_token = {row.texts[0]: row.events for row in radius.opened.rows}
    assert by_token[str(opened)] == 2
    assert str(tried) not in by_token
    assert str(tried) in {row.texts[0] for row in radius.tried.rows}
    own = [s.event for s in _all(services) if s.event.principal.arn in radius.who.arns]
    blind = [e for e in own if e.name == "Decrypt" and not e.failed and e.token_ref is None]
    assert radius.calls == len(blind) > 0
    used = {e.material_ids[0] for e in blind}
    assert {one.key_material_id for one in radius.could} == used
    expected = sum(
        1
        for token in world.tokens.values()
        if token.format is Format.V1 and token.key_material_id in used and token.corruption is None
    )
    assert radius.tokens_reachable is not None
    assert radius.tokens_reachable >= expected > 0
    for one in radius.could:
        assert services.services.inventory.count(Query(one.filter)) == one.tokens
    assert radius.events == len(own)
    assert radius.denied == sum(e.denied for e in own)
    assert INTRUDER_ADDRESS in {row.texts[0] for row in radius.addresses.rows}
    assert [row.texts[0] for row in radius.access_keys.rows] == [access_keys.INTRUDER]
    assert radius.opened_at_most == min(len(blind), radius.tokens_reachable)
    assert any("Not counted" in said for said in radius.assumptions())


@pytest.mark.deep
def test_a_key_that_was_only_the_destination_of_a_reencrypt_is_not_in_reach(
    sandbox: Sandbox, services: Container, world: World, use: EventUse, pull: Callable[[], None]
) -> None:
    name = f"mover-{uuid4().hex[:8]}"
    access_key = f"ASIA{uuid4().hex[:16].upper()}"
    sandbox.control.add_principal(access_key, name, "role", "s")
    sandbox.control.history(
        [
            past(
                world,
                "ReEncrypt",
                access_key_id=access_key,
                key_id=world.old_key.arn,
                destination_key_id=world.current_key.arn,
            )
        ]
    )
    pull()
    radius = use.blast_radius(f"role/{name}")
    assert {one.key_arn for one in radius.could} == {world.old_key.arn}
    session = use.blast_radius(f"arn:aws:sts::123456789012:assumed-role/{name}/other")
    assert session.events == 0


def test_nobody_by_that_name_is_a_gap_not_an_all_clear(use: EventUse, pull: Callable[[], None]) -> None:
    pull()
    radius = use.blast_radius("user/nobody-at-all")
    assert radius.events == tokens_of(radius.opened) == len(radius.could) == 0
    assert any("No event in the store is by" in reason for reason in radius.coverage.reasons)


def test_without_the_database_the_events_are_told_and_the_rest_is_a_gap(
    services: Container, use: EventUse, pull: Callable[[], None], superuser: Engine
) -> None:
    pull()
    with superuser.begin() as connection:
        connection.execute(text("ALTER TABLE gh_connection RENAME TO elsewhere"))
        for table in ("jira_connection", "slack_connection", "confluence_connection"):
            connection.execute(text(f"REVOKE ALL ON {table} FROM PUBLIC, operator"))
    radius = use.blast_radius("intruder")
    assert radius.events > 0
    assert not radius.coverage.complete


def test_the_use_of_a_key_adds_up_by_everything(
    services: Container, world: World, use: EventUse, pull: Callable[[], None]
) -> None:
    pull()
    for name in (world.current_key.arn, world.current_key.key_id, world.current_key.alias):
        found = use.key_use(name)
        # An id alone has no Region: other tests may have asked for it elsewhere.
        own = world.current_key.key_id if name == world.current_key.key_id else world.current_key.arn
        about = [s.event for s in _all(services) if any(arn.endswith(own) for arn in s.event.key_arns)]
        assert found.events == len(about) > 0
        assert found.failed == sum(e.failed for e in about)
        assert found.by_service == sum(e.by_service for e in about) > 0
        for tallies in (found.operations, found.principals, found.replicas):
            assert tallies.events == found.events
        assert sum(day.events for day in found.days) == found.events
        assert (found.first, found.last) == (min(e.time for e in about), max(e.time for e in about))
        assert set(found.keys.arns) == {a for e in about for a in e.key_arns if a.endswith(own)}
        assert world.current_key.alias in found.keys.aliases


def test_an_alias_that_nobody_knows_is_refused(use: EventUse) -> None:
    with pytest.raises(KeyNotFoundError):
        use.key_use("alias/unheard-of")


def _all(services: Container) -> list[object]:
    rows: list[object] = []
    cursor = None
    while True:
        page = services.trail.events.page(Query(""), cursor, limit=1_000)
        rows += page.rows
        cursor = page.last
        if not page.below:
            return rows
