"""Models of the platform: plaintext and broken envelopes that are in the column already."""

from __future__ import annotations

import logging
import pickle
from collections import Counter
from collections.abc import Callable

import pytest
from sqlalchemy import Engine, insert, select, text, update
from sqlalchemy.orm import Session

from console.sandbox.world import World
from crypto_core import StoredEnvelope
from crypto_core.aws.kms import KmsApi
from crypto_core.encrypted_token import UnsealedTokenError
from crypto_core.keyring.cipher import TokenCipher
from crypto_core.values.errors import EnvelopeError, InvalidCiphertextError, UnsupportedFormatError
from tests.crypto_core.platform_models.models import (
    CANARY,
    MODELS,
    SlackConnection,
    everything_told,
    values_of,
)


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
