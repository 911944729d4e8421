"""The platform's four tables as classes with EncryptedToken columns, over a real PostgreSQL and KMS."""

from __future__ import annotations

import logging
import pickle
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from itertools import count
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import (
    JSON,
    BigInteger,
    DateTime,
    Engine,
    Text,
    bindparam,
    create_engine,
    func,
    insert,
    inspect,
    select,
    text,
    update,
)
from sqlalchemy.dialects import postgresql
from sqlalchemy.exc import IntegrityError, StatementError
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    Session,
    defer,
    load_only,
    make_transient,
    mapped_column,
)

from console.sandbox.world import World
from crypto_core import EncryptedToken, StoredEnvelope
from crypto_core.cipher import SealedToken, TokenCipher
from crypto_core.encrypted_token import UnsealedTokenError
from crypto_core.envelope import Format
from crypto_core.errors import (
    AuthenticationFailedError,
    EnvelopeError,
    InvalidCiphertextError,
    MissingReferenceError,
    RefusedError,
    UnsupportedFormatError,
)
from crypto_core.keyring import KmsKeyring
from crypto_core.kms import KmsApi
from crypto_core.references import TokenRef
from crypto_core.secret import Secret

CANARY = "ghp_CANARYcanaryCANARYcanaryCANARY0123"
NOW = datetime(2026, 3, 1, tzinfo=UTC)


class Base(DeclarativeBase):
    type_annotation_map = {str: Text, datetime: DateTime(timezone=True), list[str]: JSON}  # noqa: RUF012


class GitHubConnection(Base):
    __tablename__ = "gh_connection"

    id: Mapped[str] = mapped_column(primary_key=True)
    org_id: Mapped[str]
    user_id: Mapped[str]
    access_token: Mapped[StoredEnvelope] = mapped_column(EncryptedToken)
    refresh_token: Mapped[StoredEnvelope | None] = mapped_column(EncryptedToken)
    token_type: Mapped[str]
    installation_id: Mapped[int | None] = mapped_column(BigInteger)
    expires_at: Mapped[datetime | None]
    scopes: Mapped[list[str]]
    created_at: Mapped[datetime]


class JiraConnection(Base):
    __tablename__ = "jira_connection"

    id: Mapped[str] = mapped_column(primary_key=True)
    org_id: Mapped[str]
    user_id: Mapped[str]
    cloud_base_url: Mapped[str]
    access_token: Mapped[StoredEnvelope] = mapped_column(EncryptedToken)
    refresh_token: Mapped[StoredEnvelope | None] = mapped_column(EncryptedToken)
    token_type: Mapped[str]
    expires_at: Mapped[datetime | None]
    scopes: Mapped[list[str]]
    created_at: Mapped[datetime]


class SlackConnection(Base):
    __tablename__ = "slack_connection"

    id: Mapped[int] = mapped_column(primary_key=True)
    org_id: Mapped[str]
    team_id: Mapped[str]
    bot_token: Mapped[StoredEnvelope] = mapped_column(EncryptedToken)
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]


class ConfluenceConnection(Base):
    __tablename__ = "confluence_connection"

    id: Mapped[int] = mapped_column(primary_key=True)
    org_id: Mapped[str]
    base_url: Mapped[str]
    email: Mapped[str]
    access_token: Mapped[StoredEnvelope] = mapped_column(EncryptedToken)
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]


MODELS: tuple[Any, ...] = (GitHubConnection, JiraConnection, SlackConnection, ConfluenceConnection)
TOKENS = {
    GitHubConnection: "github_pat_11HANDBOOK0abcdefghij_" + "k" * 59,
    JiraConnection: "eyJhbGciOiJIUzI1NiJ9." + "j" * 700 + "." + "s" * 43,
    SlackConnection: "xoxb-123456789012-1234567890123-abcdefghijklmnopqrstuvwx",
    ConfluenceConnection: "ATATT3xFfGF0" + "c" * 171 + "=0123ABCD",
}
_numbers = count(900_001)


