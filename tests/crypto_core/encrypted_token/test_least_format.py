"""A column that demands v2 reveals no v1 envelope and stores none, wherever it came from."""

from __future__ import annotations

import pickle
from typing import Any

import pytest
from sqlalchemy import create_engine, select, text
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from crypto_core.encrypted_token import EncryptedToken, StoredEnvelope, UnsealedTokenError
from crypto_core.envelope import Format
from crypto_core.values.errors import SettingsError, UnsupportedFormatError
from tests.crypto_core.encrypted_token.scene import REF, V1, V2, sealed


class Base(DeclarativeBase):
    pass


class Demanding(Base):
    __tablename__ = "account"

    id: Mapped[str] = mapped_column(primary_key=True)
    token: Mapped[StoredEnvelope | None] = mapped_column("api_token", EncryptedToken("v2"))


class Opener:
    """A cipher that opens anything."""

    def decrypt(self, stored: str, likely: str | None = None, *, ref: object = None) -> str:
        return f"opened {ref}"


@pytest.fixture
def session() -> Any:
    engine = create_engine("sqlite://")
    Base.metadata.create_all(engine)
    with engine.begin() as connection:
        for row_id, value in (("a-1", V2), ("a-2", V1)):
            connection.execute(text("INSERT INTO account VALUES (:i, :v)"), {"i": row_id, "v": value})
    with Session(engine) as session:
        yield session


def test_only_the_demanded_version_is_revealed(session: Session) -> None:
    cipher: Any = Opener()
    own, stray = session.get_one(Demanding, "a-1"), session.get_one(Demanding, "a-2")
    assert own.token is not None
    assert stray.token is not None
    assert own.token.open(cipher) == f"opened {REF}"  # type: ignore[comparison-overlap]
    copied = pickle.loads(pickle.dumps(stray.token))
    selected = session.scalars(select(Demanding.token).where(Demanding.id == "a-2")).one()
    for value in (stray.token, copied, selected):
        with pytest.raises(UnsupportedFormatError, match="v1 envelope where v2 is demanded"):
            value.open(cipher, ref=REF)  # type: ignore[union-attr]


def test_no_older_version_is_stored(session: Session) -> None:
    account = Demanding(id="a-3", token=sealed(V1))
    session.add(account)
    with pytest.raises(UnsealedTokenError, match=r"account.api_token: .*v1 envelope where v2 is demanded"):
        session.flush()
    session.rollback()
    session.add(Demanding(id="a-1-again"))
    session.get_one(Demanding, "a-1").token = StoredEnvelope.of(V2, REF)
    session.commit()


def test_copies_of_the_type_demand_the_same_and_nothing_else_can_be_demanded() -> None:
    assert (
        Demanding.__table__.to_metadata(Base.metadata.__class__()).c.api_token.type.least_format is Format.V2
    )
    with pytest.raises(SettingsError, match="least_format is none of v1, v2, v2-bound"):
        EncryptedToken("plaintext")
