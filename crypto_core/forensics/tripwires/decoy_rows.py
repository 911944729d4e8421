"""Rows drawn to look like the others: a real row's values, another id, other digits, made-up tokens.

GitHub's tokens end in six characters of base62 that are the CRC-32 of what stands between prefix and checksum
(GitHub, "Behind GitHub's new authentication token formats"); Atlassian's API tokens end in it as hex.
"""

from __future__ import annotations

import re
import string
import zlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from random import SystemRandom
from uuid import UUID, uuid4

from sqlalchemy import BigInteger, Connection, cast, func, or_, select
from sqlalchemy import Text as SqlText

from crypto_core.database.qualified_sql import text
from crypto_core.database.tokens.expressions import columns_of, id_text, is_envelope, text_of
from crypto_core.database.tokens.tables import TokenTable
from crypto_core.database.tokens.token_source import without_decoys
from crypto_core.envelope import Format, classify, parse
from crypto_core.envelope.issuers import issuer_of
from crypto_core.forensics.tripwires.rows import ColumnShape, TableShape
from crypto_core.values.errors import EnvelopeError, RefusedError
from crypto_core.values.secret import Secret

SAMPLE = 300
LEAST = 5
"""With fewer sealed rows in a table nothing looks like the others."""
_TAG_BYTES = 16
_DENSE = 0.3
"""The share of numbers in use from which ids are taken to be counted up, not drawn."""
_TRIES = 40
_MOST_NUMBERS = 5_000_000
"""Numbers up to which free ones are looked for among them all."""
_random = SystemRandom()


@dataclass(frozen=True, slots=True)
class RealRow:
    """What a real row has: columns without tokens as text, and how long each token is, in bytes."""

    values: Mapping[str, str | None] = field(repr=False)
    lengths: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class RealRows:
    """Some real rows whose tokens are all sealed, the ids among their values, and their usual format."""

    id_column: str
    rows: tuple[RealRow, ...]
    format: Format

    @property
    def ids(self) -> list[str]:
        return [row.values[self.id_column] or "" for row in self.rows]

    def is_one_each(self, column: ColumnShape) -> bool:
        """True for a column in which most rows have a value of their own."""
        values = [v for row in self.rows if (v := row.values.get(column.name))]
        return column.unique or (len(values) >= 2 * LEAST and len(set(values)) > len(values) / 2)


@dataclass(frozen=True, slots=True)
class DrawnRow:
    row_id: str
    values: Mapping[str, str | None] = field(repr=False)
    tokens: Mapping[str, Secret]


def read_sample(connection: Connection, table: TokenTable, shape: TableShape) -> RealRows:
    names = [c.name for c in shape.columns]
    foreign = {(c.name, c.type) for c in shape.columns if c.is_foreign}
    table = replace(table, types=table.types | foreign)
    rows = without_decoys(table, columns_of(table, [*names, *table.id_columns, *table.token_columns]))
    sealed = [
        or_(rows.c[c].is_(None), is_envelope(text_of(table, c, rows.c[c]))) for c in table.token_columns
    ]
    some = or_(*(rows.c[c].is_not(None) for c in table.token_columns))
    read = select(*(cast(rows.c[n], SqlText).label(n) for n in names)).where(*sealed, some)
    found = connection.execute(read.order_by(func.random()).limit(SAMPLE)).mappings().all()
    real: list[RealRow] = []
    formats: Counter[Format] = Counter()
    for row in found:
        stored = {c: row[c] for c in table.token_columns if row[c] is not None}
        try:
            lengths = {c: _length(value) for c, value in stored.items()}
        except EnvelopeError:
            continue
        formats.update(classify(value).format for value in stored.values())
        real.append(RealRow({n: row[n] for n in names if n not in table.token_columns}, lengths))
    if len(real) < LEAST:
        raise RefusedError(
            f"{table.name} has {len(real)} rows whose tokens are all sealed: a decoy would stand out.",
            remedy="Choose another table, or encrypt the tokens that are stored in plaintext first.",
        )
    return RealRows(table.id_columns[0], tuple(real), formats.most_common(1)[0][0])