def token_attribute(model: Any) -> str:
    return "bot_token" if model is SlackConnection else "access_token"


def values_of(model: Any, **given: Any) -> dict[str, Any]:
    """What a row of a table needs, its tokens and what is `given` apart."""
    number = next(_numbers)
    common = {"org_id": "org-models", "created_at": NOW}
    own: dict[Any, dict[str, Any]] = {
        GitHubConnection: {
            "id": f"gh-{number}",
            "user_id": "u",
            "token_type": "personal",
            "scopes": ["repo"],
        },
        JiraConnection: {
            "id": f"jira-{number}",
            "user_id": "u",
            "token_type": "oauth",
            "scopes": ["read:jira-work"],
            "cloud_base_url": "https://models.atlassian.example",
        },
        SlackConnection: {"team_id": "T0MODELS", "updated_at": NOW},
        ConfluenceConnection: {
            "base_url": "https://models.atlassian.example/wiki",
            "email": "bot@models.example",
            "updated_at": NOW,
        },
    }
    return common | own[model] | given


def github(**given: Any) -> GitHubConnection:
    return GitHubConnection(**values_of(GitHubConnection, **given))


@pytest.fixture
def cipher(kms: KmsApi, world: World) -> TokenCipher:
    """What the platform writes today: v1."""
    return TokenCipher(KmsKeyring(kms, write_key=world.current_key.arn, trusted=[world.old_key.arn]))


@pytest.fixture
def v2(kms: KmsApi, world: World) -> TokenCipher:
    return TokenCipher(KmsKeyring(kms, write_key=world.current_key.arn), write_format=Format.V2)


@pytest.fixture
def session(platform: Engine) -> Iterator[Session]:
    with Session(platform) as session:
        yield session


def seal_for(cipher: TokenCipher, row: Any, token: str = CANARY) -> Any:
    """Seal a token for the row of an object whose id is known."""
    model = type(row)
    return cipher.encrypt(token, ref=EncryptedToken.reference(getattr(model, token_attribute(model)), row.id))


def stored_github(session: Session, cipher: TokenCipher) -> GitHubConnection:
    """A GitHub connection in the database, whose object is in the session."""
    row = github()
    row.access_token = seal_for(cipher, row)
    session.add(row)
    session.commit()
    return row


def everything_told(error: BaseException) -> str:
    """The error and all that it came from, as a log would have it."""
    return "".join(traceback.format_exception(error))


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


# Ways to write


@pytest.mark.parametrize("boxed", [lambda sealed: sealed, StoredEnvelope.of])
def test_sealed_tokens_can_be_written_in_every_way(
    session: Session, cipher: TokenCipher, boxed: Callable[[SealedToken], Any]
) -> None:
    def row(**given: Any) -> dict[str, Any]:
        return values_of(GitHubConnection, **given)

    def token() -> Any:
        return boxed(cipher.encrypt(CANARY))

    many = [row(access_token=token(), refresh_token=token()) for _ in range(3)]
    table = GitHubConnection.__table__
    session.add(GitHubConnection(**row(access_token=token())))
    session.execute(insert(GitHubConnection), many[:2])
    session.execute(insert(GitHubConnection).values(many[2:]))
    session.connection().execute(insert(table), [row(access_token=token(), refresh_token=None)])
    session.bulk_insert_mappings(GitHubConnection, [row(access_token=token())])
    session.bulk_save_objects([GitHubConnection(**row(access_token=token()))])
    conflicting = postgresql.insert(GitHubConnection).values(many[0])
    session.execute(conflicting.on_conflict_do_update(index_elements=["id"], set_={"access_token": token()}))
    session.execute(update(GitHubConnection), [{"id": many[1]["id"], "access_token": token()}])
    session.commit()
    found = session.scalars(select(GitHubConnection).where(GitHubConnection.org_id == "org-models")).all()
    assert len(found) == 7
    assert {connection.access_token.reveal(cipher) for connection in found} == {CANARY}


