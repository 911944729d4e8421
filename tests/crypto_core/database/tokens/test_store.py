"""Reading and writing stored tokens: compare and swap, backed up or not at all, nothing half done."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Connection, Engine, text

from console.container import Container
from console.sandbox.provider_tokens import MARKER
from console.sandbox.world import World
from crypto_core import decrypt_token, encrypt_token
from crypto_core.database.tokens.attribution_cache import AttributionCache, KnownAttribution
from crypto_core.database.tokens.store import Replacement, StoredToken, TokenScope, TokenStore, digest
from crypto_core.database.tokens.tables import PLATFORM_TABLES
from crypto_core.envelope import Format, parse
from crypto_core.guard.consent import Consent
from crypto_core.keyring.data_keys import KeyAnswer
from crypto_core.values import errors
from crypto_core.values.references import TokenRef
from tests.crypto_core.statements import execute, sent_by
from tests.platform_rows import put

RUN = UUID(int=7)
Sent = list[tuple[str, Any]]


@pytest.fixture
def store(services: Container) -> TokenStore:
    return services.store


def everything(platform: Engine) -> dict[TokenRef, str | None]:
    """Every value in a token column, NULLs included."""
    found: dict[TokenRef, str | None] = {}
    with platform.connect() as connection:
        for table in PLATFORM_TABLES:
            for column in table.token_columns:
                rows = connection.execute(text(f"SELECT id::text, {column} FROM {table.name}"))
                found |= {TokenRef(table.name, column, row_id): stored for row_id, stored in rows}
    return found


def backups(superuser: Engine) -> list[dict[str, Any]]:
    with superuser.connect() as connection:
        rows = connection.execute(text("SELECT * FROM keydeck.envelope_backup ORDER BY id")).mappings()
        return [dict(row) for row in rows]


def renewed(token: StoredToken, plaintext: str = "gho_new", source: KeyAnswer | None = None) -> Replacement:
    return Replacement(token, encrypt_token(plaintext), source)


def of_format(world: World, format_: Format) -> list[TokenRef]:
    return [ref for ref, token in world.tokens.items() if token.format is format_]


def test_a_read_token_is_hidden_and_knows_its_format(store: TokenStore, world: World) -> None:
    for ref, token in world.tokens.items():
        found = store.read_token(ref)
        assert (found.ref, found.format) == (ref, token.format)
        assert found.digest == digest(found.value.reveal())
        assert MARKER not in repr(found)
        assert found.digest.hex() not in repr(found)
        break
    plain = store.read_token(world.plaintext_refs[0])
    assert plain.value.reveal() == world.token_for(plain.ref)
    assert MARKER not in f"{plain!r} {plain!s} {plain.value} {renewed(plain)!r}"


def test_many_are_read_at_once_and_what_is_not_there_is_left_out(store: TokenStore, world: World) -> None:
    refs = [*list(world.tokens)[::9], TokenRef("gh_connection", "access_token", "gh-none")]
    found = store.read_many([*refs, *refs])
    assert sorted(t.ref for t in found) == sorted(set(refs) - {refs[-1]})
    assert store.read_many([]) == []


def test_a_null_is_no_token(store: TokenStore, platform: Engine, world: World) -> None:
    ref = next(r for r in world.tokens if r.column == "refresh_token")
    put(platform, ref, None)
    assert store.read_many([ref]) == []
    with pytest.raises(errors.RowVanishedError):
        store.read_token(ref)


def test_pages_give_every_token_once_in_order(store: TokenStore, world: World) -> None:
    for size in (1, 7, 500):
        scope = TokenScope() if size > 1 else TokenScope(frozenset({Format.DEV, Format.EMPTY}))
        pages = list(store.pages(scope, size=size))
        assert all(1 <= len(page) <= size for page in pages)
        refs = [token.ref for page in pages for token in page]
        assert len(set(refs)) == len(refs)
        assert set(refs) == {r for r, t in world.tokens.items() if t.format in scope.formats}
        assert sum(store.count(scope).values()) == len(refs)


def test_a_page_sees_what_changed_since_the_last_one(
    store: TokenStore, platform: Engine, world: World
) -> None:
    pages = store.pages(
        TokenScope(references=tuple(TokenRef("slack_connection", "bot_token", str(i)) for i in range(1, 6))),
        size=2,
    )
    first = next(pages)
    assert [t.ref.row_id for t in first] == ["1", "2"]
    put(platform, TokenRef("slack_connection", "bot_token", "3"), "xoxb-new")
    execute(platform, "DELETE FROM slack_connection WHERE id IN (2, 4)")
    rest = [t for page in pages for t in page]
    assert [(t.ref.row_id, t.value.reveal() == "xoxb-new") for t in rest] == [("3", True), ("5", False)]


@pytest.mark.deep
def test_the_scopes_count_what_their_pages_give(services: Container, store: TokenStore, world: World) -> None:
    services.services.status.take_census()
    old = world.sealed_under(world.old_key)
    prefix = parse(store.read_token(old[0]).value.reveal()).edk_prefix
    told_otherwise = "arn:aws:kms:eu-west-1:123456789012:key/00000000-0000-0000-0000-000000000000"
    other = store.read_token(old[-1])
    AttributionCache(services.engine).remember([KnownAttribution(other.digest, prefix, told_otherwise, "m")])
    v1 = frozenset({Format.V1})
    scopes = {
        "all": TokenScope(),
        "plaintext": TokenScope(frozenset({Format.PLAINTEXT})),
        "references": TokenScope(v1, references=(*old[:3], *world.plaintext_refs[:2])),
        "no reference": TokenScope(references=()),
        "group": TokenScope(v1, edk_prefixes=(prefix,)),
        "no group": TokenScope(v1, edk_prefixes=()),
        "without header": TokenScope(v1, edk_prefixes=(None,)),
        "unasked": TokenScope(v1, edk_prefixes=(prefix,), unasked=True),
        "key": TokenScope(v1, key_arns=frozenset({world.old_key.arn}), edk_prefixes=(prefix,)),
        "key told otherwise": TokenScope(v1, key_arns=frozenset({told_otherwise}), edk_prefixes=()),
    }
    counts = {}
    for name, scope in scopes.items():
        counts[name] = sum(store.count(scope).values())
        assert counts[name] == sum(len(page) for page in store.pages(scope, size=6)), name
    grouped = world.by_key[world.old_key.arn, world.old_key.material_ids[0]]
    assert counts["all"] == len(world.tokens)
    assert counts["plaintext"] == len(world.plaintext_refs)
    assert (counts["references"], counts["no reference"]) == (3, 0)
    assert (counts["group"], counts["no group"], counts["without header"]) == (grouped, 0, 0)
    told = sum(share.asked for share in services.services.status.take_census().keys)
    assert 0 < grouped - counts["unasked"] <= told
    damaged = sum(share.tokens for share in services.services.status.take_census().keys if not share.key_arn)
    assert grouped - 1 - damaged <= counts["key"] <= grouped - 1
    assert counts["key told otherwise"] == 1


def test_a_write_swaps_the_value_and_keeps_the_old_envelope(
    store: TokenStore, platform: Engine, superuser: Engine, world: World
) -> None:
    refs = [*world.sealed_under(world.old_key)[:2], *world.sealed_under(world.current_key)[-2:]]
    before = everything(platform)
    source = KeyAnswer(world.old_key.arn, world.old_key.material_ids[0])
    olds = store.read_many(refs)
    new = [renewed(token, f"gho_{n}", source) for n, token in enumerate(olds)]
    assert store.write_tokens(RUN, "reencrypt", new) == set(refs)
    after = everything(platform)
    assert {ref for ref in after if after[ref] != before[ref]} == set(refs)
    assert [decrypt_token(str(after[r.old.ref])) for r in new] == [f"gho_{n}" for n in range(4)]
    kept = {(b["token_column"], b["row_id"]): b for b in backups(superuser)}
    assert len(kept) == 4
    for ref in refs:
        backup = kept[f"{ref.table}.{ref.column}", ref.row_id]
        assert backup["envelope"] == before[ref]
        assert (backup["run_id"], backup["verb"]) == (RUN, "reencrypt")
        assert (backup["key_arn"], backup["key_material_id"]) == (source.key_arn, source.key_material_id)
        assert backup["replaced_at"].tzinfo is not None


@pytest.mark.parametrize("format_", [Format.PLAINTEXT, Format.DEV])
def test_what_anyone_could_read_is_not_backed_up(
    store: TokenStore, platform: Engine, superuser: Engine, world: World, format_: Format
) -> None:
    refs = of_format(world, format_)
    tokens = store.read_many(refs)
    assert store.write_tokens(RUN, "encrypt", [renewed(token) for token in tokens]) == set(refs)
    assert backups(superuser) == []
    dump = " ".join(str(v) for v in everything(platform).values())
    assert not any(token.value.reveal() in dump for token in tokens)


def test_a_changed_row_is_left_alone_and_missing_from_the_answer(
    store: TokenStore, platform: Engine, superuser: Engine, world: World
) -> None:
    access = [r for r in world.sealed_under(world.current_key) if r.column == "access_token"]
    nulled = next(r for r in world.sealed_under(world.current_key) if r.column == "refresh_token")
    changed, vanished, good = [r for r in access if r.row_id != nulled.row_id][:3]
    tokens = {t.ref: t for t in store.read_many([changed, vanished, nulled, good])}
    newer = encrypt_token("written by the platform")
    put(platform, changed, newer)
    put(platform, nulled, None)
    execute(platform, f"DELETE FROM {vanished.table} WHERE id::text = :id", id=vanished.row_id)
    written = store.write_tokens(RUN, "reencrypt", [renewed(t) for t in tokens.values()])
    assert written == {good}
    after = everything(platform)
    assert (after[changed], after[nulled]) == (newer, None)
    assert vanished not in after
    assert [b["row_id"] for b in backups(superuser)] == [good.row_id]


def test_a_value_that_differs_in_one_character_is_another_value(
    store: TokenStore, platform: Engine, world: World
) -> None:
    ref = world.plaintext_refs[0]
    token = store.read_token(ref)
    put(platform, ref, token.value.reveal() + " ")
    assert store.write_tokens(RUN, "encrypt", [renewed(token)]) == frozenset()
    assert everything(platform)[ref] == token.value.reveal() + " "


def test_the_same_id_in_two_columns_is_two_tokens(store: TokenStore, platform: Engine, world: World) -> None:
    refresh = next(r for r in world.tokens if (r.table, r.column) == ("gh_connection", "refresh_token"))
    access = replace(refresh, column="access_token")
    before = everything(platform)
    assert store.write_tokens(RUN, "reencrypt", [renewed(store.read_token(access))]) == {access}
    after = everything(platform)
    assert after[refresh] == before[refresh]
    assert after[access] != before[access]


def test_a_failure_within_the_transaction_undoes_everything(
    store: TokenStore, platform: Engine, superuser: Engine, world: World
) -> None:
    before = everything(platform)
    refs = list(world.sealed_under(world.current_key)[:5])
    told: list[frozenset[TokenRef]] = []

    def fail(connection: Connection, written: frozenset[TokenRef]) -> None:
        told.append(written)
        assert connection.scalar(text("SELECT count(*) FROM keydeck.envelope_backup")) == 5
        raise errors.MissingSchemaError("no journal")

    with pytest.raises(errors.MissingSchemaError):
        store.write_tokens(RUN, "reencrypt", [renewed(t) for t in store.read_many(refs)], within=fail)
    assert told == [frozenset(refs)]
    assert everything(platform) == before
    assert backups(superuser) == []


@pytest.mark.parametrize("broken", ["envelope_backup", "schema"])
def test_without_a_place_for_the_backup_nothing_is_written(
    store: TokenStore, platform: Engine, superuser: Engine, world: World, broken: str
) -> None:
    before = everything(platform)
    token = store.read_token(world.sealed_under(world.current_key)[0])
    dropped = "TABLE keydeck.envelope_backup" if broken == "envelope_backup" else "SCHEMA keydeck CASCADE"
    execute(superuser, f"DROP {dropped}")
    with pytest.raises(errors.MissingSchemaError):
        store.write_tokens(RUN, "reencrypt", [renewed(token)])
    assert everything(platform) == before


def test_a_constraint_of_the_platform_undoes_the_whole_batch(
    store: TokenStore, platform: Engine, superuser: Engine, world: World
) -> None:
    refs = [r for r in world.sealed_under(world.current_key) if r.table == "gh_connection"][:3]
    tokens = store.read_many(refs)
    longest = max(len(t.value.reveal()) for t in tokens)
    execute(
        platform,
        "ALTER TABLE gh_connection ADD CHECK"
        f" (length(access_token) < {longest + 100} OR id <> '{refs[0].row_id}')",
    )
    before = everything(platform)
    with pytest.raises(errors.DatabaseError):
        store.write_tokens(RUN, "reencrypt", [renewed(t, "x" * 5000) for t in tokens])
    assert everything(platform) == before
    assert backups(superuser) == []


def test_who_waits_for_a_row_holds_no_other_and_gives_up_in_the_end(
    store: TokenStore, platform: Engine, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A writer of another row of the same batch is never kept waiting for the one that is held."""
    sealed = [ref for ref in world.sealed_under(world.current_key) if ref.table == "gh_connection"]
    rows = sorted({ref.row_id for ref in sealed})[:20]
    tokens = store.read_many([ref for ref in sealed if ref.row_id in rows])
    monkeypatch.setattr("crypto_core.database.tokens.store.LOCK_TIMEOUT_SECONDS", 0.5)
    lock = text("SELECT 1 FROM gh_connection WHERE id = :id FOR UPDATE")
    with platform.connect() as holder, platform.connect() as other, ThreadPoolExecutor(1) as pool:
        holder.execute(lock, {"id": rows[-1]})
        writing = pool.submit(store.write_tokens, RUN, "reencrypt", [renewed(t) for t in tokens])
        other.execute(text("SET lock_timeout = '200ms'"))
        while not writing.done():
            for row_id in rows[:-1]:
                other.execute(lock, {"id": row_id})
                other.commit()
        with pytest.raises(errors.DatabaseTimeoutError, match="another transaction holds row gh-"):
            writing.result()
    assert store.read_many([t.ref for t in tokens]) == tokens
    assert store.write_tokens(RUN, "reencrypt", [renewed(t) for t in tokens]) == {t.ref for t in tokens}


