"""Edits of journals and packs as somebody draws them who may write files, or append to a journal."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from crypto_core.proof.forms import JournalEntry, entry_in

VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 2**63, 2**63 - 1, 10**25, 1.5, 1e400, "", "x", "\x00", "\ud800", "é"),
    *("e\u0301", "日本", "\U0001f511", "\u202e", [], {}, [[]], {"seq": 1}, "0" * 64, "f" * 64, "F" * 64),
    *("0" * 63, "AA==", "AB==", "AA", "AAAA", "2026-01-01T00:00:00+00:00", "2026-01-01T00:00:00Z"),
    *("2026-01-01T00:00:00+14:00", "2026-01-01", "9999-12-31T23:59:59+00:00", "0001-01-01T00:00:00+00:00"),
    *("2026-02-30T00:00:00+00:00", "2026-01-01 00:00:00+00:00", "\u0662026-01-01T00:00:00+00:00"),
    *("journal checkpoint", "evidence record", "evidence purge", "done", "refused"),
)
GARBAGE: tuple[bytes, ...] = (
    *(b"", b"[]", b"{}", b"null", b"\xff\xfe", b"\xef\xbb\xbf{}", b"{", b'"', b"NaN", b"[" * 5_000),
    *(b'{"seq": 1, "seq": 1}', b'{"seq": ' + b"9" * 5_000 + b"}", b'{"a":' * 100 + b"1" + b"}" * 100),
    *(b"\x00", b"\r", b" ", b'{"keydeck_journal": 1, "last": null, "checkpoints": []}'),
)
DETAILS: tuple[str, ...] = (
    *("", "{}", "[]", "null", "garbage", "{", "[" * 3_000, '{"number": "x"}', '{"number": true}'),
    *('{"number": 1}', '{"number": 99, "sha256": "00"}', '{"number": 1, "sha256": 5}', '{"number": 1e5}'),
    *(
        '{"first": 1, "last": 4}',
        '{"first": 1}',
        '{"first": "1", "last": 2}',
        '{"first": 1, "last": 1' + "0" * 30 + "}",
    ),
    *('{"number": 1, "number": 2}', '{"seq": 1, "digest": "00", "at": "x"}', '{"checkpoint": []}'),
    json.dumps(
        {"seq": 1, "digest": "ab", "at": "2026-01-01T00:00:00+00:00", "key_arn": "a", "signature": "YQ=="}
    ),
)
Lines = list[bytes]
Edit = Callable[[random.Random, Lines], Lines]


def _dumped(document: Any) -> bytes:
    return json.dumps(document).encode()


def _places(document: Any) -> list[tuple[Any, Any]]:
    """Each container of a document with each of its names or places."""
    found: list[tuple[Any, Any]] = []
    names = (
        document if isinstance(document, dict) else range(len(document)) if isinstance(document, list) else ()
    )
    for name in names:
        found.append((document, name))
        found += _places(document[name])
    return found


def _field(draw: random.Random, lines: Lines) -> Lines:
    at = draw.randrange(len(lines))
    document = json.loads(lines[at])
    container, name = draw.choice(_places(document))
    value = container[name]
    other = draw.choice(VALUES)
    if isinstance(value, str) and value and draw.random() < 0.4:
        place = draw.randrange(len(value))
        other = value[:place] + draw.choice("0123456789abcdefxZ+/= ") + value[place + 1 :]
    elif isinstance(value, int) and draw.random() < 0.4:
        other = value + draw.choice((-1, 1, 100))
    container[name] = other
    return [*lines[:at], _dumped(document), *lines[at + 1 :]]


def _name(draw: random.Random, lines: Lines) -> Lines:
    at = draw.randrange(len(lines))
    document = json.loads(lines[at])
    holders = [(c, n) for c, n in _places(document) if isinstance(c, dict)]
    container, name = draw.choice(holders)
    if draw.random() < 0.5:
        del container[name]
    else:
        container[draw.choice(("more", "broken", "time_stamp", "anchors", "checkpoint"))] = draw.choice(
            VALUES
        )
    return [*lines[:at], _dumped(document), *lines[at + 1 :]]


def _delete(draw: random.Random, lines: Lines) -> Lines:
    at = draw.randrange(len(lines))
    return [*lines[:at], *lines[at + draw.choice((1, 1, 1, 3)) :]]


def _twice(draw: random.Random, lines: Lines) -> Lines:
    at = draw.randrange(len(lines))
    other = draw.randrange(len(lines))
    return [*lines[:other], lines[at], *lines[other:]]


def _swap(draw: random.Random, lines: Lines) -> Lines:
    changed = list(lines)
    one, two = draw.randrange(len(lines)), draw.randrange(len(lines))
    changed[one], changed[two] = changed[two], changed[one]
    return changed


def _offsets(draw: random.Random, lines: Lines) -> Lines:
    zone = draw.choice((b"+14:00", b"-12:00", b"+00:01", b"Z", b"-00:00", b"+0000", b""))
    every = draw.random() < 0.5
    at = draw.randrange(len(lines))
    return [line.replace(b"+00:00", zone) if every or n == at else line for n, line in enumerate(lines)]


def _byte(draw: random.Random, lines: Lines) -> Lines:
    at = draw.randrange(len(lines))
    line = bytearray(lines[at])
    if line:
        line[draw.randrange(len(line))] ^= 1 << draw.randrange(8)
    return [*lines[:at], bytes(line), *lines[at + 1 :]]


def _cut(draw: random.Random, lines: Lines) -> Lines:
    at = draw.randrange(len(lines))
    return [*lines[:at], lines[at][: draw.randrange(len(lines[at]) + 1)]]


def _garbage(draw: random.Random, lines: Lines) -> Lines:
    at = draw.randrange(len(lines) + 1)
    rest = lines[at + 1 :] if draw.random() < 0.5 else lines[at:]
    return [*lines[:at], draw.choice(GARBAGE), *rest]


def _spelling(draw: random.Random, lines: Lines) -> Lines:
    at = draw.randrange(len(lines))
    document = json.loads(lines[at])
    spaced = draw.choice(
        (
            json.dumps(document, separators=(" ,", " : ")),
            json.dumps(document, ensure_ascii=False),
            json.dumps(document, sort_keys=True)[:-1] + " }",
            json.dumps(dict(reversed(document.items()))),
        )
    )
    return [*lines[:at], spaced.encode(errors="surrogatepass"), *lines[at + 1 :]]


def _checkpoint(draw: random.Random, lines: Lines) -> Lines:
    """Forge the table's checkpoints: take one away, double one, take parts of others, break with one."""
    head = json.loads(lines[0])
    stored = head["checkpoints"]
    kind = draw.choice(("drop", "double", "mix", "order", "break", "database"))
    one = draw.randrange(len(stored))
    if kind == "drop":
        del stored[one]
    elif kind == "double":
        stored.insert(draw.randrange(len(stored)), dict(stored[one]))
    elif kind == "mix":
        other = draw.choice(stored)
        name = draw.choice(sorted(other))
        stored[one] = {**stored[one], name: other[name]}
    elif kind == "order":
        draw.shuffle(stored)
    elif kind == "database":
        stored[one]["database_id"] = draw.choice(("", "another", None))
    else:
        stored[one]["broken"] = {
            "reason": "none",
            "by": "ana",
            "problems": [],
            "whole_to": 3,
            "last": None,
            "lost": [{name: two[name] for name in ("seq", "digest", "at")} for two in stored],
            "contents": "00" * 32,
        }
    return [_dumped(head), *lines[1:]]


