"""The column type EncryptedToken: what it takes, what it refuses, and what its values give away."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Annotated, Any
from uuid import UUID, uuid4

import pytest
from alembic.autogenerate import produce_migrations, render_python_code
from alembic.migration import MigrationContext
from sqlalchemy import (
    CHAR,
    Column,
    Engine,
    ForeignKey,
    Integer,
    MetaData,
    Table,
    Text,
    TypeDecorator,
    Uuid,
    bindparam,
    func,
    inspect,
    join,
    literal,
    null,
    select,
)
from sqlalchemy.dialects import postgresql
from sqlalchemy.exc import CompileError
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    MappedAsDataclass,
    Session,
    aliased,
    column_property,
    configure_mappers,
    mapped_column,
    reconstructor,
)

from crypto_core.cipher import SealedToken, TokenCipher
from crypto_core.data_keys import KeyAnswer
from crypto_core.encrypted_token import EncryptedToken, StoredEnvelope, UnsealedTokenError
from crypto_core.envelope import Format, seal, serialise
from crypto_core.errors import (
    EnvelopeError,
    InvalidReferenceError,
    InvalidTokenError,
    MissingReferenceError,
    RefusedError,
    UnsupportedFormatError,
)
from crypto_core.keyring import KmsKeyring
from crypto_core.kms import KmsApi
from crypto_core.references import TokenRef
from crypto_core.secret import DataKey, Secret

CANARY = "ghp_CANARYcanaryCANARYcanaryCANARY0123"
KEY_ARN = "arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"
REF = TokenRef("account", "api_token", "a-1")


def envelope(format_: Format, ref: TokenRef | None = None) -> str:
    """An envelope of the canary, made without KMS."""
    token, data_key = Secret.of(CANARY), DataKey(bytes(32))
    return serialise(seal(token, data_key, b"wrapped", format_=format_, key_arn=KEY_ARN, ref=ref))


def sealed(stored: str) -> SealedToken:
    return SealedToken(stored, KeyAnswer(KEY_ARN, None))


V1, V2 = envelope(Format.V1), envelope(Format.V2, REF)
BROKEN = V1[:-8]
NO_ENVELOPES = {
    CANARY: Format.PLAINTEXT,
    "eyJhbGciOiJIUzI1NiJ9.CANARY": Format.UNRECOGNISED,
    "CANARY with a lone \udc80 surrogate": Format.UNRECOGNISED,
    "ZGV2fENBTkFSWQ==": Format.DEV,
    "": Format.EMPTY,
}
UNSEALED: list[Any] = [CANARY, V1, "", Secret.of(CANARY), CANARY.encode(), 7, [CANARY], {"token": CANARY}]


class Base(DeclarativeBase):
    type_annotation_map = {StoredEnvelope: EncryptedToken}  # noqa: RUF012


class Account(Base):
    """Its attributes are named unlike its columns: the database's names count."""

    __tablename__ = "account"

    name: Mapped[str] = mapped_column("id", Text, primary_key=True)
    token: Mapped[StoredEnvelope | None] = mapped_column("api_token", EncryptedToken)
    note: Mapped[str | None]


# Values


@pytest.mark.parametrize("stored", [V1, V2, BROKEN])
def test_a_value_shows_its_format_and_its_row_and_nothing_else(stored: str) -> None:
    value = StoredEnvelope.found(stored)
    format_ = "v2" if stored == V2 else "v1"
    assert repr(value) == str(value) == f"{value}" == f"StoredEnvelope({format_})"
    assert repr(value.at(REF)) == f"StoredEnvelope({format_}, account.api_token:a-1)"
    assert f"{value:>30}" == f"StoredEnvelope({format_})".rjust(30)
    assert value.format == format_


@pytest.mark.parametrize(("stored", "format_"), NO_ENVELOPES.items(), ids=range(len(NO_ENVELOPES)))
def test_of_what_is_no_envelope_only_the_format_is_kept(stored: str, format_: Format) -> None:
    value = StoredEnvelope.found(stored, REF)
    assert repr(value) == f"StoredEnvelope({format_}, account.api_token:a-1)"
    kept = repr([getattr(value, slot) for slot in value.__slots__])
    assert not stored or stored not in kept
    assert "CANARY" not in kept
    with pytest.raises(UnsupportedFormatError) as caught:
        value.stored  # noqa: B018
    assert "account.api_token:a-1" in str(caught.value)
    assert "CANARY" not in str(caught.value)


