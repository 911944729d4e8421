"""Seal and open tokens by the process's environment: what the platform's own code calls."""

from __future__ import annotations

import os
from functools import lru_cache

from crypto_core.aws.fips import VARIABLE, require_fips_where_set
from crypto_core.aws.kms import KmsApi
from crypto_core.aws.receipts.destination import recorder_for
from crypto_core.aws.receipts.recorder import ReceiptRecorder, ReceiptSink
from crypto_core.envelope import Format, require_envelope_format
from crypto_core.keyring.cipher import TokenCipher
from crypto_core.keyring.kms_keyring import KmsKeyring
from crypto_core.values.errors import InvalidReferenceError, SettingsError
from crypto_core.values.references import TokenRef, parse_reference


def encrypt_token(token: str, reference: TokenRef | str | None = None, *, binding: str | None = None) -> str:
    """Return the envelope of `token` under TOKEN_ENCRYPTION_KEY_ID (one KMS call).

    `reference` is the token's place, such as "gh_connection.access_token:gh-42"; v1 does without. `binding`
    is the name of the tenant or database that a v2 envelope is bound to, by default KEYDECK_BINDING. Raises
    SettingsError without a key, InvalidTokenError for an empty or oversize token, InvalidReferenceError for
    what is no reference and where v2 lacks one, KmsError.
    """
    return _cipher_from_environment(binding=binding).encrypt(token, ref=_reference(reference)).stored


def decrypt_token(
    stored: str,
    reference: TokenRef | str | None = None,
    *,
    least_format: Format | str | None = None,
    binding: str | None = None,
) -> str:
    """Return the token that an envelope holds (one KMS call, more where several keys are trusted).

    `reference` is the place that it was read from; v1 does without. `least_format` is the oldest version that
    is opened, by default KEYDECK_LEAST_FORMAT: with v2 a v1 envelope is refused, before KMS is asked, with
    v2-bound also one that names no database. `binding` is the name of the tenant or database that the value
    was read from, by default KEYDECK_BINDING: an envelope of another one is refused likewise. Raises
    EnvelopeError for a value that is no intact envelope of that place, InvalidReferenceError, KmsError,
    SettingsError.
    """
    cipher = _cipher_from_environment(least_format, binding)
    with cipher.decrypt(stored, ref=_reference(reference)) as token:
        return token.reveal()


def _reference(reference: TokenRef | str | None) -> TokenRef | None:
    if reference is None or isinstance(reference, TokenRef):
        return reference
    if not isinstance(reference, str):
        raise InvalidReferenceError(
            f"A token reference is text or a TokenRef, not {type(reference).__name__}."
        )
    parsed = parse_reference(reference)
    if not isinstance(parsed, TokenRef):
        raise InvalidReferenceError(
            f"{parsed} names a row, not a token.", remedy="Name the column too: table.column:row-id."
        )
    return parsed


@lru_cache(maxsize=1)
def _require_fips(setting: str) -> None:
    """Once for a value that passes."""
    require_fips_where_set({VARIABLE: setting})


def _cipher_from_environment(
    least_format: Format | str | None = None, binding: str | None = None
) -> TokenCipher:
    _require_fips(os.environ.get(VARIABLE, ""))
    names = ("TOKEN_ENCRYPTION_KEY_ID", "KEYDECK_TRUSTED_KEYS", "KEYDECK_REGIONS", "KEYDECK_WRITE_FORMAT")
    receipts = os.environ.get("KEYDECK_RECEIPTS", "")
    aws = (
        "AWS_ACCESS_KEY_ID",
        "AWS_DEFAULT_REGION",
        "AWS_ENDPOINT_URL",
        "AWS_ENDPOINT_URL_KMS",
        "AWS_PROFILE",
        "AWS_REGION",
        "AWS_SESSION_TOKEN",
    )
    least, given = least_format, "least_format"
    if least is None:
        least, given = os.environ.get("KEYDECK_LEAST_FORMAT", ""), "KEYDECK_LEAST_FORMAT"
    return _cipher(
        *(os.environ.get(name, "") for name in names),
        binding=os.environ.get("KEYDECK_BINDING") or None if binding is None else binding,
        least_format=require_envelope_format(least or Format.V1, given),
        context=tuple(os.environ.get(name) for name in aws),
        receipts=_recorder(receipts) if receipts else None,
    )


@lru_cache(maxsize=1_000)  # one for each tenant
def _cipher(
    write_key: str,
    trusted: str,
    regions: str,
    write_format: str,
    *,
    binding: str | None,
    least_format: Format,
    context: tuple[str | None, ...],
    receipts: ReceiptRecorder | None,
) -> TokenCipher:
    written = require_envelope_format(write_format or Format.V1, "KEYDECK_WRITE_FORMAT")
    keys = [k.strip() for k in trusted.split(",") if k.strip()]
    keyring = KmsKeyring(_kms(regions, context), write_key=write_key or None, trusted=keys, binding=binding)
    return TokenCipher(keyring, write_format=written, least_format=least_format, receipts=receipts)


@lru_cache(maxsize=1)
def _recorder(setting: str) -> ReceiptRecorder | None:
    """What records receipts in this process, by its first environment."""
    return recorder_for(setting, _receipt_table)


def _receipt_table() -> ReceiptSink:
    from crypto_core.database.connection.engine import open_engine
    from crypto_core.database.state.receipt_table import TableSink

    setting = "KEYDECK_STATE_URL" if os.environ.get("KEYDECK_STATE_URL") else "DATABASE_URL"
    url = os.environ.get(setting)
    if not url:
        raise SettingsError("Receipts go to a table of no database.", remedy="Set DATABASE_URL.")
    return TableSink(open_engine(url, setting=setting, token_source=KmsApi().database_token))


@lru_cache(maxsize=4)
def _kms(regions: str, context: tuple[str | None, ...]) -> KmsApi:
    # `context` tells apart what boto3 reads by itself.
    return KmsApi([r.strip() for r in regions.split(",") if r.strip()])
