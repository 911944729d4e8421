"""Models of the platform: values that are written, read back, and loaded in every way."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Engine, func, select, text, update
from sqlalchemy.orm import Session, defer, load_only

from console.sandbox.world import World
from crypto_core import EncryptedToken, StoredEnvelope
from crypto_core.aws.kms import KmsApi
from crypto_core.envelope import Format
from crypto_core.keyring.cipher import TokenCipher
from crypto_core.keyring.kms_keyring import KmsKeyring
from crypto_core.values.errors import InvalidCiphertextError, MissingReferenceError
from crypto_core.values.references import TokenRef
from crypto_core.values.secret import Secret
from tests.crypto_core.platform_models.models import (
    CANARY,
    MODELS,
    TOKENS,
    Base,
    GitHubConnection,
    SlackConnection,
    github,
    seal_for,
    stored_github,
    token_attribute,
    values_of,
)

# Writing and reading


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("format_", [Format.V1, Format.V2])
def test_a_token_is_written_sealed_and_read_back_by_reveal_alone(
    kms: KmsApi, world: World, session: Session, model: Any, format_: Format
) -> None:
    cipher = TokenCipher(KmsKeyring(kms, write_key=world.current_key.arn), write_format=format_)
    attribute, token = token_attribute(model), TOKENS[model]
    row = model(**values_of(model))
    if row.id is None:
        sequence = func.pg_get_serial_sequence(model.__tablename__, "id")
        row.id = session.scalar(select(func.nextval(sequence)))
    setattr(row, attribute, seal_for(cipher, row, token))
    session.add(row)
    session.commit()
    session.expunge_all()
    asked = kms.calls
    read = session.scalars(select(model).where(model.org_id == "org-models")).one()
    value = getattr(read, attribute)
    assert kms.calls == asked
    assert (value.format, value.ref) == (format_, TokenRef(model.__tablename__, attribute, str(read.id)))
    assert value.reveal(cipher) == token
    assert kms.calls == asked + 1
    with value.open(cipher) as opened:
        assert isinstance(opened, Secret)
        assert opened.reveal() == token


@pytest.mark.parametrize("model", MODELS)
def test_every_row_of_the_platform_loads_without_kms_and_shows_nothing(
    kms: KmsApi, world: World, session: Session, model: Any
) -> None:
    attributes = [name for name in ("access_token", "refresh_token", "bot_token") if hasattr(model, name)]
    found: dict[TokenRef, StoredEnvelope] = {}
    for row in session.scalars(select(model)):
        for attribute in attributes:
            value = getattr(row, attribute)
            if value is not None:
                found[TokenRef(model.__tablename__, attribute, str(row.id))] = value
    expected = {r: t.format for r, t in world.tokens.items() if r.table == model.__tablename__}
    assert {ref: value.format for ref, value in found.items()} == expected
    for ref, value in found.items():
        assert value.ref == ref
        assert repr(value) == f"StoredEnvelope({value.format}, {ref})"
    assert kms.calls == 0


def test_what_the_platform_sealed_under_either_key_opens(
    world: World, session: Session, cipher: TokenCipher
) -> None:
    models = {model.__tablename__: model for model in MODELS}
    sealed = [*world.sealed_under(world.current_key)[:5], *world.sealed_under(world.old_key)[:5]]
    assert len(sealed) == 10
    for ref in sealed:
        model = models[ref.table]
        row = session.get_one(model, int(ref.row_id) if ref.row_id.isdigit() else ref.row_id)
        assert getattr(row, ref.column).reveal(cipher) == world.token_for(ref)


def test_null_is_none_and_none_is_null(session: Session, cipher: TokenCipher) -> None:
    row = github(access_token=cipher.encrypt(CANARY), refresh_token=cipher.encrypt(CANARY))
    session.add(row)
    session.commit()
    assert row.refresh_token is not None
    row.refresh_token = None
    session.commit()
    assert row.refresh_token is None
    assert (
        session.scalar(select(GitHubConnection.id).where(GitHubConnection.refresh_token.is_(None)))
        is not None
    )


def test_an_object_reveals_what_was_assigned_to_it_before_and_after_the_flush(
    platform: Engine, v2: TokenCipher
) -> None:
    with Session(platform, expire_on_commit=False) as session:
        row = github()
        row.access_token = seal_for(v2, row)
        assert row.access_token.reveal(v2) == CANARY
        session.add(row)
        session.commit()
        assert row.access_token.reveal(v2) == CANARY


def test_the_row_that_keydeck_names_is_the_row_that_the_value_knows(
    session: Session, v2: TokenCipher, keydeck: Callable[..., Any]
) -> None:
    row = stored_github(session, v2)
    told = keydeck("inspect", str(row.access_token.ref), "--json").json
    assert told["reference"] == str(row.access_token.ref)
    assert told["format"] == "v2"


# Ways to load


@pytest.mark.parametrize(
    "load",
    [
        lambda s, i: s.get_one(GitHubConnection, i),
        lambda s, i: s.scalars(select(GitHubConnection).where(GitHubConnection.id == i)).one(),
        lambda s, i: s.get_one(GitHubConnection, i, options=[defer(GitHubConnection.access_token)]),
        lambda s, i: s.get_one(GitHubConnection, i, options=[load_only(GitHubConnection.org_id)]),
        lambda s, i: s.get_one(GitHubConnection, i, populate_existing=True),
        lambda s, i: s.scalars(
            select(GitHubConnection).from_statement(
                text("SELECT * FROM gh_connection WHERE id = :id").bindparams(id=i)
            )
        ).one(),
        lambda s, i: s.scalars(
            update(GitHubConnection)
            .where(GitHubConnection.id == i)
            .values(org_id="other")
            .returning(GitHubConnection)
        ).one(),
        lambda s, i: s.merge(GitHubConnection(id=i)),
    ],
    ids=["get", "select", "defer", "load_only", "populate_existing", "statement", "returning", "merge"],
)
def test_however_an_object_is_loaded_its_value_knows_the_row(
    kms: KmsApi, session: Session, v2: TokenCipher, load: Callable[[Session, str], GitHubConnection]
) -> None:
    row_id = stored_github(session, v2).id
    session.expunge_all()
    asked = kms.calls
    row = load(session, row_id)
    assert row.access_token.ref == TokenRef("gh_connection", "access_token", row_id)
    assert kms.calls == asked
    assert row.access_token.reveal(v2) == CANARY


@pytest.mark.parametrize(
    "renew",
    [
        lambda s, row: s.refresh(row),
        lambda s, row: s.refresh(row, ["access_token"]),
        lambda s, row: s.expire(row),
        lambda s, row: s.expire(row, ["access_token"]),
        lambda s, row: s.rollback(),
        lambda s, row: s.commit(),
    ],
    ids=["refresh", "refresh attribute", "expire", "expire attribute", "rollback", "commit"],
)
def test_a_value_that_is_read_again_is_the_new_one_and_knows_its_row(
    session: Session, platform: Engine, v2: TokenCipher, renew: Callable[[Session, Any], None]
) -> None:
    row = stored_github(session, v2)
    old, new = row.access_token, seal_for(v2, row, "ghp_new")
    session.commit()
    with platform.begin() as connection:
        statement = text("UPDATE gh_connection SET access_token = :new WHERE id = :id")
        connection.execute(statement, {"new": new.stored, "id": row.id})
    renew(session, row)
    assert row.access_token != old
    assert row.access_token.reveal(v2) == "ghp_new"


def test_a_value_read_while_its_rows_id_is_being_changed_belongs_to_the_row_that_was_read(
    session: Session, v2: TokenCipher
) -> None:
    row_id = stored_github(session, v2).id
    session.expunge_all()
    row = session.get_one(GitHubConnection, row_id, options=[defer(GitHubConnection.access_token)])
    with session.no_autoflush:
        row.id = "gh-renamed"
        assert row.access_token.ref == TokenRef("gh_connection", "access_token", row_id)
        assert row.access_token.reveal(v2) == CANARY


def test_a_column_selected_without_its_object_must_be_told_the_row(
    kms: KmsApi, session: Session, v2: TokenCipher
) -> None:
    row = stored_github(session, v2)
    ref = EncryptedToken.reference(GitHubConnection.access_token, row.id)
    by_attribute = select(GitHubConnection.access_token).where(GitHubConnection.id == row.id)
    table = GitHubConnection.__table__
    by_column = select(table.c.access_token).where(table.c.id == row.id)
    for value in (session.scalars(by_attribute).one(), session.connection().scalars(by_column).one()):
        assert repr(value) == "StoredEnvelope(v2)"
        asked = kms.calls
        with pytest.raises(MissingReferenceError):
            value.reveal(v2)
        assert kms.calls == asked
        assert value.reveal(v2, ref=ref) == CANARY
        with pytest.raises(InvalidCiphertextError):
            value.reveal(v2, ref=TokenRef("gh_connection", "access_token", "gh-other"))


def test_a_v1_column_selected_without_its_object_opens(session: Session, cipher: TokenCipher) -> None:
    row = stored_github(session, cipher)
    value = session.scalars(select(GitHubConnection.access_token).where(GitHubConnection.id == row.id)).one()
    assert value.reveal(cipher) == CANARY


def test_objects_are_merged_and_pickled_with_their_values(
    kms: KmsApi, platform: Engine, session: Session, v2: TokenCipher
) -> None:
    row = stored_github(session, v2)
    row.access_token  # noqa: B018  # loaded after the commit
    session.expunge(row)
    asked = kms.calls
    travelled = pickle.loads(pickle.dumps(row))
    for load in (True, False):
        with Session(platform) as other:
            merged = other.merge(travelled, load=load)
            assert not other.dirty or not other.is_modified(merged)
            assert merged.access_token.ref == TokenRef("gh_connection", "access_token", merged.id)
    assert kms.calls == asked
    assert travelled.access_token.reveal(v2) == CANARY


# Beside Keydeck


@pytest.mark.parametrize("format_", ["v1", "v2"])
def test_rows_that_keydeck_reencrypted_are_read(
    session: Session,
    cipher: TokenCipher,
    plaintext: SlackConnection,
    keydeck: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
    format_: str,
) -> None:
    monkeypatch.setenv("KEYDECK_WRITE_FORMAT", format_)
    assert keydeck("init").exit_code == 0
    row = stored_github(session, cipher)
    before = row.access_token
    session.commit()
    for arguments in (
        ("reencrypt", f"gh_connection.access_token:{row.id}"),
        ("encrypt", f"slack_connection.bot_token:{plaintext.id}"),
    ):
        ran = keydeck(*arguments, "--yes")
        assert ran.exit_code == 0, ran.stderr
    session.expire_all()
    assert row.access_token != before
    for value in (row.access_token, plaintext.bot_token):
        assert value.format == format_
        assert value.reveal(cipher) == CANARY


def test_the_models_differ_in_nothing_from_the_tables(platform: Engine) -> None:
    with platform.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        differences = compare_metadata(context, Base.metadata)
    assert [difference for difference in differences if difference[0] != "remove_table"] == []
