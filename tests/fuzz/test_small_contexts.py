"""Every small context, through the product's own encoding: no two are bound by the same bytes.

The domains are small and whole: each field of a context takes every text of a few, with what could be taken
for a length or a separator among them. That the enumeration can fail is shown by encodings broken on purpose,
each of which it must refute. The deep lane has larger domains.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import blake2b
from itertools import product
from typing import NamedTuple
from unicodedata import normalize

import pytest

from crypto_core.envelope import MARKS, VERSIONS, EnvelopeV2, Format
from crypto_core.envelope.encryption_context import (
    COLUMN,
    DATABASE,
    MEMBER,
    ROW_ID,
    SCHEMA,
    TABLE,
    EncryptionContext,
    encode,
)
from crypto_core.values.errors import InvalidReferenceError, SettingsError
from crypto_core.values.references import TokenRef, table_name

ARN = "arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"
OTHER_ARN = ARN.replace("eu-west-1", "eu-west-2")
COMPOSED, DECOMPOSED = "\u00e9", "e\u0301"


def words(alphabet: str, longest: int) -> tuple[str, ...]:
    """Every text over an alphabet, from the empty one to those of the longest length."""
    return tuple("".join(w) for n in range(longest + 1) for w in product(alphabet, repeat=n))


@dataclass(frozen=True)
class Domain:
    """What each field of a context may be. None stands for a field that is not there."""

    schemas: tuple[str | None, ...]
    tables: tuple[str, ...]
    columns: tuple[str, ...]
    rows: tuple[str, ...]
    members: tuple[str | None, ...]
    databases: tuple[str | None, ...]
    arns: tuple[str, ...] = (ARN, OTHER_ARN)

    def contexts(self) -> Iterator[Context]:
        places = product(self.schemas, self.tables, self.columns, self.rows, self.members)
        found = [place for place in places if place[1] or place[0] is None]
        for database, arn in product(self.databases, self.arns):
            for place in found:
                yield Context(*place, database, arn)


class Context(NamedTuple):
    """What an envelope is bound to; to no database where that is None."""

    schema: str | None
    table: str
    column: str
    row_id: str
    member: str | None
    database: str | None
    arn: str

    @property
    def version(self) -> type[EnvelopeV2]:
        version = VERSIONS[Format.V2 if self.database is None else Format.V2_BOUND]
        assert issubclass(version, EnvelopeV2)
        return version

    @property
    def ref(self) -> TokenRef:
        return TokenRef(table_name(self.schema, self.table), self.column, self.row_id, self.member)

    @property
    def pairs(self) -> EncryptionContext:
        """The product's encryption context. Raises InvalidReferenceError, SettingsError."""
        return self.version.context_for(self.ref, self.database)


Bound = Callable[[Context], bytes]
"""The bytes that an envelope of a context is bound by."""

NAMES = (
    *("keydeck:schema", "keydeck:table", "keydeck:column", "keydeck:id", "keydeck:member"),
    "keydeck:database",
)
"""The fields' names in FORMAT.md."""

SMALL = Domain(
    schemas=(None, "a", "a.b"),
    tables=("", "a", "\1a"),
    columns=("", "a", "aa", "\0a"),
    rows=("", "a", "\0", "a\0", "a|", COMPOSED, DECOMPOSED, "A", "a "),
    members=(None, "", "a", "\0", "|"),
    databases=(None, "", "a", "A", "a b"),
)
LARGE = Domain(
    schemas=(None, "a", "\0", "a.b", "%61"),
    tables=words("a\0", 2),
    columns=words("a\0", 2),
    rows=(*words("a\0\1", 2), *words(":|", 2), COMPOSED, DECOMPOSED, "A", "a ", " a", "%61", "a/a", "a#a"),
    members=(None, *words("a\0", 1), "\0\1", "#", COMPOSED, DECOMPOSED),
    databases=(None, "", "a", "A", "aa", "|"),
)


def bound_by_the_product(context: Context) -> bytes:
    return context.version._bound(context.arn, context.ref, context.database)


def two_bound_alike(domain: Domain, bound: Bound) -> tuple[Context, Context] | None:
    """Return two contexts of a domain that are bound by the same bytes, if there are any.

    A context that can't be bound is left out.
    """
    seen: dict[bytes, Context] = {}
    for context in domain.contexts():
        try:
            # A digest takes less memory than what it stands for.
            digest = blake2b(bound(context), digest_size=16).digest()
        except (InvalidReferenceError, SettingsError):
            continue
        other = seen.setdefault(digest, context)
        if other is not context:
            return other, context
    assert len(seen) > 4_000
    return None


