"""Every envelope put together from a few sealed ones, before every reader: what opens was sealed so.

Whoever can write rows has envelopes of many rows and databases, and can take them apart: the mark is any,
and key ARN, encrypted data key, nonce, database and last field come from one of two envelopes each. The whole
is read in every row, with every binding and every demand, by the product's parser and cipher. It opens only
if it is one that was sealed, for that row, and for that database where it names one; v1 opens in every row.
In place of KMS stands a table of data keys, with KMS's check of key and context, or without: then the
envelope keeps the promise by itself.

That the enumeration can fail is shown by products that are broken on purpose. The deep lane puts together
more.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations_with_replacement, product
from random import Random
from typing import Any, NamedTuple, cast

import pytest

from crypto_core.envelope import (
    ENVELOPE_FORMATS,
    MARKS,
    VERSIONS,
    Envelope,
    EnvelopeV1,
    EnvelopeV2,
    Format,
    parse,
    seal,
    serialise,
)
from crypto_core.envelope.encryption_context import DATABASE, EncryptionContext
from crypto_core.envelope.fields import encode
from crypto_core.keyring import cipher as cipher_module
from crypto_core.keyring.cipher import TokenCipher
from crypto_core.keyring.data_keys import KeyAnswer, UnwrappedDataKey
from crypto_core.keyring.kms_keyring import KmsKeyring
from crypto_core.values.errors import IncorrectKeyError, InvalidCiphertextError, KeydeckError
from crypto_core.values.references import TokenRef
from crypto_core.values.secret import DataKey, Secret, exposed
from tests.crypto_core.envelope.second_implementation import Row, binding_of, derived, gcm_open
from tests.crypto_core.envelope.test_two_keys import two_key_ciphertext

ARN = "arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"
OTHER_ARN = ARN.replace("eu-west-1", "eu-west-2")
HERE, *ELSEWHERE = ROWS = (
    TokenRef("t", "c", "1"),
    TokenRef("t", "c", "2"),
    TokenRef("t", "c", "1", "m"),
    TokenRef("s.t", "c", "1"),
    TokenRef("t", "d", "1"),
    TokenRef("u", "c", "1"),
)
BINDINGS = (None, "a", "b")


class Wrapped(NamedTuple):
    data_key: bytes
    arn: str
    context: EncryptionContext


@dataclass(frozen=True, slots=True)
class Sealing:
    """An envelope that was sealed, its token, and what it was sealed for."""

    envelope: Envelope
    token: bytes
    ref: TokenRef
    binding: str | None


@dataclass(eq=False)
class World:
    """All that was sealed, and what the encrypted data keys stand for."""

    checked: bool
    """True if key and context are compared, as KMS does."""
    sealings: list[Sealing] = field(default_factory=list)
    wrapped: dict[bytes, Wrapped] = field(default_factory=dict)

    def wrap(self, data_key: bytes, arn: str, context: EncryptionContext) -> bytes:
        blob = b"wrapped %d" % len(self.wrapped)
        self.wrapped[blob] = Wrapped(data_key, arn, context)
        return blob

    def seal(self, format_: Format, ref: TokenRef, binding: str | None = None, arn: str = ARN) -> Sealing:
        number = len(self.sealings)
        data_key, token, entropy = bytes([number]) * 32, b"token %d" % number, Random(number).randbytes
        blob = self.wrap(data_key, arn, VERSIONS[format_].context_for(ref, binding))
        with DataKey(data_key) as key:
            made = seal(
                Secret(token),
                key,
                blob,
                format_=format_,
                key_arn=arn,
                ref=ref,
                binding=binding,
                entropy=entropy,
            )
        return self._keep(Sealing(made, token, ref, binding))

    def rewrap(self, sealing: Sealing) -> Sealing:
        blob = self.wrap(*self.wrapped[sealing.envelope.encrypted_data_key])
        return self._keep(replace(sealing, envelope=sealing.envelope.rewrapped(blob, ARN)))

    def forge(self, other: Sealing) -> Sealing:
        """An envelope for the same place as a v2 one, whose ciphertext that one's data key opens too."""
        number = len(self.sealings)
        data_keys = bytes([number]) * 32, self.wrapped[other.envelope.encrypted_data_key].data_key
        salt, nonce, ref = bytes(32), bytes(12), other.ref
        bound = binding_of(ARN, Row(ref.table, ref.column, ref.row_id, other.binding))
        first, second = (derived("keydeck v2 encryption", key, salt, bound) for key in data_keys)
        ciphertext = two_key_ciphertext(
            (first, second), nonce, bound, (b"of the first key", b"of the other one")
        )
        commitment = derived("keydeck v2 commitment", data_keys[0], salt, bound)
        blob = self.wrap(data_keys[0], ARN, other.envelope.context_for(ref, other.binding))
        kind = cast(Any, type(other.envelope))
        made = kind(ARN, blob, nonce, salt, commitment, ciphertext, other.envelope.named_database)
        return self._keep(Sealing(made, gcm_open(first, nonce, ciphertext, bound), ref, other.binding))

    def _keep(self, sealing: Sealing) -> Sealing:
        self.sealings.append(sealing)
        return sealing


