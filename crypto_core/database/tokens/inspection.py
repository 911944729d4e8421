"""One stored token, field by field, never the plaintext."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from crypto_core.database.tokens.attribution import Attributor
from crypto_core.database.tokens.inventory import Inventory
from crypto_core.database.tokens.inventory_row import InventoryRow
from crypto_core.database.tokens.store import TokenStore
from crypto_core.envelope import TAG_BYTES, Envelope, Format, is_respelt, parse
from crypto_core.keyring.cipher import sealed_for_another_row
from crypto_core.keyring.data_keys import KeyAnswer
from crypto_core.lists.coverage import Evidence
from crypto_core.values.clean_text import NO_TEXT, CleanText, clean
from crypto_core.values.errors import DatabaseError, EnvelopeError, InvalidCiphertextError, WrongBindingError
from crypto_core.values.json_records import JsonRecord, made, shape
from crypto_core.values.references import TokenRef


@dataclass(frozen=True, slots=True)
class DescribedField(JsonRecord):
    name: str
    value: str


@dataclass(frozen=True, slots=True)
class Inspection(JsonRecord):
    """An envelope's anatomy. `fields` are (name, description) pairs in stored order, e.g.
    ("encrypted data key", "184 bytes, KMS header 01 02 03 00 78"). `broken` says why it can't be opened.
    """

    json_shape = shape(
        "*row fields key_arn=wrapped_by.key_arn key_material_id=wrapped_by.key_material_id evidence broken? "
        "key_unknown? shared_with",
        fields=made(tuple[DescribedField, ...], lambda one: [DescribedField(*field) for field in one.fields]),
    )

    row: InventoryRow
    fields: tuple[tuple[str, CleanText], ...]
    wrapped_by: KeyAnswer | None
    evidence: Evidence
    broken: CleanText = NO_TEXT
    key_unknown: CleanText = NO_TEXT
    """KMS's refusal in words."""
    shared_with: tuple[TokenRef, ...] | None = None
    """Other rows with the same token, by the index of tokens; None where it doesn't know."""


class Inspector:
    """Blocks on SQL and KMS: call it from a worker."""

    def __init__(
        self,
        inventory: Inventory,
        store: TokenStore,
        attributor: Attributor,
        *,
        sharing: Callable[[TokenRef], tuple[TokenRef, ...] | None] = lambda _: None,
    ) -> None:
        """`sharing` returns the other rows with a row's token, None where that isn't known."""
        self._sharing = sharing
        self._inventory = inventory
        self._store = store
        self._attributor = attributor

    def inspect_token(self, ref: TokenRef, *, ask_kms: bool = True) -> Inspection:
        """Return the anatomy of one stored token.

        With `ask_kms`, KMS is asked which key wrapped this very data key (two Decrypts, answers dropped),
        unless that is known already of a v1 envelope. A refusal by KMS is part of the result, not an
        exception. Raises InvalidReferenceError, RowVanishedError, DatabaseError.
        """
        row = self._inventory.row(ref)
        if row.tripwire is not None:
            said = (
                f"decoy of tripwire {row.tripwire}: nobody legitimate opens it, and Keydeck does not either"
            )
            wrapped_by = KeyAnswer(row.key_arn, None) if row.key_arn else None
            return Inspection(row, (("stored as", clean(said)),), wrapped_by, row.evidence)
        token = self._store.read_token(ref)
        if not token.format.protected:
            return Inspection(row, _fields_of_other(row), None, Evidence.UNKNOWN)
        try:
            envelope = parse(token.value.reveal())
        except EnvelopeError as error:
            return Inspection(
                row, (("version", clean(token.format.value)),), None, Evidence.UNKNOWN, broken=error.message
            )
        # KMS may open the data key of an envelope that is known not to open under it: asking would hide that.
        damage = self._attributor.damage(token)
        fields = _fields(envelope, token.value.reveal())
        if damage:
            return Inspection(row, fields, None, Evidence.UNKNOWN, broken=clean(damage))
        refusal = NO_TEXT
        # What is remembered holds for a stored value, and a v2 value opens in one row only.
        if ask_kms and (row.evidence is not Evidence.VERIFIED or envelope.named_key):
            failure = self._attributor.ask_kms([token])[0].failure
            row = self._inventory.row(ref)
            refusal = clean(failure) if failure else NO_TEXT
            if isinstance(failure, InvalidCiphertextError) and envelope.named_key:
                why = clean(sealed_for_another_row(failure, ref, envelope).message)
                return Inspection(row, fields, None, Evidence.UNKNOWN, broken=why)
        wrapped_by = KeyAnswer(row.key_arn, row.key_material_id) if row.key_arn else None
        foreign = self._foreign(envelope, ref)
        return Inspection(row, fields, wrapped_by, row.evidence, foreign, refusal, self._shared_with(ref))

    def _shared_with(self, ref: TokenRef) -> tuple[TokenRef, ...] | None:
        try:
            return self._sharing(ref)
        except DatabaseError:
            return None

    def _foreign(self, envelope: Envelope, ref: TokenRef) -> CleanText:
        """Why an envelope of another database does not open here."""
        try:
            envelope.opening_context(ref, self._attributor.keyring.binding)
        except WrongBindingError as error:
            return clean(error)
        return NO_TEXT


def _fields(envelope: Envelope, stored: str) -> tuple[tuple[str, CleanText], ...]:
    described = [(name, _described(envelope, name, content)) for name, content in envelope.parts()]
    spelling = [("spelt otherwise", _RESPELT)] if is_respelt(stored) else []
    return tuple((n, clean(text)) for n, text in (("version", envelope.summary), *spelling, *described))


_RESPELT = "only lenient readers such as the platform's open it; the next write spells it well"


def _described(envelope: Envelope, name: str, content: bytes) -> str:
    if name in ("key ARN", "database"):
        return content.decode("ascii")
    if name == "ciphertext":
        return f"{len(content) - TAG_BYTES} bytes and a {TAG_BYTES}-byte tag"
    if name == "encrypted data key" and envelope.edk_prefix is None:
        return f"{len(content)} bytes, without a KMS header"
    if name == "encrypted data key":
        header, group = content[:5].hex(" "), content[5:9].hex()
        return f"{len(content)} bytes, KMS header {header}, key material group {group}…"
    return f"{len(content)} bytes"


def _fields_of_other(row: InventoryRow) -> tuple[tuple[str, CleanText], ...]:
    says = {
        Format.DEV: "dev format: sealed under a key that is public; anyone can open it",
        Format.PLAINTEXT: f"plaintext, recognised as a token of {row.plaintext_provider}",
        Format.UNRECOGNISED: "plaintext or corrupt: begins like no known format",
        Format.EMPTY: "empty: no token is stored",
    }
    return (("stored as", clean(says.get(row.format, row.format.value))),)