def test_two_writers_of_one_token_never_both_win(
    store: TokenStore, platform: Engine, superuser: Engine, world: World
) -> None:
    refs = list(world.sealed_under(world.current_key)[:10])
    tokens = store.read_many(refs)

    def write(number: int) -> frozenset[TokenRef]:
        mine = tokens if number % 2 else tokens[::-1]
        return store.write_tokens(UUID(int=number), "reencrypt", [renewed(t, f"gho_{number}") for t in mine])

    with ThreadPoolExecutor(4) as pool:
        won = list(pool.map(write, range(4)))
    assert sum(map(len, won)) == len(refs)
    after = everything(platform)
    for number, written in enumerate(won):
        assert all(decrypt_token(str(after[ref])) == f"gho_{number}" for ref in written)
    assert len(backups(superuser)) == len(refs)


def test_writers_of_different_columns_of_the_same_rows_wait_for_each_other(
    store: TokenStore, world: World
) -> None:
    sealed = [ref for ref in world.sealed_under(world.current_key) if ref.table == "gh_connection"]
    rows = sorted(
        {ref.row_id for ref in sealed if ref.column == "refresh_token"}
        & {ref.row_id for ref in sealed if ref.column == "access_token"}
    )
    half = len(rows) // 2

    def write(turned: bool) -> int:
        first, second = ("refresh_token", "access_token") if turned else ("access_token", "refresh_token")
        refs = [TokenRef("gh_connection", first, row_id) for row_id in rows[:half]]
        refs += [TokenRef("gh_connection", second, row_id) for row_id in rows[half:]]
        tokens = store.read_many(refs)
        return len(store.write_tokens(UUID(int=turned), "reencrypt", [renewed(t) for t in tokens]))

    assert half > 1
    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(write, [False, True] * 10)) >= 2 * len(rows)