@dataclass(frozen=True, slots=True)
class Keys:
    """A keyring over a world's data keys, of a reader with a binding."""

    world: World
    binding: str | None

    def unwrap(
        self, blob: bytes, likely: str | None, *, named: str | None, context: EncryptionContext
    ) -> UnwrappedDataKey:
        found = self.world.wrapped.get(blob)
        if found is None or (self.world.checked and found.context != context):
            raise InvalidCiphertextError("Refused.", operation="Decrypt", key="")
        if self.world.checked and named not in (None, found.arn):
            raise IncorrectKeyError("Refused.", operation="Decrypt", key="")
        return UnwrappedDataKey(DataKey(found.data_key), KeyAnswer(found.arn, None))


class Reader(NamedTuple):
    """Who reads: in which row, for which database, and what is demanded."""

    ref: TokenRef
    binding: str | None
    least: Format

    def may_open(self, sealing: Sealing) -> bool:
        """What FORMAT.md says."""
        format_ = sealing.envelope.format
        return (
            ENVELOPE_FORMATS.index(format_) >= ENVELOPE_FORMATS.index(self.least)
            and (format_ is Format.V1 or sealing.ref == self.ref)
            and (format_ is not Format.V2_BOUND or sealing.binding == self.binding)
        )


def readers(rows: Iterable[TokenRef]) -> list[Reader]:
    """Every reader of some rows; none demands what it can't read."""
    every = (Reader(*each) for each in product(rows, BINDINGS, ENVELOPE_FORMATS))
    return [one for one in every if one.binding is not None or not one.least.binds_database]


def put_together(first: Sealing, second: Sealing) -> Iterator[str]:
    """Every stored value whose fields are those of two envelopes, under every mark."""
    apart = [fields_of(first.envelope), fields_of(second.envelope)]
    arns, blobs, nonces, databases, lasts = (list(dict.fromkeys(each)) for each in zip(*apart, strict=True))
    # Behind salt and commitment there is what could be a ciphertext of v1.
    tails = [last[64:] for last in lasts if len(last) > 64]
    of_mark: dict[Format, Sequence[Sequence[bytes]]] = {
        Format.V1: (blobs, nonces, lasts + tails),
        Format.V2: (arns, blobs, nonces, lasts),
        Format.V2_BOUND: (arns, blobs, nonces, databases, lasts),
    }
    for format_, fields in of_mark.items():
        for chosen in product(*fields):
            yield encode(b"|".join((MARKS[format_].encode(), *map(encode, chosen)))).decode()


def fields_of(envelope: Envelope) -> tuple[bytes, bytes, bytes, bytes, bytes]:
    """Key ARN, encrypted data key, nonce, database and last field; where it has none, what there could be."""
    if isinstance(envelope, EnvelopeV1):
        return ARN.encode(), envelope.encrypted_data_key, envelope.nonce, b"a", envelope.ciphertext
    assert isinstance(envelope, EnvelopeV2)
    fields = envelope.to_fields()
    return fields[0], fields[1], fields[2], (envelope.named_database or "a").encode(), fields[-1]


def first_wrong(world: World, who: Sequence[Reader]) -> tuple[Format, Reader] | None:
    """Put together all envelopes of a world, have each read, and return the first that opens and must not, or
    must and doesn't, with its reader.
    """
    ciphers = {
        (one.binding, one.least): TokenCipher(
            cast(KmsKeyring, Keys(world, one.binding)), least_format=one.least
        )
        for one in who
    }
    sealed = {serialise(sealing.envelope): sealing for sealing in world.sealings}
    pairs = combinations_with_replacement(world.sealings, 2)
    every = dict.fromkeys(value for pair in pairs for value in put_together(*pair))
    assert every.keys() > sealed.keys()
    for stored in every:
        was = sealed.get(stored)
        for reader in who:
            wanted = was.token if was is not None and reader.may_open(was) else None
            if opened(ciphers[reader.binding, reader.least], stored, reader.ref) != wanted:
                return parse(stored).format, reader
    return None


