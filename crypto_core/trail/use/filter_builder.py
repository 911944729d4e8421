"""Filters put together from values rather than typed, and who took part in events under which keys.

Texts become terms; whom and which keys a name means is looked up. Participants are what can be blocked, and
what an incident can be about.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from threading import Event

from crypto_core.keys.principals import SESSION
from crypto_core.lists.filter_language import unquoted, written
from crypto_core.trail.query import Aliases
from crypto_core.trail.store import EventStore
from crypto_core.values.errors import KeyNotFoundError
from crypto_core.values.key_names import is_key_arn, is_multi_region, parse_key_name, same_key

_MOST_PRINCIPALS = 50


def term(field: str, *texts: str) -> str:
    """Return the filter's term for a field that holds one of some texts, see filter_language.written."""
    return f"{field}:{','.join(map(written, texts))}"


def asked_as(arn: str) -> str:
    """Return what the events of a key are asked by: a multi-Region key has one id in all its Regions."""
    return arn.rsplit("/", 1)[-1] if is_multi_region(arn) else arn


@dataclass(frozen=True, slots=True)
class NamedKeys:
    """The keys that a name means: ARNs, replicas' too, aliases, and `ids`, by which events are asked for."""

    name: str
    ids: tuple[str, ...]
    arns: tuple[str, ...]
    aliases: tuple[str, ...]

    @property
    def filter(self) -> str:
        return term("key", *self.ids)

    def includes(self, arn: str) -> bool:
        return arn.rsplit("/", 1)[-1] in self.ids or any(same_key(arn, own) for own in self.arns)


def named_keys(names: Iterable[str], aliases: Aliases, known: Iterable[str] = ()) -> NamedKeys:
    """Return the keys that names mean, ids among `known` ARNs. Raises SettingsError, KeyNotFoundError."""
    asked = tuple(names)
    ids: dict[str, None] = {}
    arns: dict[str, None] = {}
    current: Mapping[str, Sequence[str]] | None = None
    for name in asked:
        parsed = parse_key_name(name)
        if is_key_arn(name):
            arns[name] = None
            ids[asked_as(name)] = None
        elif parsed.key_id is not None:
            ids[parsed.key_id] = None
        else:
            current = aliases() if current is None else current
            meant = [
                arn
                for arn, names_ in current.items()
                if parsed.alias in names_
                and (parsed.region is None or f":kms:{parsed.region}:{parsed.account}:" in arn)
            ]
            if not meant:
                raise KeyNotFoundError(
                    f"Which key {name} is of is not known here.",
                    key=name,
                    remedy="Name the key by its ARN or key id, or let AWS be asked: kms:ListAliases.",
                )
            for arn in meant:
                arns[arn] = None
                ids[asked_as(arn)] = None
    of_ids = [arn for arn in known if arn.rsplit("/", 1)[-1] in ids]
    found = dict.fromkeys((*arns, *of_ids))
    called = aliases() if current is None else current
    own = {alias for arn in found for alias in called.get(arn, ())}
    return NamedKeys(", ".join(asked), tuple(ids), tuple(found), tuple(sorted(own)))


@dataclass(frozen=True, slots=True)
class NamedPrincipals:
    """The principals that a name means, and how many `further`; `session` if one of a role is named."""

    name: str
    arns: tuple[str, ...]
    further: int
    filter: str
    session: str = ""


def named_principals(store: EventStore, name: str, *, cancelled: Event | None = None) -> NamedPrincipals:
    """Return whom a name means among the principals of the store's events.

    A whole ARN, what of it stands behind a colon or slash, the ARN of a session of a role; and if that is
    nobody, whoever has the name in the ARN. Upper and lower case don't count, as in IAM.
    """
    session = SESSION.fullmatch(name)
    if session:
        role = term("principal", f"role/{session['role']}")
        pathed = f"principal:*:{session['account']}:role/*{unquoted(session['role'])}"
        for who in (role, pathed):
            expression = f"{who} {term('session', session['session'])}"
            found = store.tally(("principal",), expression, limit=_MOST_PRINCIPALS, cancelled=cancelled)
            arns = [
                row.texts[0]
                for row in found.rows
                if f":{session['account']}:" in row.texts[0]
                and row.texts[0].rsplit("/", 1)[-1].lower() == session["role"].lower()
            ]
            if arns:
                exact = f"{term('principal', *arns)} {term('session', session['session'])}"
                return NamedPrincipals(name, tuple(arns), found.others, exact, session["session"])
        return NamedPrincipals(name, (), 0, expression, session["session"])
    expression = term("principal", name)
    for asked in (expression, f"principal:*{unquoted(name)}*"):
        found = store.tally(("principal",), asked, limit=_MOST_PRINCIPALS, cancelled=cancelled)
        if found.rows:
            return NamedPrincipals(name, tuple(row.texts[0] for row in found.rows), found.others, asked)
    return NamedPrincipals(name, (), 0, expression)


_MOST_VALUES = 300


def actors(events: EventStore, ids: Iterable[str], cancelled: Event | None = None) -> tuple[str, ...]:
    """Return who made some events' calls, by ARN, most first. Raises EventStoreError, InterruptedRunError."""
    return tuple(who for who, _ in _counted(events, "principal", "id", ids, cancelled))


def keys_used(
    events: EventStore, field: str, values: Iterable[str], cancelled: Event | None = None
) -> tuple[str, ...]:
    """Return the keys of events found by `field`, by ARN, most first. Raises as `actors`."""
    found: Counter[str] = Counter()
    for text, number in _counted(events, "key", field, values, cancelled):
        # An event about two keys has both in one text.
        for arn in text.split(" "):
            if is_key_arn(arn):
                found[arn] += number
    return tuple(arn for arn, _ in found.most_common())


def _counted(
    events: EventStore, column: str, field: str, values: Iterable[str], cancelled: Event | None
) -> Iterator[tuple[str, int]]:
    asked = tuple(dict.fromkeys(values))[:_MOST_VALUES]
    if asked:
        found = events.tally((column,), term(field, *asked), limit=_MOST_VALUES, cancelled=cancelled)
        for row in sorted(found.rows, key=lambda row: -row.events):
            if row.texts[0]:
                yield row.texts[0], row.events
