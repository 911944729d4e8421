"""EncryptedToken: which row a loaded value knows, by ids and classes of every shape."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import CHAR, Engine, Integer, Text, TypeDecorator, Uuid, func, inspect, join, literal, select
from sqlalchemy.orm import Mapped, Session, column_property, mapped_column, reconstructor

from crypto_core.aws.kms import KmsApi
from crypto_core.encrypted_token import StoredEnvelope, UnsealedTokenError
from crypto_core.keyring.cipher import TokenCipher
from crypto_core.keyring.kms_keyring import KmsKeyring
from crypto_core.values.errors import MissingReferenceError, RefusedError
from crypto_core.values.references import TokenRef
from tests.crypto_core.encrypted_token.scene import (
    CANARY,
    IMPERATIVE,
    KEY_ARN,
    V1,
    V2,
    Account,
    Animal,
    Base,
    Cat,
    Dog,
    Imperative,
    sealed,
)


class Spelled(TypeDecorator[str]):
    """An id that Python sees otherwise than PostgreSQL prints it."""

    impl = Integer
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: object) -> int | None:
        return value and int(value.removeprefix("no-"))

    def process_result_value(self, value: int | None, dialect: object) -> str | None:
        return value and f"no-{value}"


class ByUuid(Base):
    __tablename__ = "by_uuid"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    token: Mapped[StoredEnvelope | None]


class ByChar(Base):
    __tablename__ = "by_char"

    id: Mapped[str] = mapped_column(CHAR(8), primary_key=True)
    token: Mapped[StoredEnvelope | None]


class ByHexUuid(Base):
    __tablename__ = "by_hex_uuid"

    id: Mapped[UUID] = mapped_column(Uuid(native_uuid=False), primary_key=True)
    token: Mapped[StoredEnvelope | None]


class BySpelling(Base):
    __tablename__ = "by_spelling"

    id: Mapped[str] = mapped_column(Spelled, primary_key=True)
    token: Mapped[StoredEnvelope | None]


class Reconstructed(Base):
    __tablename__ = "reconstructed"

    id: Mapped[int] = mapped_column(primary_key=True)
    token: Mapped[StoredEnvelope | None]

    @reconstructor
    def remember(self) -> None:
        self.seen = self.token and self.token.ref


class ByTwo(Base):
    __tablename__ = "by_two"

    org: Mapped[str] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    token: Mapped[StoredEnvelope | None]


@pytest.fixture
def session(platform: Engine) -> Any:
    Base.metadata.create_all(platform)
    with Session(platform) as session:
        yield session


def loaded(session: Session, instance: Any) -> Any:
    """The instance as a session loads it that has never seen it."""
    session.add(instance)
    session.commit()
    identity, kind = inspect(instance).identity, type(instance)
    session.expunge_all()
    return session.get_one(kind, identity)


def test_a_loaded_value_knows_its_row_by_uuid(session: Session) -> None:
    row_id = uuid4()
    row = loaded(session, ByUuid(id=row_id, token=sealed(V1)))
    assert row.token.ref == TokenRef("by_uuid", "token", str(row_id))
    printed = session.scalar(select(func.cast(ByUuid.id, Text)))
    assert row.token.ref.row_id == printed


def test_a_value_knows_its_row_before_anybody_else_hears_of_the_object(session: Session) -> None:
    row = loaded(session, Reconstructed(id=7, token=sealed(V1)))
    assert row.seen == TokenRef("reconstructed", "token", "7")


@pytest.mark.parametrize(
    "instance",
    [
        lambda: ByChar(id="abc", token=sealed(V2)),
        lambda: ByHexUuid(id=uuid4(), token=sealed(V2)),
        lambda: BySpelling(id="no-7", token=sealed(V2)),
        lambda: ByTwo(org="org", number=7, token=sealed(V2)),
    ],
)
def test_a_row_whose_id_is_not_printed_as_python_has_it_must_be_named(
    session: Session, kms: KmsApi, instance: Callable[[], Any]
) -> None:
    row = loaded(session, instance())
    assert row.token.ref is None
    with pytest.raises(MissingReferenceError):
        row.token.reveal(TokenCipher(KmsKeyring(kms, write_key=KEY_ARN)))


def test_values_of_subclasses_know_their_own_tables(session: Session) -> None:
    cat = loaded(session, Cat(id=1, mapped=sealed(V1), secret=sealed(V1)))
    assert (str(cat.mapped.ref), str(cat.secret.ref)) == ("animal.mapped:1", "cat.cat_token:1")
    loaded(session, Dog(id=2, mapped=sealed(V1)))
    session.expunge_all()
    found = {animal.id: animal for animal in session.scalars(select(Animal))}
    assert {str(animal.mapped.ref) for animal in found.values()} == {"animal.mapped:1", "animal.mapped:2"}
    assert str(found[1].secret.ref) == "cat.cat_token:1"


def test_a_value_learns_an_id_that_the_database_hands_out(session: Session) -> None:
    animal = Animal(mapped=sealed(V1))
    session.add(animal)
    assert animal.mapped.ref is None
    session.flush()
    assert animal.mapped.ref == TokenRef("animal", "mapped", str(animal.id))


def test_a_v2_envelope_of_another_row_is_refused_where_only_the_flush_tells_the_row(session: Session) -> None:
    stranger = StoredEnvelope.found(V2, TokenRef("animal", "mapped", "0"))
    session.add(Animal(mapped=stranger))
    with pytest.raises(RefusedError, match=r"animal\.mapped:0 is bound to its row"):
        session.flush()
    session.rollback()
    assert session.scalars(select(Animal)).all() == []


def test_a_class_mapped_to_a_query_still_hides_and_refuses(session: Session) -> None:
    loaded(session, Account(name="a-1", token=sealed(V1)))

    class Summary(Base):
        __table__ = select(Account.name, Account.token).subquery()
        __mapper_args__ = {"primary_key": [__table__.c.name]}  # noqa: RUF012

    summary = session.scalars(select(Summary)).one()
    assert repr(summary.token) == "StoredEnvelope(v1)"
    with pytest.raises(UnsealedTokenError):
        summary.token = CANARY


def test_a_token_of_a_joined_table_is_not_taken_for_one_of_the_first_tables_row(session: Session) -> None:
    class Joined:
        pass

    animal, other = Animal.__table__, IMPERATIVE
    Base.registry.map_imperatively(
        Joined,
        join(animal, other, literal(value=True)),
        primary_key=[animal.c.id],
        properties={"id": animal.c.id, "other_id": other.c.id},
    )
    session.add_all([Animal(id=1, mapped=sealed(V1)), Imperative(id=7, token=sealed(V1))])
    session.commit()
    row = session.scalars(select(Joined)).one()
    assert str(row.mapped.ref) == "animal.mapped:1"
    assert row.token.ref is None


def test_an_expression_of_token_columns_is_as_hidden_as_they_are(session: Session) -> None:
    class Either(Base):
        __table__ = Animal.__table__
        either = column_property(func.coalesce(Animal.__table__.c.short, Animal.__table__.c.mapped))

    loaded(session, Animal(id=1, mapped=sealed(V1)))
    assert repr(session.scalars(select(Either)).one().either) == "StoredEnvelope(v1)"