def test_a_read_only_session_refuses_the_write_itself(
    environment: dict[str, str], services: Container, world: World, platform: Engine
) -> None:
    from console.container import Container
    from console.settings import load

    before = everything(platform)
    container = Container(load({"read_only": True}).settings)
    token = container.store.read_token(world.sealed_under(world.current_key)[0])
    with pytest.raises(errors.DatabaseReadOnlyError):
        container.store.write_tokens(RUN, "reencrypt", [renewed(token)])
    container.close()
    assert everything(platform) == before


@pytest.fixture
def sent(services: Container) -> Iterator[Sent]:
    """Every statement that the services' engine sends, parameters included."""
    with sent_by(services.engine) as statements:
        yield statements


def test_a_plaintext_that_is_replaced_is_never_sent_to_the_server(
    services: Container, store: TokenStore, world: World, sent: Sent
) -> None:
    refs = [*world.plaintext_refs, *world.dev_refs]
    tokens = store.read_many(refs)
    assert len(store.write_tokens(RUN, "encrypt", [renewed(token) for token in tokens])) == len(refs)
    assert any("UPDATE" in statement for statement, _ in sent)
    assert not [s for s in sent for t in tokens if t.value.reveal() in repr(s)]
    assert not [s for s in sent if MARKER in repr(s)]