@pytest.mark.parametrize("stored", NO_ENVELOPES, ids=range(len(NO_ENVELOPES)))
def test_what_is_no_envelope_is_neither_pickled_nor_copied(stored: str) -> None:
    value = StoredEnvelope.found(stored)
    for leave in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="can't be pickled or copied") as caught:
            leave(value)
        assert "CANARY" not in str(caught.value)


@pytest.mark.parametrize("leave", [lambda v: pickle.loads(pickle.dumps(v)), copy.copy, copy.deepcopy])
def test_an_envelope_may_be_pickled_and_copied_and_keeps_its_row(leave: Callable[[Any], Any]) -> None:
    value = StoredEnvelope.of(V2, REF)
    left = leave(value)
    assert (left, left.stored, left.ref, left.format) == (value, V2, REF, Format.V2)


def test_values_are_equal_if_the_same_text_is_stored_wherever_it_was_read() -> None:
    assert StoredEnvelope.of(V1) == StoredEnvelope.of(sealed(V1), REF)
    assert StoredEnvelope.of(V1) != StoredEnvelope.of(envelope(Format.V1))
    assert StoredEnvelope.found(CANARY) == StoredEnvelope.found(CANARY, REF)
    assert StoredEnvelope.found(CANARY) != StoredEnvelope.found(CANARY + "4")
    assert StoredEnvelope.of(V1) != V1
    assert len({StoredEnvelope.of(V1), StoredEnvelope.of(V1, REF), StoredEnvelope.found(CANARY)}) == 2


@pytest.mark.parametrize("text", [*NO_ENVELOPES, BROKEN], ids=range(len(NO_ENVELOPES) + 1))
def test_only_an_intact_envelope_can_be_boxed(text: str) -> None:
    for given in (text, sealed(text)):
        with pytest.raises(EnvelopeError) as caught:
            StoredEnvelope.of(given)
        assert "CANARY" not in str(caught.value)


@pytest.mark.parametrize("given", [None, V1.encode(), 7, Secret.of(CANARY)])
def test_what_is_no_text_can_not_be_boxed(given: Any) -> None:
    with pytest.raises(InvalidTokenError):
        StoredEnvelope.of(given)


@pytest.mark.parametrize(
    ("stored", "told"),
    [
        (CANARY, "keydeck encrypt account.api_token:a-1"),
        ("ZGV2fENBTkFSWQ==", "keydeck encrypt account.api_token:a-1"),
        ("eyJhbGciOiJIUzI1NiJ9.CANARY", "keydeck inspect account.api_token:a-1"),
        ("", "connect again"),
    ],
)
def test_revealing_what_is_no_envelope_tells_what_to_do_before_kms_is_asked(
    kms: KmsApi, stored: str, told: str
) -> None:
    cipher = TokenCipher(KmsKeyring(kms, write_key=KEY_ARN))
    value = StoredEnvelope.found(stored, REF)
    for leave in (value.reveal, value.open):
        with pytest.raises(UnsupportedFormatError, match=told) as caught:
            leave(cipher)
        assert "CANARY" not in str(caught.value)
    assert kms.calls == 0


def test_a_v2_value_without_a_row_tells_how_to_name_it_before_kms_is_asked(kms: KmsApi) -> None:
    cipher = TokenCipher(KmsKeyring(kms, write_key=KEY_ARN))
    with pytest.raises(MissingReferenceError, match=r"ref=EncryptedToken\.reference"):
        StoredEnvelope.of(V2).reveal(cipher)
    assert kms.calls == 0


# Assigning


@pytest.mark.parametrize("value", [*UNSEALED, literal(CANARY), func.lower(CANARY)])
def test_only_sealed_tokens_can_be_assigned(value: Any) -> None:
    account = Account(name="a-1")
    for assign in (lambda: setattr(account, "token", value), lambda: Account(token=value)):
        with pytest.raises(UnsealedTokenError, match=r"account\.api_token") as caught:
            assign()
        assert isinstance(caught.value, InvalidTokenError)
        assert "CANARY" not in str(caught.value)
        assert V1 not in str(caught.value)
    assert account.token is None


@pytest.mark.parametrize("text", [*NO_ENVELOPES, BROKEN], ids=range(len(NO_ENVELOPES) + 1))
def test_a_sealed_token_that_holds_no_intact_envelope_can_not_be_assigned(text: str) -> None:
    with pytest.raises(UnsealedTokenError, match=r"account\.api_token") as caught:
        Account(token=sealed(text))
    assert "CANARY" not in str(caught.value)


