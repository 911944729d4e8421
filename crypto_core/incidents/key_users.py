"""Who used a key, or any key, by the stored events; and the ARN by which a policy names who works here."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from threading import Event

from crypto_core.keys.key_uses import MAKES, OPENS
from crypto_core.keys.policy.least_privilege import is_principal
from crypto_core.keys.principals import SESSION, is_of
from crypto_core.trail.event import KMS
from crypto_core.trail.store import EventStore
from crypto_core.trail.use.filter_builder import asked_as, term

SEEN_FOR = timedelta(days=90)
"""How far back events are looked at: as far as LookupEvents reaches."""
_MOST = 1_000


@dataclass(frozen=True, slots=True)
class KeyUser:
    """A principal that used a key, as ARN: how often it opened and made data keys, when first and last."""

    arn: str
    opened: int
    sealed: int
    first: datetime
    last: datetime
    first_sealed: datetime | None = None

    @property
    def calls(self) -> int:
        return self.opened + self.sealed


@dataclass(frozen=True, slots=True)
class KeyUsers:
    """Users of a key by ARN, in an order that does not change with every call. `others` are not looked at.

    `events` is False where no event about the key is kept.
    """

    by_arn: dict[str, KeyUser]
    others: int
    events: bool


def key_users(
    events: EventStore, keys: Sequence[str], now: datetime, cancelled: Event | None = None
) -> KeyUsers:
    """Return who used some keys, or any key, in the last 90 days. Raises TrailError, InterruptedRunError."""
    since = (now - SEEN_FOR).replace(microsecond=0)
    about = term("key", *dict.fromkeys(map(asked_as, keys))) if keys else term("source", KMS)
    asked = f"{about} {term('name', *MAKES, *OPENS)} -failed since:{since.isoformat()}"
    found = events.tally(("principal", "name"), asked, limit=_MOST, cancelled=cancelled)
    users: dict[str, KeyUser] = {}
    for row in sorted(found.rows, key=lambda row: row.texts):
        who, name = row.texts
        if not is_principal(who):
            continue
        sealed = row.events if name in MAKES else 0
        one = KeyUser(who, row.events - sealed, sealed, row.first, row.last, row.first if sealed else None)
        users[who] = _together(users[who], one) if who in users else one
    return KeyUsers(users, found.others, bool(found.rows))


def days_of_use(
    events: EventStore,
    keys: Sequence[str],
    users: Iterable[str],
    before: datetime,
    cancelled: Event | None = None,
) -> dict[str, int]:
    """Return on how many days, in UTC, each user opened data keys before a moment. Raises TrailError."""
    end = before.replace(microsecond=0)
    about = f"{term('key', *dict.fromkeys(map(asked_as, keys)))} {term('name', *OPENS)} -failed"
    about += f" since:{(end - SEEN_FOR).isoformat()} until:{end.isoformat()}"
    return {
        who: len(events.by_day(f"{about} {term('principal', who)}", cancelled=cancelled)) for who in users
    }


def _together(one: KeyUser, other: KeyUser) -> KeyUser:
    seals = [at for at in (one.first_sealed, other.first_sealed) if at is not None]
    return replace(
        one,
        opened=one.opened + other.opened,
        sealed=one.sealed + other.sealed,
        first=min(one.first, other.first),
        last=max(one.last, other.last),
        first_sealed=min(seals, default=None),
    )


def responder_of(identity: str, known: Iterable[str] = ()) -> str:
    """Return the ARN by which a policy names who works with Keydeck, "" where it can name nobody.

    STS leaves out the path that IAM has in a role's ARN: `known` are ARNs among which the whole one may be.
    """
    session = SESSION.fullmatch(identity)
    if session is None:
        return identity if is_principal(identity) else ""
    whole = f"arn:{session['partition']}:iam::{session['account']}:role/{session['role']}"
    return next((arn for arn in known if arn != identity and is_of(identity, arn)), whole)
