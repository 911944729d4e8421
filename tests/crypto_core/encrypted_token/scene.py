"""Envelopes made without KMS, and classes with EncryptedToken columns."""

from __future__ import annotations

from typing import Annotated, Any

from sqlalchemy import Column, ForeignKey, Integer, Table, Text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from crypto_core.encrypted_token import EncryptedToken, StoredEnvelope
from crypto_core.envelope import Format, seal, serialise
from crypto_core.keyring.cipher import SealedToken
from crypto_core.keyring.data_keys import KeyAnswer
from crypto_core.values.references import TokenRef
from crypto_core.values.secret import DataKey, Secret

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


class Imperative:
    pass


IMPERATIVE = Table(
    "imperative", Base.metadata, Column("id", Integer, primary_key=True), Column("token", EncryptedToken)
)
Base.registry.map_imperatively(Imperative, IMPERATIVE)