def _appended(draw: random.Random, lines: Lines) -> Lines:
    """What whoever may append writes: entries of reserved kinds, chained as the database does."""
    head, entries = json.loads(lines[0]), [entry_in(json.loads(line)) for line in lines[1:]]
    count = draw.choice((1, 1, 2, 3))
    behind = draw.randrange(len(entries) // 2, len(entries) + 1)
    made: list[JournalEntry] = entries[:behind]
    for _ in range(count):
        last = made[-1]
        steering = [one.detail for one in entries if one.action != "rewrap"]
        draft = replace(
            last,
            seq=last.seq + 1,
            at=last.at + draw.choice((timedelta(), timedelta(minutes=1), timedelta(days=500))),
            action=draw.choice(("journal checkpoint", "evidence record", "evidence purge", "rewrap")),
            outcome=draw.choice(("done", "done", "done", "refused", "started")),
            detail=draw.choice((*DETAILS, *steering)),
            previous=last.digest,
            database_role=draw.choice((last.database_role, "another")),
            checked=draw.choice((True, True, False, None)),
        )
        made.append(replace(draft, digest=draft.computed_digest()))
    for one in entries[behind:] if draw.random() < 0.3 else ():
        draft = replace(one, seq=made[-1].seq + 1, previous=made[-1].digest)
        made.append(replace(draft, digest=draft.computed_digest()))
    head["last"] = {**head["last"], "seq": made[-1].seq, "digest": made[-1].digest.hex()}
    return [_dumped(head), *(_dumped(one.as_json()) for one in made)]


def _recomputed(draw: random.Random, lines: Lines) -> Lines:
    """An owner changes an entry and makes every digest behind it anew."""
    head, entries = json.loads(lines[0]), [entry_in(json.loads(line)) for line in lines[1:]]
    place = draw.randrange(len(entries))
    changes: dict[str, Any] = {
        "subject": "another",
        "actor": "nobody",
        "at": datetime(2020, 1, 1, tzinfo=UTC),
        "database_id": draw.choice((None, "another")),
        "database_role": draw.choice((None, "another")),
        "detail": draw.choice(DETAILS),
        "outcome": "refused",
        "checked": draw.choice((True, False, None)),
    }
    name = draw.choice(sorted(changes))
    entries[place] = replace(entries[place], **{name: changes[name]})
    before = entries[place - 1].digest if place else bytes(32)
    for at in range(place, len(entries)):
        draft = replace(entries[at], previous=before)
        entries[at] = replace(draft, digest=draft.computed_digest())
        before = entries[at].digest
    head["last"]["digest"] = before.hex()
    return [_dumped(head), *(_dumped(one.as_json()) for one in entries)]


EDITS: tuple[Edit, ...] = (
    *(_field, _field, _field, _name, _delete, _twice, _swap, _offsets, _byte, _cut, _garbage, _spelling),
    *(_checkpoint, _appended, _appended, _recomputed),
)


def edited(draw: random.Random, lines: Lines) -> tuple[str, Lines]:
    """One to three edits of a journal's lines, and what they are called."""
    names, changed = [], lines
    for _ in range(draw.choice((1, 1, 1, 2, 3))):
        edit = draw.choice(EDITS)
        try:
            changed = edit(draw, changed)
            names.append(edit.__name__.strip("_"))
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError, OverflowError):
            continue  # what an edit before has left is none that this one knows
        if not changed:
            break
    return "+".join(names), changed