def draw_rows(
    connection: Connection,
    table: TokenTable,
    shape: TableShape,
    sample: RealRows,
    count: int,
    given: Mapping[str, str],
    taken: frozenset[str] = frozenset(),
) -> tuple[DrawnRow, ...]:
    """Return so many rows that look like the sample's, with `given` values in all and no id that is `taken`.

    Raises RefusedError.
    """
    ids = draw_ids(connection, table, shape, sample, count, taken)
    return tuple(_draw(table, shape, sample, row_id, given) for row_id in ids)


def id_words(shape: TableShape, sample: RealRows) -> str:
    if shape.column(sample.id_column).sequence:
        return "the next numbers of the table's own sequence"
    return "numbers that are free" if numbered(sample.ids) is not None else "drawn in the form of the others"


def draw_ids(
    connection: Connection,
    table: TokenTable,
    shape: TableShape,
    sample: RealRows,
    count: int,
    taken: frozenset[str],
) -> list[str]:
    """Return so many ids that no row has, and that are not taken otherwise."""
    column = shape.column(sample.id_column)
    if column.sequence:
        drawn = text("SELECT nextval(CAST(:sequence AS regclass)) FROM generate_series(1, :count)")
        return [str(n) for n in connection.scalars(drawn, {"sequence": column.sequence, "count": count})]
    prefix = numbered(sample.ids)
    if prefix is not None:
        return _free_numbers(connection, table, prefix, count, taken)
    rows = columns_of(table, table.id_columns)
    found: list[str] = []
    for _ in range(_TRIES):
        made = {varied(_random.choice(sample.ids)) for _ in range(count)} - set(found) - taken
        there = connection.scalars(select(id_text(table, rows)).where(id_text(table, rows).in_(sorted(made))))
        found += sorted(made - set(there))
        if len(found) >= count:
            return found[:count]
    raise RefusedError(f"No free id in the form of {table.name}'s was found.", remedy="Choose another table.")


def _free_numbers(
    connection: Connection, table: TokenTable, prefix: str, count: int, taken: frozenset[str]
) -> list[str]:
    """Numbers that no row has, among the others' where some are left out."""
    rows = columns_of(table, table.id_columns)
    identity = id_text(table, rows)
    number = func.substr(identity, len(prefix) + 1)
    like = (func.starts_with(identity, prefix), number.op("~")("^[0-9]{1,15}$"))
    read = select(number).where(*like)
    highest = connection.scalar(select(func.max(cast(number, BigInteger))).where(*like)) or 0
    others = {int(n) for one in taken if (n := one.removeprefix(prefix)).isdecimal()}
    there = {int(n) for n in connection.scalars(read)} if highest <= _MOST_NUMBERS else set()
    if there and len(there) / highest > _DENSE:
        free = [n for n in range(1, highest) if n not in there and n not in others]
        chosen = _random.sample(free, min(count, len(free)))
        above = (n for n in range(highest + 1, highest + 1 + count + len(others)) if n not in others)
        chosen += [next(above) for _ in range(count - len(chosen))]
        return [f"{prefix}{n}" for n in sorted(chosen)]
    low = 10 ** (len(str(highest)) - 1)
    for _ in range(_TRIES):
        drawn = {_random.randrange(low, max(highest, low + 100 * count)) for _ in range(count)} - others
        made = [f"{prefix}{n}" for n in sorted(drawn)]
        used = set(connection.scalars(select(identity).where(identity.in_(made))))
        if len(made) == count and not used:
            return made
    raise RefusedError(f"No free number for {table.name} was found.", remedy="Choose another table.")