def read_back(domain: Domain) -> int:
    """Assert that the contexts without an empty field are bound, each with all that it has, and no other.

    Returns how many are bound.
    """
    whole = 0
    for context in domain.contexts():
        try:
            bound = bound_by_the_product(context)
        except (InvalidReferenceError, SettingsError):
            assert "" in context
            continue
        assert "" not in context
        whole += 1
        mark, arn, pairs = taken_apart(bound)
        assert (mark, arn) == (b"v2" if context.database is None else b"vb", context.arn.encode())
        texts = zip(NAMES, context[:-1], strict=True)
        assert pairs == {name.encode(): text.encode() for name, text in texts if text is not None}
    return whole


def taken_apart(bound: bytes) -> tuple[bytes, bytes, dict[bytes, bytes]]:
    """Mark, key ARN and pairs of what is bound, read back by the lengths alone. Nothing may be left."""

    def prefixed() -> bytes:
        nonlocal bound
        end = 2 + int.from_bytes(bound[:2])
        taken, bound = bound[2:end], bound[end:]
        assert len(taken) == end - 2
        return taken

    mark, arn = prefixed(), prefixed()
    count, bound = int.from_bytes(bound[:2]), bound[2:]
    pairs = [(prefixed(), prefixed()) for _ in range(count)]
    assert not bound
    assert [key for key, _ in pairs] == sorted({key for key, _ in pairs})
    return mark, arn, dict(pairs)


def test_no_two_small_contexts_are_bound_alike() -> None:
    assert two_bound_alike(SMALL, bound_by_the_product) is None


def test_what_is_bound_can_be_read_back_and_no_empty_field_is_bound() -> None:
    assert read_back(SMALL) > 4_000


@pytest.mark.deep
def test_no_two_contexts_of_larger_domains_are_bound_alike() -> None:
    assert two_bound_alike(LARGE, bound_by_the_product) is None


@pytest.mark.deep
def test_what_is_bound_of_larger_domains_can_be_read_back() -> None:
    assert read_back(LARGE) > 300_000


# Encodings that are broken on purpose


def broken(encoding: Callable[[EncryptionContext], bytes], *, with_arn: bool = True) -> Bound:
    """Bound by another encoding of the context than the product's."""

    def bound(context: Context) -> bytes:
        arn = context.arn if with_arn else ""
        return f"{MARKS[context.version.format]}|{arn}|".encode() + encoding(context.pairs)

    return bound


def without(name: str) -> Bound:
    return broken(lambda pairs: encode({key: text for key, text in pairs.items() if key != name}))


def with_texts(changed: Callable[[str], str]) -> Bound:
    return broken(lambda pairs: encode({key: changed(text) for key, text in pairs.items()}))


def joined(pairs: EncryptionContext, between: str) -> bytes:
    return between.join(pairs.get(name, "") for name in NAMES).encode()


def by_one_length(pairs: EncryptionContext) -> bytes:
    texts = b"".join(pairs[key].encode() for key in sorted(pairs))
    return len(texts).to_bytes(2) + texts


BROKEN: dict[str, Bound] = {
    "without lengths": broken(lambda pairs: joined(pairs, "")),
    "a separator in place of lengths": broken(lambda pairs: joined(pairs, "|")),
    "a zero in place of lengths": broken(lambda pairs: joined(pairs, "\0")),
    "one length for all": broken(by_one_length),
    "values without their keys": broken(
        lambda pairs: encode({str(n): v for n, v in enumerate(pairs.values())})
    ),
    **{f"without {name}": without(name) for name in (SCHEMA, TABLE, COLUMN, ROW_ID, MEMBER)},
    "without the key": broken(encode, with_arn=False),
    "without the mark and the database": lambda context: without(DATABASE)(context)[2:],
    "without the database": without(DATABASE),
    "texts normalised": with_texts(lambda text: normalize("NFC", text)),
    "texts in one case": with_texts(str.lower),
    "texts trimmed": with_texts(str.strip),
    "texts up to a zero": with_texts(lambda text: text.partition("\0")[0]),
}


@pytest.mark.parametrize("bound", BROKEN.values(), ids=BROKEN)
def test_an_encoding_that_is_broken_is_refuted(bound: Bound) -> None:
    found = two_bound_alike(SMALL, bound)
    assert found is not None
    assert found[0] != found[1]
