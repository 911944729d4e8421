"""What a token column takes: sealed tokens and NULL. Everything else is refused without being shown."""

from __future__ import annotations

from sqlalchemy.exc import DontWrapMixin

from crypto_core.cipher import SealedToken
from crypto_core.encrypted_token.stored_envelope import StoredEnvelope
from crypto_core.envelope import Format
from crypto_core.errors import EnvelopeError, InvalidTokenError


class UnsealedTokenError(InvalidTokenError, DontWrapMixin):
    """What is no sealed token was given to a token column.

    SQLAlchemy would wrap it into a StatementError, which prints the statement's parameters, were it not for
    DontWrapMixin.
    """

    default_remedy = (
        "Seal the token with TokenCipher.encrypt and pass on what it returns. "
        "What encrypt_token returns is passed on through StoredEnvelope.of."
    )


def boxed(value: object, where: str) -> StoredEnvelope | None:
    """Return what is given to token column `where` as it will be read. Raises UnsealedTokenError."""
    if value is None or isinstance(value, StoredEnvelope):
        return value
    if isinstance(value, SealedToken):
        try:
            return StoredEnvelope.of(value)
        except (EnvelopeError, InvalidTokenError) as error:
            raise UnsealedTokenError(
                f"{where} was given a SealedToken that does not hold an intact envelope. {error.message}"
            ) from error
    raise UnsealedTokenError(f"{where} takes sealed tokens only, and was given {type(value).__name__}.")


def unboxed(value: object, where: str, least: Format = Format.V1) -> str | None:
    """Return the envelope that is written into token column `where`. Raises UnsealedTokenError.

    An envelope of an older version than `least` is refused too. What was found in a column
    and is no intact envelope does not go back: written, it would be a parameter that is logged and repeated
    in errors.
    """
    box = boxed(value, where)
    if box is None:
        return None
    try:
        box.demanding(least).require_least()
    except EnvelopeError as error:
        raise UnsealedTokenError(f"{where}: {error.message}", remedy="Seal the token anew.") from error
    try:
        box.require_intact()
        return box.stored
    except EnvelopeError as error:
        raise UnsealedTokenError(
            f"{where} takes sealed tokens only; what was read is not an intact envelope. {error.message}",
            remedy=error.remedy,
        ) from error