def test_an_update_of_many_rows_leaves_values_that_know_their_rows(
    kms: KmsApi, session: Session, cipher: TokenCipher
) -> None:
    row = stored_github(session, cipher)
    row.access_token  # noqa: B018
    for value in (cipher.encrypt("ghp_new"), StoredEnvelope.of(cipher.encrypt("ghp_new"))):
        asked = kms.calls
        session.execute(
            update(GitHubConnection).where(GitHubConnection.id == row.id).values(access_token=value),
            execution_options={"synchronize_session": "evaluate"},
        )
        assert kms.calls == asked
        assert isinstance(row.access_token, StoredEnvelope)
        assert row.access_token.ref == TokenRef("gh_connection", "access_token", row.id)
        assert row.access_token.reveal(cipher) == "ghp_new"


def test_compare_and_swap_on_the_envelope_that_was_read(session: Session, cipher: TokenCipher) -> None:
    row = stored_github(session, cipher)
    read = row.access_token

    def swap(old: StoredEnvelope) -> int:
        statement = (
            update(GitHubConnection)
            .where(GitHubConnection.id == row.id, GitHubConnection.access_token == old)
            .values(access_token=cipher.encrypt("ghp_new"))
        )
        return len(session.scalars(statement.returning(GitHubConnection.id)).all())

    assert swap(read) == 1
    assert swap(read) == 0
    session.commit()
    assert row.access_token.reveal(cipher) == "ghp_new"


def test_what_did_not_change_is_not_written(session: Session, cipher: TokenCipher) -> None:
    row = stored_github(session, cipher)
    row.access_token = StoredEnvelope.of(row.access_token.stored)
    assert not session.is_modified(row)


# What is refused


REFUSED: dict[str, Callable[[Session, Any], object]] = {
    "attribute": lambda s, value: setattr(s.scalars(select(GitHubConnection)).first(), "access_token", value),
    "constructor": lambda s, value: github(access_token=value),
    "merge": lambda s, value: s.merge(github(access_token=value)),
    "insert": lambda s, value: s.execute(
        insert(GitHubConnection).values(values_of(GitHubConnection, access_token=value))
    ),
    "insert of many values": lambda s, value: s.execute(
        insert(GitHubConnection).values([values_of(GitHubConnection, access_token=value)] * 2)
    ),
    "bulk insert": lambda s, value: s.execute(
        insert(GitHubConnection), [values_of(GitHubConnection, access_token=value) for _ in range(2)]
    ),
    "bulk insert with returning": lambda s, value: s.execute(
        insert(GitHubConnection).returning(GitHubConnection),
        [values_of(GitHubConnection, access_token=value) for _ in range(2)],
    ),
    "bulk mappings": lambda s, value: s.bulk_insert_mappings(
        inspect(GitHubConnection), [values_of(GitHubConnection, access_token=value)]
    ),
    "bulk update mappings": lambda s, value: s.bulk_update_mappings(
        inspect(GitHubConnection), [{"id": "gh-1", "access_token": value}]
    ),
    "core insert": lambda s, value: s.connection().execute(
        insert(GitHubConnection.__table__),
        [values_of(GitHubConnection, access_token=value)],
    ),
    "upsert": lambda s, value: s.execute(
        postgresql.insert(GitHubConnection)
        .values(values_of(GitHubConnection, access_token=None))
        .on_conflict_do_update(index_elements=["id"], set_={"access_token": value})
    ),
    "update": lambda s, value: s.execute(update(GitHubConnection).values(access_token=value)),
    "update by id": lambda s, value: s.execute(
        update(GitHubConnection), [{"id": "gh-1", "access_token": value}]
    ),
    "update by attribute": lambda s, value: s.execute(
        update(GitHubConnection).values({GitHubConnection.access_token: value})
    ),
    "core update": lambda s, value: s.connection().execute(
        update(GitHubConnection.__table__).values(access_token=value)
    ),
    "legacy update": lambda s, value: s.query(GitHubConnection).update({"access_token": value}),
    "comparison": lambda s, value: s.scalars(
        select(GitHubConnection).where(GitHubConnection.access_token == value)
    ).all(),
    "filter_by": lambda s, value: s.query(GitHubConnection).filter_by(access_token=value).all(),
    "in": lambda s, value: s.scalars(
        select(GitHubConnection).where(GitHubConnection.access_token.in_([value]))
    ).all(),
    "late parameter": lambda s, value: s.execute(
        select(GitHubConnection).where(GitHubConnection.access_token == bindparam("old")), {"old": value}
    ),
    "late parameters": lambda s, value: s.execute(
        select(GitHubConnection).where(GitHubConnection.access_token.in_(bindparam("old", expanding=True))),
        {"old": [value]},
    ),
}


