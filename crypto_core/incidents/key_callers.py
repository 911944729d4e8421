"""Who calls an incident's key now: calls a minute by principal, and calls denied since it was taken away.

The answer is of the events that are kept: what nobody has fetched may have happened. CloudTrail delivers
late, so of the newest minutes none is said to be without a call.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from threading import Event

from crypto_core.database.state.journal import EntryFilter, Journal
from crypto_core.database.state.journal_entry import told_in
from crypto_core.incidents.event_fetch import begin_of
from crypto_core.incidents.model import IncidentView
from crypto_core.incidents.runbooks.catalogue import ActionKind
from crypto_core.incidents.suspects import Suspects
from crypto_core.keys.key_uses import MAKES, OPENS
from crypto_core.trail.rules.rule_context import name_of
from crypto_core.trail.store import EventStore
from crypto_core.trail.use.filter_builder import asked_as, term
from crypto_core.trail.use.reach import Reaches
from crypto_core.values.cancellation import stop_if
from crypto_core.values.clean_text import clean, cleans
from crypto_core.values.errors import DatabaseError, TrailError
from crypto_core.values.json_records import JsonRecord, shape
from crypto_core.values.key_names import homes_of, is_multi_region, same_key

MINUTES = 30
MOST = 200
"""So many principals are told apart."""


@dataclass(frozen=True, slots=True)
@cleans(arn=700)
class KeyCaller(JsonRecord):
    """A principal that called a key. `by_minute` are its calls of the last minutes, the oldest first.

    `last` is its last call since the incident may have begun, `denied` how many were denied since the key was
    taken away.
    """

    arn: str
    by_minute: tuple[int, ...]
    last: datetime
    denied: int = 0
    suspect: bool = False

    json_shape = shape("principal=arn suspect calls_by_minute=by_minute last? denied")

    @property
    def name(self) -> str:
        """The principal as a row has room for it, such as user/build-bot."""
        return name_of(self.arn)

    @property
    def calls(self) -> int:
        return sum(self.by_minute)


@dataclass(frozen=True, slots=True)
@cleans(gaps=600)
class KeyCallers(JsonRecord):
    """Who called a key, suspects first. `begins` is the first of the minutes.

    `complete_until` is the moment up to which all events are fetched, None where none is known to be; `since`
    is when the key was locked down, or blocked for somebody according to the journal, None if it was not.
    `others` are principals that are not told apart, `gaps` why calls may be missing.
    """

    begins: datetime
    callers: tuple[KeyCaller, ...] = ()
    complete_until: datetime | None = None
    since: datetime | None = None
    others: int = 0
    gaps: tuple[str, ...] = ()

    json_shape = shape(
        "callers callers_begin=begins? callers_complete_until=complete_until? denied_since=since? "
        "other_callers=others callers_gaps=gaps"
    )

    @property
    def calls(self) -> int:
        return sum(caller.calls for caller in self.callers)

    @property
    def denied(self) -> int:
        return sum(caller.denied for caller in self.callers)

    @property
    def denied_words(self) -> str:
        """The denied calls in words: a number only where events since then are fetched, or some were seen."""
        fetched = (
            self.complete_until is not None and self.since is not None and self.complete_until > self.since
        )
        return f"{self.denied:,}" if fetched or self.denied else "not known"

    @property
    def known_minutes(self) -> int:
        """Of how many of the minutes all calls are fetched."""
        if self.complete_until is None:
            return 0
        whole = (self.complete_until + timedelta(seconds=1) - self.begins) // timedelta(minutes=1)
        return min(max(whole, 0), MINUTES)


@dataclass(eq=False)
class KeyCallerSearch:
    """Finds who calls the keys of incidents. Blocks on the events' store and the journal; fetches nothing.

    `regions` gives the Regions in which a multi-Region key is used.
    """

    events: EventStore
    reaches: Reaches
    journal: Journal
    regions: Callable[[], Sequence[str]]
    clock: Callable[[], datetime] = field(default=lambda: datetime.now(UTC))

    def callers_of(
        self, view: IncidentView, suspects: Suspects, cancelled: Event | None = None
    ) -> KeyCallers | None:
        """Return who calls its key, gaps included; None without a key. Raises InterruptedRunError."""
        key = view.incident.scope.key
        if not key:
            return None
        now = self.clock().astimezone(UTC)
        begins = now.replace(second=0, microsecond=0) - timedelta(minutes=MINUTES - 1)
        since = begin_of(view.incident).astimezone(UTC).replace(microsecond=0)
        gaps: list[str] = []
        taken = self._taken_away(view, gaps)
        asked = homes_of([key])
        if is_multi_region(key):
            asked = tuple(replace(home, region=region) for home in asked for region in self.regions())
        about = f"{term('key', asked_as(key))} {term('name', *MAKES, *OPENS)}"
        try:
            reached = self.reaches(begins, asked)
            if reached.until is None:
                # Nothing of the last minutes is fetched; until when it was is still to be said.
                reached = replace(reached, until=self.reaches(since, asked).until)
            whole = self.events.tally(
                ("principal",), f"{about} {_from(min(since, begins))}", limit=MOST, cancelled=cancelled
            )
            by_minute = self._by_minute(about, begins, cancelled)
            denied: dict[str, int] = {}
            if taken is not None:
                refused = self.events.tally(
                    ("principal",), f"{about} denied {_from(taken)}", limit=MOST, cancelled=cancelled
                )
                denied = {row.texts[0]: row.events for row in refused.rows}
        except TrailError as error:
            return KeyCallers(begins, since=taken, gaps=(*gaps, f"Who calls the key is not known: {error}"))
        found = [
            KeyCaller(
                row.texts[0] or "nobody that CloudTrail names",
                by_minute.get(row.texts[0], (0,) * MINUTES),
                row.last,
                denied.get(row.texts[0], 0),
                suspects.named(row.texts[0]) is not None,
            )
            for row in whole.rows
        ]
        found.sort(key=lambda one: (not one.suspect, -one.calls, -one.denied, one.arn))
        gaps += reached.gaps
        return KeyCallers(begins, tuple(found), reached.until, taken, whole.others, tuple(gaps))

    def _by_minute(self, about: str, begins: datetime, cancelled: Event | None) -> dict[str, tuple[int, ...]]:
        counts: dict[str, list[int]] = defaultdict(lambda: [0] * MINUTES)
        if not self.events.tally((), f"{about} {_from(begins)}", limit=1, cancelled=cancelled).rows:
            return {}
        for minute in range(MINUTES):
            stop_if(cancelled)
            at = begins + timedelta(minutes=minute)
            within = f"{about} {_from(at)} until:{(at + timedelta(seconds=59)).isoformat()}"
            for row in self.events.tally(("principal",), within, limit=MOST, cancelled=cancelled).rows:
                counts[row.texts[0]][minute] = row.events
        return {who: tuple(of_each) for who, of_each in counts.items()}

    def _taken_away(self, view: IncidentView, gaps: list[str]) -> datetime | None:
        moments = [
            at
            for step in view.steps
            if step.step.action is ActionKind.LOCK_DOWN_KEY and (at := step.ended_at or step.begun_at)
        ]
        which = EntryFilter(since=begin_of(view.incident), action="keys block", outcome="done")
        try:
            blocks = self.journal.entries(which=which)
        except DatabaseError as error:
            gaps.append(clean(f"Whether somebody was blocked on the key is not known: {error.message}"))
            blocks = ()
        key = view.incident.scope.key
        moments += [e.at for e in blocks if same_key(str(told_in(e.detail).get("key_arn") or ""), key)]
        return min(moments).astimezone(UTC).replace(microsecond=0) if moments else None


def _from(moment: datetime) -> str:
    return f"since:{moment.isoformat()}"
