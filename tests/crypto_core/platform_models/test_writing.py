"""Models of the platform: every way to write sealed tokens, and what is refused and told nowhere."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Engine, bindparam, insert, inspect, select, update
from sqlalchemy.dialects import postgresql
from sqlalchemy.exc import IntegrityError, StatementError
from sqlalchemy.orm import Session

from crypto_core import StoredEnvelope
from crypto_core.aws.kms import KmsApi
from crypto_core.encrypted_token import UnsealedTokenError
from crypto_core.keyring.cipher import SealedToken, TokenCipher
from crypto_core.values.references import TokenRef
from crypto_core.values.secret import Secret
from tests.crypto_core.platform_models.models import (
    CANARY,
    GitHubConnection,
    everything_told,
    github,
    seal_for,
    stored_github,
    values_of,
)

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
        insert(GitHubConnection.__table__), [values_of(GitHubConnection, access_token=value)]
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


@pytest.mark.quick(20)
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