@pytest.fixture
def talkative(platform: Engine) -> Iterator[Engine]:
    """The engine of somebody who hides nothing: parameters in errors, statements and rows in the log."""
    engine = create_engine(platform.url, echo="debug", hide_parameters=False)
    yield engine
    engine.dispose()


@pytest.mark.parametrize("way", REFUSED)
@pytest.mark.parametrize(
    "unsealed", [CANARY, Secret.of(CANARY), CANARY.encode()], ids=["str", "Secret", "bytes"]
)
def test_what_is_not_sealed_is_refused_and_told_nowhere(
    talkative: Engine,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    way: str,
    unsealed: Any,
) -> None:
    caplog.set_level(logging.DEBUG)
    with Session(talkative) as session:
        with pytest.raises(UnsealedTokenError, match=r"^gh_connection\.access_token") as caught:
            REFUSED[way](session, unsealed)
        told = everything_told(caught.value)
        session.rollback()
        assert set(session.scalars(select(GitHubConnection.org_id))).isdisjoint({"org-models"})
    printed = capfd.readouterr()
    for output in (told, caplog.text, printed.out, printed.err):
        assert "CANARY" not in output


def test_writing_and_reading_tells_no_plaintext(
    talkative: Engine, v2: TokenCipher, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    with Session(talkative) as session:
        row = stored_github(session, v2)
        assert row.access_token.reveal(v2) == CANARY
        session.execute(
            update(GitHubConnection)
            .where(GitHubConnection.id == row.id)
            .values(access_token=seal_for(v2, row))
        )
        session.commit()
        with pytest.raises(IntegrityError) as taken:
            session.execute(
                insert(GitHubConnection),
                values_of(
                    GitHubConnection, id=row.id, access_token=v2.encrypt(CANARY, ref=row.access_token.ref)
                ),
            )
        session.rollback()
        with pytest.raises(StatementError) as unfit:
            session.execute(
                insert(GitHubConnection),
                values_of(
                    GitHubConnection,
                    scopes=object(),
                    access_token=v2.encrypt(CANARY, ref=row.access_token.ref),
                ),
            )
    printed = capfd.readouterr()
    assert "INSERT INTO gh_connection" in caplog.text
    for output in (everything_told(taken.value), everything_told(unfit.value), caplog.text, *printed):
        assert "CANARY" not in output


# Plaintext in the column


@pytest.fixture
def plaintext(superuser: Engine, session: Session, cipher: TokenCipher) -> SlackConnection:
    """A Slack connection as the platform writes it today."""
    row = SlackConnection(**values_of(SlackConnection, bot_token=cipher.encrypt("placeholder")))
    session.add(row)
    session.commit()
    with superuser.begin() as connection:
        statement = text("UPDATE slack_connection SET bot_token = :token WHERE id = :id")
        connection.execute(statement, {"token": CANARY, "id": row.id})
    session.refresh(row)
    return row


def test_plaintext_loads_without_showing_and_tells_to_encrypt_it_in_place(
    kms: KmsApi, plaintext: SlackConnection, cipher: TokenCipher
) -> None:
    asked = kms.calls
    assert (
        repr(plaintext.bot_token) == f"StoredEnvelope(plaintext, slack_connection.bot_token:{plaintext.id})"
    )
    with pytest.raises(
        UnsupportedFormatError, match=f"keydeck encrypt slack_connection.bot_token:{plaintext.id}"
    ) as caught:
        plaintext.bot_token.reveal(cipher)
    assert "CANARY" not in everything_told(caught.value)
    assert kms.calls == asked
    with pytest.raises(TypeError) as unpicklable:
        pickle.dumps(plaintext)
    assert "CANARY" not in everything_told(unpicklable.value)


def test_the_rest_of_a_plaintext_row_can_be_changed_merged_and_deleted(
    platform: Engine, session: Session, plaintext: SlackConnection
) -> None:
    plaintext.team_id = "T0OTHER"
    session.commit()
    plaintext.bot_token  # noqa: B018
    session.expunge(plaintext)
    plaintext.team_id = "T0MERGED"
    merged = session.merge(plaintext)
    session.commit()
    assert merged.team_id == "T0MERGED"
    with platform.connect() as connection:
        statement = text("SELECT bot_token FROM slack_connection WHERE id = :id")
        assert connection.scalar(statement, {"id": merged.id}) == CANARY
    session.delete(merged)
    session.commit()


def test_a_plaintext_row_takes_a_sealed_token(
    session: Session, plaintext: SlackConnection, cipher: TokenCipher
) -> None:
    plaintext.bot_token = cipher.encrypt(CANARY)
    session.commit()
    assert plaintext.bot_token.reveal(cipher) == CANARY


def test_plaintext_is_never_written_back_nor_told(
    talkative: Engine,
    plaintext: SlackConnection,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level(logging.DEBUG)
    row_id = plaintext.id
    ways: list[Callable[[Session, StoredEnvelope], object]] = [
        lambda s, v: s.bulk_save_objects([SlackConnection(**values_of(SlackConnection, bot_token=v))]),
        lambda s, v: (s.add(SlackConnection(**values_of(SlackConnection, bot_token=v))), s.flush()),
        lambda s, v: s.execute(insert(SlackConnection), [values_of(SlackConnection, bot_token=v)]),
        lambda s, v: s.execute(update(SlackConnection).values(bot_token=v)),
        lambda s, v: s.scalars(select(SlackConnection).where(SlackConnection.bot_token == v)).all(),
    ]
    told = []
    for way in ways:
        with Session(talkative) as session:
            row = session.get_one(SlackConnection, row_id)
            with pytest.raises(UnsealedTokenError, match=r"^slack_connection\.bot_token") as caught:
                way(session, row.bot_token)
            assert "keydeck encrypt" in str(caught.value)
            told.append(everything_told(caught.value))
    printed = capfd.readouterr()
    for output in (*told, caplog.text, *printed):
        assert "CANARY" not in output


def test_broken_envelopes_load_and_are_refused_when_they_are_used(
    world: World, session: Session, cipher: TokenCipher
) -> None:
    models = {model.__tablename__: model for model in MODELS}
    refused: Counter[str] = Counter()
    for ref in world.corrupt:
        row = session.get_one(models[ref.table], int(ref.row_id) if ref.row_id.isdigit() else ref.row_id)
        value = getattr(row, ref.column)
        assert value.ref == ref
        with pytest.raises((EnvelopeError, InvalidCiphertextError)) as caught:
            value.reveal(cipher)
        refused[type(caught.value).__name__] += 1
    assert sum(refused.values()) == len(world.corrupt) > 5


# Moving v2 envelopes


@pytest.fixture
def pair(session: Session, v2: TokenCipher) -> tuple[GitHubConnection, GitHubConnection]:
    """Two rows with a v2 envelope each."""
    return stored_github(session, v2), stored_github(session, v2)


def test_a_v2_envelope_can_not_be_assigned_to_another_row_or_column(
    session: Session, pair: tuple[GitHubConnection, GitHubConnection], v2: TokenCipher
) -> None:
    first, second = pair
    with pytest.raises(RefusedError, match=f"access_token:{first.id} is bound .*access_token:{second.id}"):
        second.access_token = first.access_token
    with pytest.raises(RefusedError, match=f"as gh_connection.refresh_token:{first.id}"):
        first.refresh_token = first.access_token
    with pytest.raises(RefusedError, match=r"as slack_connection\.bot_token"):
        SlackConnection(**values_of(SlackConnection, bot_token=first.access_token))
    assert second.access_token.reveal(v2) == CANARY


MOVES: dict[str, Callable[[Session, Any, Any], object]] = {
    "in SQL": lambda s, first, second: s.execute(
        text(
            "UPDATE gh_connection SET access_token ="
            " (SELECT access_token FROM gh_connection WHERE id = :first) WHERE id = :second"
        ),
        {"first": first.id, "second": second.id},
    ),
    "as a value": lambda s, first, second: s.execute(
        update(GitHubConnection)
        .where(GitHubConnection.id == second.id)
        .values(access_token=first.access_token),
        execution_options={"synchronize_session": "evaluate"},
    ),
    "as a column": lambda s, first, second: s.execute(
        update(GitHubConnection)
        .where(GitHubConnection.id == second.id)
        .values(refresh_token=GitHubConnection.access_token, access_token=first.access_token)
    ),
    "boxed anew": lambda s, first, second: setattr(
        second, "access_token", StoredEnvelope.of(first.access_token.stored)
    ),
}


@pytest.mark.parametrize("move", MOVES)
def test_a_v2_envelope_that_was_moved_to_another_row_does_not_open(
    session: Session, pair: tuple[GitHubConnection, GitHubConnection], v2: TokenCipher, move: str
) -> None:
    first, second = pair
    MOVES[move](session, first, second)
    if move == "in SQL":
        session.expire(second)
    for _ in range(2):  # in the session, and as loaded again
        assert second.access_token.stored == first.access_token.stored
        assert second.access_token.ref == TokenRef("gh_connection", "access_token", second.id)
        with pytest.raises((AuthenticationFailedError, InvalidCiphertextError)):
            second.access_token.reveal(v2)
        session.commit()
    assert first.access_token.reveal(v2) == CANARY


def test_a_copy_of_an_object_under_another_id_is_refused_and_the_first_row_stays(
    session: Session, v2: TokenCipher
) -> None:
    row = stored_github(session, v2)
    row_id = row.id
    row.access_token  # noqa: B018
    make_transient(row)
    row.id = "gh-copy"
    session.add(row)
    with pytest.raises(RefusedError, match=f"access_token:{row_id} is bound .*access_token:gh-copy"):
        session.flush()
    session.rollback()
    assert session.get(GitHubConnection, "gh-copy") is None
    assert session.get_one(GitHubConnection, row_id).access_token.reveal(v2) == CANARY


def test_a_row_whose_id_changes_under_its_v2_envelope_is_refused_and_stays(
    session: Session, v2: TokenCipher
) -> None:
    row = stored_github(session, v2)
    row_id = row.id
    row.access_token  # noqa: B018
    row.id = "gh-renamed"
    with pytest.raises(RefusedError, match="gh-renamed"):
        session.flush()
    session.rollback()
    assert session.get_one(GitHubConnection, row_id).access_token.reveal(v2) == CANARY
    row.id = "gh-renamed"
    row.access_token = v2.encrypt(
        CANARY, ref=EncryptedToken.reference(GitHubConnection.access_token, "gh-renamed")
    )
    session.commit()
    assert row.access_token.reveal(v2) == CANARY


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