def _draw(
    table: TokenTable, shape: TableShape, sample: RealRows, row_id: str, given: Mapping[str, str]
) -> DrawnRow:
    real = _random.choice(sample.rows)
    values: dict[str, str | None] = dict(real.values)
    counted_up = shape.column(sample.id_column).sequence or numbered(sample.ids) is not None
    # Where ids are counted up, the time of a row goes with its id.
    dated = sample.rows[nearest(sample.ids, row_id)] if counted_up else real
    by = _shift(table, dated, ended=bool(shape.column(sample.id_column).sequence))
    for column in shape.columns:
        value = values.get(column.name)
        if column.is_time:
            own = dated.values.get(column.name) if value is not None else None
            values[column.name] = moved(own, by) if own is not None else value
        elif value and not column.refers and not column.is_document and sample.is_one_each(column):
            values[column.name] = varied(value)
    values |= dict(given)
    values[sample.id_column] = row_id
    kind = (values.get("token_type") or "").lower()
    tokens = {
        name: Secret.of(made_up_token(table.provider, length, "refresh" if "refresh" in name else kind))
        for name, length in real.lengths.items()
    }
    return DrawnRow(row_id, values, tokens)


def _shift(table: TokenTable, dated: RealRow, *, ended: bool) -> timedelta:
    """How far a row's times are moved: to now where its id is the newest, else by some hours at most."""
    made = time_of(dated.values.get(table.created or "") or "")
    if made is None:
        return timedelta(seconds=_random.randrange(60, 3 * 3600))
    since = datetime.now(UTC) - made
    if ended:
        return since - timedelta(seconds=_random.randrange(1, 30))
    return min(timedelta(seconds=_random.randrange(60, 3 * 3600)), since)


def _length(stored: str) -> int:
    """How long the token in an envelope is, in bytes. Raises EnvelopeError."""
    return len(dict(parse(stored).parts())["ciphertext"]) - _TAG_BYTES


def shows(sample: RealRows, columns: Sequence[ColumnShape]) -> list[tuple[str, str]]:
    def change(column: ColumnShape) -> str:
        if column.is_time:
            return ", moved"
        kept = column.refers or column.is_document or not sample.is_one_each(column)
        return "" if kept else ", with other digits"

    return [(column.name, f"as in a real row{change(column)}") for column in columns]


_RUNS = re.compile(r"[A-Za-z0-9]+|[^A-Za-z0-9]+")
_NUMBERED = re.compile(r"(\D*)(\d+)")
_HEX = re.compile(r"[0-9a-f]{8,}|[0-9A-F]{8,}")
RANDOM_LOOK = 8
"""Characters from which letters mixed with digits are taken for random ones."""


def varied(value: str) -> str:
    """Return a value of the same look. It is the same value where nothing in it looks as if it varied."""
    try:
        UUID(value)
    except ValueError:
        return "".join(map(_varied_run, _RUNS.findall(value)))
    made = str(uuid4())
    return made if "-" in value else made.replace("-", "")


def _varied_run(run: str) -> str:
    mixed = len(run) >= RANDOM_LOOK and any(c.isdigit() for c in run) and any(c.isalpha() for c in run)
    hexadecimal = mixed and _HEX.fullmatch(run) is not None
    return "".join(_varied_character(c, i, letters=mixed, hexadecimal=hexadecimal) for i, c in enumerate(run))


def _varied_character(c: str, place: int, *, letters: bool, hexadecimal: bool) -> str:
    if c in string.digits:
        return c if (c, place) == ("0", 0) else _random.choice(string.digits[not place :])
    if not letters or c not in string.ascii_letters:
        return c
    alphabet = string.ascii_lowercase if c.islower() else string.ascii_uppercase
    return _random.choice(alphabet[:6] if hexadecimal else alphabet)


def numbered(ids: Iterable[str]) -> str | None:
    """Return what all ids begin with that are a text and a number, such as gh-; None for others."""
    prefixes = set()
    for one in ids:
        found = _NUMBERED.fullmatch(one)
        if found is None or (found[2] != "0" and found[2].startswith("0")):
            return None
        prefixes.add(found[1])
    return prefixes.pop() if len(prefixes) == 1 else None