@pytest.mark.parametrize("value", [sealed(V2), StoredEnvelope.of(V2), StoredEnvelope.of(V2, REF)])
def test_what_is_assigned_is_read_as_it_will_be_loaded(value: Any) -> None:
    account = Account(name="a-1")
    account.token = value
    assert account.token == StoredEnvelope.of(V2)
    assert account.token.ref == REF
    account.token = None
    assert account.token is None


def test_a_value_assigned_before_the_id_is_known_has_no_row_yet() -> None:
    account = Account(token=sealed(V2))
    assert account.token is not None
    assert account.token.ref is None


@pytest.mark.parametrize(
    "elsewhere",
    [
        TokenRef("account", "api_token", "a-2"),
        TokenRef("account", "other_token", "a-1"),
        TokenRef("other", "api_token", "a-1"),
    ],
)
def test_a_v2_envelope_of_another_row_can_not_be_assigned(elsewhere: TokenRef) -> None:
    account = Account(name="a-1")
    with pytest.raises(RefusedError, match=f"{elsewhere}.* account.api_token:a-1"):
        account.token = StoredEnvelope.found(V2, elsewhere)
    assert account.token is None


def test_a_v2_envelope_of_another_column_can_not_be_assigned_even_where_the_id_is_unknown() -> None:
    with pytest.raises(RefusedError, match=r"as account\.api_token"):
        Account(token=StoredEnvelope.found(V2, TokenRef("other", "api_token", "a-1")))


def test_what_the_cipher_sealed_for_one_row_can_not_be_assigned_to_another() -> None:
    sealed = SealedToken(V2, KeyAnswer(KEY_ARN, None), ref=TokenRef("other", "api_token", "a-1"))
    for given in (sealed, StoredEnvelope.of(sealed)):
        with pytest.raises(RefusedError, match=r"other\.api_token:a-1"):
            Account(name="a-1").token = given


def test_a_v1_envelope_is_bound_to_no_row() -> None:
    account = Account(name="a-1", token=StoredEnvelope.of(V1, TokenRef("other", "api_token", "b-1")))
    assert account.token is not None
    assert account.token.ref == REF


# Ways to declare it


class Mixin:
    from_mixin: Mapped[StoredEnvelope | None] = mapped_column("mixin_token", EncryptedToken)


Shorthand = Annotated[StoredEnvelope | None, mapped_column(EncryptedToken())]


class Animal(Mixin, Base):
    __tablename__ = "animal"

    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str]
    mapped: Mapped[StoredEnvelope | None]
    short: Mapped[Shorthand]
    __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": "animal"}  # noqa: RUF012


class Dog(Animal):
    __mapper_args__ = {"polymorphic_identity": "dog"}  # noqa: RUF012


class Cat(Animal):
    __tablename__ = "cat"

    id: Mapped[int] = mapped_column(ForeignKey("animal.id"), primary_key=True)
    secret: Mapped[StoredEnvelope | None] = mapped_column("cat_token", EncryptedToken)
    __mapper_args__ = {"polymorphic_identity": "cat"}  # noqa: RUF012


class OtherMixed(Mixin, Base):
    __tablename__ = "other_mixed"

    id: Mapped[int] = mapped_column(primary_key=True)


class Dataclassed(MappedAsDataclass, Base):
    __tablename__ = "dataclassed"

    id: Mapped[int] = mapped_column(primary_key=True)
    token: Mapped[StoredEnvelope | None] = mapped_column(EncryptedToken, default=None)


class Imperative:
    pass


IMPERATIVE = Table(
    "imperative", Base.metadata, Column("id", Integer, primary_key=True), Column("token", EncryptedToken)
)
Base.registry.map_imperatively(Imperative, IMPERATIVE)


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
    """What a driver would get."""
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


# Comparing

SEALED = [sealed(V1), StoredEnvelope.of(V1), None]
COMPARISONS: list[Callable[[Any, Any], Any]] = [
    lambda column, value: column == value,
    lambda column, value: column != value,
    lambda column, value: value == column,
    lambda column, value: column.in_([value]),
    lambda column, value: column.not_in((value,)),
    lambda column, value: column.is_distinct_from(value),
    lambda column, value: column.is_not_distinct_from(value),
]