def opened(cipher: TokenCipher, stored: str, ref: TokenRef) -> bytes | None:
    try:
        with cipher.decrypt(stored, ref=ref) as token:
            return bytes(exposed(token))
    except KeydeckError:
        return None


def small(*, checked: bool) -> World:
    """A row's envelope in every format, and others that differ from it in one thing."""
    world = World(checked)
    world.seal(Format.V1, HERE)
    unbound = world.seal(Format.V2, HERE)
    world.seal(Format.V2, ELSEWHERE[0])
    world.seal(Format.V2, HERE, arn=OTHER_ARN)
    world.seal(Format.V2_BOUND, HERE, "a")
    world.seal(Format.V2_BOUND, HERE, "b")
    world.forge(unbound)
    return world


def large(*, checked: bool) -> World:
    """Every row's envelope in every format and for every database, some of them rewrapped or forged."""
    world = World(checked)
    for ref in ROWS:
        world.seal(Format.V2, ref)
        for binding in BINDINGS[1:]:
            world.seal(Format.V2_BOUND, ref, binding)
    for ref in ROWS[:2]:
        world.seal(Format.V1, ref)
        world.seal(Format.V2_BOUND, ref, "a", OTHER_ARN)
    for number in (0, 1):
        world.rewrap(world.sealings[number])
        world.forge(world.sealings[number])
    return world


@pytest.mark.parametrize("checked", [True, False], ids=["with KMS's check", "by itself"])
def test_what_opens_was_sealed_so(checked: bool) -> None:
    world = small(checked=checked)
    assert first_wrong(world, readers(ROWS[:4])) is None


@pytest.mark.deep
@pytest.mark.parametrize("checked", [True, False], ids=["with KMS's check", "by itself"])
def test_what_opens_was_sealed_so_in_a_larger_world(checked: bool) -> None:
    world = large(checked=checked)
    assert first_wrong(world, readers(ROWS)) is None


# Products that are broken on purpose

Break = Callable[[pytest.MonkeyPatch], None]


def binds(changed: Callable[[bytes, str, EncryptionContext], bytes]) -> Break:
    """Everything is sealed and opened with something else bound than the product's."""

    def bound(version: type[EnvelopeV2], arn: str, ref: TokenRef | None, binding: str | None) -> bytes:
        return changed(MARKS[version.format].encode(), arn, version.context_for(ref, binding))

    return lambda patch: patch.setattr(EnvelopeV2, "_bound", classmethod(bound))


def texts(context: EncryptionContext, *, but: str = "") -> bytes:
    return repr(sorted((key, text) for key, text in context.items() if key != but)).encode()


def any_binding_will_do(patch: pytest.MonkeyPatch) -> None:
    context, opened = Envelope.opening_context, EnvelopeV2.open
    patch.setattr(Envelope, "opening_context", lambda self, ref, _: context(self, ref, self.named_database))
    patch.setattr(
        EnvelopeV2, "open", lambda self, key, ref, _=None: opened(self, key, ref, self.named_database)
    )


BROKEN: dict[str, Break] = {
    "the row is not bound": binds(lambda mark, arn, _: mark + arn.encode()),
    "the key is not bound": binds(lambda mark, _, context: mark + texts(context)),
    "the database is not bound": binds(
        lambda mark, arn, context: mark + arn.encode() + texts(context, but=DATABASE)
    ),
    "mark and database are not bound": binds(
        lambda _, arn, context: arn.encode() + texts(context, but=DATABASE)
    ),
    "the reader's binding is not compared": any_binding_will_do,
    "the demand is not heeded": lambda patch: patch.setattr(cipher_module, "at_least", lambda own, _: own),
    "the commitment is not compared": lambda patch: patch.setattr(hmac, "compare_digest", lambda *_: True),
}


@pytest.mark.parametrize("breaks", BROKEN.values(), ids=BROKEN)
def test_a_product_that_is_broken_is_refuted(breaks: Break, monkeypatch: pytest.MonkeyPatch) -> None:
    breaks(monkeypatch)
    assert first_wrong(small(checked=False), readers(ROWS[:2])) is not None