def number_of(id_: str) -> int:
    found = _NUMBERED.fullmatch(id_)
    return int(found[2]) if found else 0


def nearest(ids: Sequence[str], to: str) -> int:
    """Which of some ids is nearest by number to another, at or below it where there is one."""
    wanted = number_of(to)
    below = [i for i, one in enumerate(ids) if number_of(one) <= wanted]
    among = below or range(len(ids))
    return min(among, key=lambda i: abs(number_of(ids[i]) - wanted))


def time_of(value: str) -> datetime | None:
    try:
        read = datetime.fromisoformat(value)
    except ValueError:
        return None
    return read if read.tzinfo is not None else read.replace(tzinfo=UTC)


def moved(value: str, by: timedelta) -> str:
    """Return a time as text, moved; what is no such text stays. Parts of a second are drawn anew."""
    read = time_of(value)
    if read is None:
        return value
    if read.microsecond:
        read = read.replace(microsecond=_random.randrange(1, 1_000_000))
    try:
        after = read + by
    except OverflowError:
        return value
    if len(value) <= len("2000-01-01"):
        return after.date().isoformat()
    return after.isoformat(sep=" ", timespec="microseconds" if read.microsecond else "seconds")


_DIGITS = string.digits
_BASE62 = string.digits + string.ascii_uppercase + string.ascii_lowercase
_URL_SAFE = _BASE62 + "-_"
_JWT = "eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCJ9.eyJ"
_CHECKSUM = 6
_GITHUB = {"oauth": "gho_", "user": "ghu_", "installation": "ghs_", "personal": "ghp_", "refresh": "ghr_"}


def made_up_token(provider: str, length: int, kind: str = "") -> str:
    """Return a random token of a provider in so many characters, or in the nearest number that its shape has.

    `kind` is what the row calls it, such as oauth, or `refresh` for a refresh token. Of a provider that isn't
    known it is random letters and digits.
    """
    issuer, length = issuer_of(provider), max(length, 20)
    if issuer is None:
        return _drawn(length, _BASE62)
    if shape := _SHAPES.get(issuer.name):
        return shape(length, kind.lower())
    prefix = next(iter(issuer.refresh if kind == "refresh" else ()), issuer.prefixes[0])
    return prefix + _drawn(length - len(prefix), _BASE62)


def checksum(body: str) -> str:
    number, digits = zlib.crc32(body.encode()), ""
    while number:
        number, digit = divmod(number, 62)
        digits = _BASE62[digit] + digits
    return digits.rjust(_CHECKSUM, "0")


def _github(length: int, kind: str) -> str:
    if length == 93:
        body = f"{_drawn(22, _BASE62)}_{_drawn(53, _BASE62)}"
        return f"github_pat_{body}{checksum(body)}"
    prefix = next((p for name, p in _GITHUB.items() if name in kind), "gho_")
    body = _drawn(length - len(prefix) - _CHECKSUM, _BASE62)
    return f"{prefix}{body}{checksum(body)}"


def _slack(length: int, _: str) -> str:
    head = f"xoxb-{_number(12)}-{_number(13)}-"
    return f"{head}{_drawn(max(length - len(head), 24), _BASE62)}"


def _atlassian(length: int, _: str) -> str:
    if length >= 300:
        signature = 342
        payload = max(length - len(_JWT) - 1 - signature, 60)
        return f"{_JWT}{_drawn(payload, _URL_SAFE)}.{_drawn(signature, _URL_SAFE)}"
    body = f"ATATT3xFfGF0{_drawn(max(length - 21, 20), _URL_SAFE)}"
    return f"{body}={zlib.crc32(body.encode()):08X}"


def _drawn(number: int, alphabet: str) -> str:
    return "".join(_random.choices(alphabet, k=number))


def _number(digits: int) -> str:
    return _random.choice(_DIGITS[1:]) + _drawn(digits - 1, _DIGITS)


_SHAPES = {"github": _github, "slack": _slack, "atlassian": _atlassian}
"""By issuer; the others' are a prefix, and letters and digits."""
