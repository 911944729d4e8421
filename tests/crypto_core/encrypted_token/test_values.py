"""EncryptedToken: what its values give away, what may be assigned, and references to its rows."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Column, MetaData, Table, func, literal
from sqlalchemy.orm import aliased

from crypto_core.aws.kms import KmsApi
from crypto_core.encrypted_token import EncryptedToken, StoredEnvelope, UnsealedTokenError
from crypto_core.envelope import Format
from crypto_core.keyring.cipher import SealedToken, TokenCipher
from crypto_core.keyring.data_keys import KeyAnswer
from crypto_core.keyring.kms_keyring import KmsKeyring
from crypto_core.values import errors
from crypto_core.values.references import TokenRef
from crypto_core.values.secret import Secret
from tests.crypto_core.encrypted_token.scene import (
    BROKEN,
    CANARY,
    KEY_ARN,
    NO_ENVELOPES,
    REF,
    UNSEALED,
    V1,
    V2,
    Account,
    envelope,
    sealed,
)

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
    with pytest.raises(errors.UnsupportedFormatError) as caught:
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
        with pytest.raises(errors.EnvelopeError) as caught:
            StoredEnvelope.of(given)
        assert "CANARY" not in str(caught.value)


@pytest.mark.parametrize("given", [None, V1.encode(), 7, Secret.of(CANARY)])
def test_what_is_no_text_can_not_be_boxed(given: Any) -> None:
    with pytest.raises(errors.InvalidTokenError):
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
        with pytest.raises(errors.UnsupportedFormatError, match=told) as caught:
            leave(cipher)
        assert "CANARY" not in str(caught.value)
    assert kms.calls == 0


def test_a_v2_value_without_a_row_tells_how_to_name_it_before_kms_is_asked(kms: KmsApi) -> None:
    cipher = TokenCipher(KmsKeyring(kms, write_key=KEY_ARN))
    with pytest.raises(errors.MissingReferenceError, match=r"ref=EncryptedToken\.reference"):
        StoredEnvelope.of(V2).reveal(cipher)
    assert kms.calls == 0


# Assigning


@pytest.mark.parametrize("value", [*UNSEALED, literal(CANARY), func.lower(CANARY)])
def test_only_sealed_tokens_can_be_assigned(value: Any) -> None:
    account = Account(name="a-1")
    for assign in (lambda: setattr(account, "token", value), lambda: Account(token=value)):
        with pytest.raises(UnsealedTokenError, match=r"account\.api_token") as caught:
            assign()
        assert isinstance(caught.value, errors.InvalidTokenError)
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
    with pytest.raises(errors.RefusedError, match=f"{elsewhere}.* account.api_token:a-1"):
        account.token = StoredEnvelope.found(V2, elsewhere)
    assert account.token is None


def test_a_v2_envelope_of_another_column_can_not_be_assigned_even_where_the_id_is_unknown() -> None:
    with pytest.raises(errors.RefusedError, match=r"as account\.api_token"):
        Account(token=StoredEnvelope.found(V2, TokenRef("other", "api_token", "a-1")))


def test_what_the_cipher_sealed_for_one_row_can_not_be_assigned_to_another() -> None:
    sealed = SealedToken(V2, KeyAnswer(KEY_ARN, None), ref=TokenRef("other", "api_token", "a-1"))
    for given in (sealed, StoredEnvelope.of(sealed)):
        with pytest.raises(errors.RefusedError, match=r"other\.api_token:a-1"):
            Account(name="a-1").token = given


def test_a_v1_envelope_is_bound_to_no_row() -> None:
    account = Account(name="a-1", token=StoredEnvelope.of(V1, TokenRef("other", "api_token", "b-1")))
    assert account.token is not None
    assert account.token.ref == REF


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


@pytest.mark.parametrize("row_id", [None, True, 1.5, b"gh-42", ["a", "b"], ("a", 1.5), ()])
def test_an_id_of_another_type_is_refused(row_id: Any) -> None:
    with pytest.raises(errors.InvalidReferenceError, match=type(row_id).__name__):
        EncryptedToken.reference(Account.token, row_id)


@pytest.mark.parametrize("attribute", [Account.note, Account.__table__.c.note, Account, "token", func.now()])
def test_what_is_no_token_column_has_no_references(attribute: Any) -> None:
    with pytest.raises(errors.InvalidReferenceError, match="EncryptedToken"):
        EncryptedToken.reference(attribute, "a-1")