@pytest.mark.parametrize("compare", COMPARISONS)
def test_envelopes_are_compared_with_envelopes(compare: Callable[[Any, Any], Any]) -> None:
    for value in SEALED:
        statement = select(Account.name).where(compare(Account.token, value))
        assert "api_token" in str(statement)
        assert V1 not in str(statement.compile().params)


@pytest.mark.parametrize("compare", COMPARISONS)
@pytest.mark.parametrize("value", UNSEALED[:-2], ids=lambda value: type(value).__name__)
def test_nothing_else_is_compared_with_envelopes(compare: Callable[[Any, Any], Any], value: Any) -> None:
    with pytest.raises(UnsealedTokenError, match=r"account\.api_token") as caught:
        compare(Account.token, value)
    assert "CANARY" not in str(caught.value)


@pytest.mark.parametrize("value", [literal(CANARY), bindparam("old", CANARY)])
def test_a_parameter_made_beforehand_is_refused_by_its_value(value: Any) -> None:
    for compare in (lambda: Account.token == value, lambda: Account.token.in_([value])):
        with pytest.raises(UnsealedTokenError, match=r"account\.api_token") as caught:
            compare()
        assert "CANARY" not in str(caught.value)


def test_a_text_instead_of_a_list_is_refused_and_not_repeated() -> None:
    for value in (CANARY, CANARY.encode()):
        with pytest.raises(UnsealedTokenError) as caught:
            Account.token.in_(value)
        assert "CANARY" not in str(caught.value)


def test_null_other_columns_subqueries_and_late_parameters_can_be_compared() -> None:
    other = aliased(Account)
    for condition in (
        Account.token.is_(None),
        Account.token.is_not(None),
        Account.token == null(),
        Account.token == other.token,
        Account.token == bindparam("old"),
        Account.token.in_(select(other.token)),
        Account.token.in_(bindparam("some", expanding=True)),
    ):
        assert "api_token" in str(select(Account.name).where(condition))


@pytest.mark.parametrize(
    "operate",
    [
        lambda column: column.like("ghp_%"),
        lambda column: column.ilike("ghp_%"),
        lambda column: column.startswith("djF8"),
        lambda column: column.contains("x"),
        lambda column: column.regexp_match("x"),
        lambda column: column.match("x"),
        lambda column: column.between(sealed(V1), sealed(V1)),
        lambda column: column < sealed(V1),
        lambda column: column >= sealed(V1),
        lambda column: column + "x",
        lambda column: "x" + column,
        lambda column: column.concat("x"),
        lambda column: column.op("~")("x"),
        lambda column: column.desc(),
        lambda column: column.collate("C"),
    ],
)
def test_operators_that_say_nothing_about_ciphertext_are_refused(operate: Callable[[Any], Any]) -> None:
    for column in (Account.token, Account.__table__.c.api_token):
        with pytest.raises(RefusedError, match=r"account\.api_token holds envelopes"):
            operate(column)


# References


@pytest.mark.parametrize(
    ("row_id", "printed"),
    [
        ("gh-42", "gh-42"),
        (42, "42"),
        (UUID("12345678-90AB-CDEF-1234-567890ABCDEF"), "12345678-90ab-cdef-1234-567890abcdef"),
    ],
)
def test_a_reference_names_table_column_and_id_as_the_database_does(row_id: Any, printed: str) -> None:
    expected = TokenRef("account", "api_token", printed)
    assert EncryptedToken.reference(Account.token, row_id) == expected
    assert EncryptedToken.reference(aliased(Account).token, row_id) == expected
    assert EncryptedToken.reference(Account.__table__.c.api_token, row_id) == expected


def test_a_schema_is_no_part_of_a_reference() -> None:
    table = Table("account", MetaData(), Column("token", EncryptedToken), schema="platform")
    assert EncryptedToken.reference(table.c.token, 7) == TokenRef("account", "token", "7")


@pytest.mark.parametrize("row_id", [None, True, 1.5, b"gh-42", ("a", "b")])
def test_an_id_of_another_type_is_refused(row_id: Any) -> None:
    with pytest.raises(InvalidReferenceError, match=type(row_id).__name__):
        EncryptedToken.reference(Account.token, row_id)


@pytest.mark.parametrize("attribute", [Account.note, Account.__table__.c.note, Account, "token", func.now()])
def test_what_is_no_token_column_has_no_references(attribute: Any) -> None:
    with pytest.raises(InvalidReferenceError, match="EncryptedToken"):
        EncryptedToken.reference(attribute, "a-1")


# Rows of other shapes


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