def test_a_run_never_sends_plaintext_to_the_server(services: Container, world: World, sent: Sent) -> None:
    from crypto_core.reencryption.plan import Selection, Verb

    for verb, selection in (
        (Verb.ENCRYPT, Selection(unprotected=True)),
        (Verb.REENCRYPT, Selection(everything=True)),
    ):
        plan = services.services.work.plan_reencryption(verb, selection, world.current_key.arn)
        assert services.services.work.run_plan(plan, Consent.by_option(plan)).done
    services.services.work.verify_tokens(Selection(everything=True))
    assert sum("UPDATE" in statement for statement, _ in sent) > 2
    assert not [s for s in sent if MARKER in repr(s)]


def test_an_error_of_the_database_repeats_nothing_of_the_row_it_met_with(
    store: TokenStore, platform: Engine, world: World
) -> None:
    """PostgreSQL's DETAIL of a failed check holds the whole row, the other token column's plaintext too."""
    ref = next(r for r in world.tokens if (r.table, r.column) == ("gh_connection", "refresh_token"))
    put(platform, replace(ref, column="access_token"), f"gho_{MARKER}")
    token = store.read_token(ref)
    execute(
        platform,
        "ALTER TABLE gh_connection ADD CONSTRAINT short CHECK"
        f" (length(refresh_token) < 2000 OR id <> '{ref.row_id}')",
    )
    with pytest.raises(errors.DatabaseError, match="short") as caught:
        store.write_tokens(uuid4(), "reencrypt", [renewed(token, "x" * 3000)])
    told = everything_told_by(caught.value)
    assert "Failing row" not in told
    assert MARKER not in told


def everything_told_by(error: BaseException) -> str:
    """What a log of the error and of all that led to it would hold."""
    parts = traceback.format_exception(error)
    chain: BaseException | None = error
    while chain is not None:
        parts += [str(chain), repr(chain), repr(chain.args)]
        chain = chain.__cause__ or chain.__context__
    return "\n".join(parts)
