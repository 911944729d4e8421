"""Ciphers, sessions and rows for the platform's models, over a real PostgreSQL and KMS."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.orm import Session

from console.sandbox.world import World
from crypto_core.aws.kms import KmsApi
from crypto_core.envelope import Format
from crypto_core.keyring.cipher import TokenCipher
from crypto_core.keyring.kms_keyring import KmsKeyring
from tests.crypto_core.platform_models.models import CANARY, SlackConnection, values_of


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


@pytest.fixture
def talkative(platform: Engine) -> Iterator[Engine]:
    """The engine of somebody who hides nothing: parameters in errors, statements and rows in the log."""
    engine = create_engine(platform.url, echo="debug", hide_parameters=False)
    yield engine
    engine.dispose()


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
