"""EncryptedToken: ways to declare it, what reaches the driver, and its name in a migration."""

from __future__ import annotations

from typing import Any

import pytest
from alembic.autogenerate import produce_migrations, render_python_code
from alembic.migration import MigrationContext
from sqlalchemy import Column, Engine, MetaData, Table, literal
from sqlalchemy.dialects import postgresql
from sqlalchemy.exc import CompileError
from sqlalchemy.orm import Mapped, MappedAsDataclass, configure_mappers, mapped_column

from crypto_core.encrypted_token import EncryptedToken, StoredEnvelope, UnsealedTokenError
from crypto_core.values.references import TokenRef
from tests.crypto_core.encrypted_token.scene import (
    BROKEN,
    CANARY,
    NO_ENVELOPES,
    REF,
    UNSEALED,
    V1,
    Account,
    Animal,
    Base,
    Cat,
    Dog,
    Imperative,
    Mixin,
    sealed,
)


class OtherMixed(Mixin, Base):
    __tablename__ = "other_mixed"

    id: Mapped[int] = mapped_column(primary_key=True)


class Dataclassed(MappedAsDataclass, Base):
    __tablename__ = "dataclassed"

    id: Mapped[int] = mapped_column(primary_key=True)
    token: Mapped[StoredEnvelope | None] = mapped_column(EncryptedToken, default=None)


class Late(Base):
    __tablename__ = "late"

    id: Mapped[int] = mapped_column(primary_key=True)


configure_mappers()
Late.token = mapped_column(EncryptedToken)


@pytest.mark.parametrize(
    ("model", "attribute", "column"),
    [
        (Animal, "from_mixin", "animal.mixin_token"),
        (Animal, "mapped", "animal.mapped"),
        (Animal, "short", "animal.short"),
        (Dog, "from_mixin", "animal.mixin_token"),
        (Dog, "short", "animal.short"),
        (Cat, "from_mixin", "animal.mixin_token"),
        (Cat, "secret", "cat.cat_token"),
        (OtherMixed, "from_mixin", "other_mixed.mixin_token"),
        (Dataclassed, "token", "dataclassed.token"),
        (Imperative, "token", "imperative.token"),
        (Late, "token", "late.token"),
    ],
)
def test_however_it_is_declared_it_refuses_and_names_its_column(
    model: Any, attribute: str, column: str
) -> None:
    instance = model(id=7) if model is not Dataclassed else model(7)
    with pytest.raises(UnsealedTokenError) as assigned:
        setattr(instance, attribute, CANARY)
    with pytest.raises(UnsealedTokenError) as compared:
        getattr(model, attribute) == CANARY  # noqa: B015
    with pytest.raises(UnsealedTokenError) as bound:
        bind(getattr(model, attribute).property.columns[0].type, CANARY)
    for caught in (assigned, compared, bound):
        assert str(caught.value).startswith(f"{column} takes sealed tokens only")
    setattr(instance, attribute, sealed(V1))
    assert getattr(instance, attribute).ref == TokenRef(*column.split("."), "7")


def bind(column_type: Any, value: object) -> object:
    process = column_type.bind_processor(postgresql.dialect())
    assert process is not None
    return process(value)


def test_a_dataclass_shows_no_more_of_its_token() -> None:
    shown = repr(Dataclassed(7, token=sealed(V1)))
    assert "token=StoredEnvelope(v1, dataclassed.token:7)" in shown
    assert V1 not in shown


def test_a_copied_table_is_named_by_its_own_name() -> None:
    moved = Account.__table__.to_metadata(MetaData(), name="moved")
    with pytest.raises(UnsealedTokenError, match=r"^moved\.api_token takes"):
        moved.c.api_token == CANARY  # noqa: B015
    with pytest.raises(UnsealedTokenError, match=r"^account\.api_token takes"):
        Account.token == CANARY  # noqa: B015


def test_one_type_of_two_columns_names_both_where_it_can_not_tell_them_apart() -> None:
    shared = EncryptedToken()
    table = Table("pair", MetaData(), Column("first", shared), Column("second", shared))
    with pytest.raises(UnsealedTokenError, match=r"^pair\.first or pair\.second takes"):
        table.c.second == CANARY  # noqa: B015
    with pytest.raises(UnsealedTokenError, match=r"^A token column takes"):
        bind(EncryptedToken(), CANARY)


def test_one_type_of_two_columns_of_the_same_name_names_it_once() -> None:
    shared = EncryptedToken()
    for _ in range(2):
        table = Table("twin", MetaData(), Column("token", shared))
    with pytest.raises(UnsealedTokenError, match=r"^twin\.token takes"):
        table.c.token == CANARY  # noqa: B015


# Bound values


@pytest.mark.parametrize("value", UNSEALED, ids=range(len(UNSEALED)))
def test_only_sealed_tokens_reach_the_driver(value: Any) -> None:
    with pytest.raises(UnsealedTokenError, match=r"account\.api_token") as caught:
        bind(Account.__table__.c.api_token.type, value)
    assert "CANARY" not in str(caught.value)


@pytest.mark.parametrize("stored", [*NO_ENVELOPES, BROKEN], ids=range(len(NO_ENVELOPES) + 1))
def test_what_was_found_and_is_no_intact_envelope_does_not_reach_the_driver(stored: str) -> None:
    with pytest.raises(UnsealedTokenError, match=r"account\.api_token") as caught:
        bind(Account.__table__.c.api_token.type, StoredEnvelope.found(stored))
    assert "CANARY" not in str(caught.value)


def test_plaintext_that_would_be_written_back_is_to_be_encrypted_in_place() -> None:
    found = StoredEnvelope.found(CANARY, REF)
    with pytest.raises(UnsealedTokenError, match=r"keydeck encrypt account\.api_token:a-1"):
        bind(Account.__table__.c.api_token.type, found)


@pytest.mark.parametrize("value", [sealed(V1), StoredEnvelope.of(V1)])
def test_the_driver_gets_the_envelope(value: Any) -> None:
    assert bind(EncryptedToken(), value) == V1
    assert bind(EncryptedToken(), None) is None


def test_an_envelope_can_be_written_out_as_a_literal_and_nothing_else_can() -> None:
    def compiled(value: object) -> str:
        return str(literal(value, EncryptedToken).compile(compile_kwargs={"literal_binds": True}))

    assert compiled(StoredEnvelope.of(V1)) == f"'{V1}'"
    with pytest.raises(CompileError) as caught:
        compiled("some text")
    assert isinstance(caught.value.__cause__, UnsealedTokenError)


# Migrations


def test_a_migration_names_the_type_by_its_module(platform: Engine) -> None:
    metadata = MetaData()
    Account.__table__.to_metadata(metadata)
    with platform.connect() as connection:
        context = MigrationContext.configure(
            connection, opts={"include_name": lambda name, kind, parents: kind != "table"}
        )
        upgrade = render_python_code(produce_migrations(context, metadata).upgrade_ops)
    assert "sa.Column('api_token', crypto_core.encrypted_token.EncryptedToken(), nullable=True)" in upgrade
