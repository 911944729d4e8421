"""What CloudTrail and the database show of the platform: it seals under the new key, the old one is quiet.

CloudTrail delivers within fifteen minutes or so: quiet is claimed only up to then, and only where that was
covered in all Regions of the key. A connection that was made meanwhile shows sooner, in the database, under
which key the platform seals.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from crypto_core.incidents.keys.reencryption_job import job_of
from crypto_core.incidents.keys.rotation.look import RotationLook
from crypto_core.incidents.keys.rotation.switch import platform_switched
from crypto_core.incidents.keys.rotation.verdict import RotationVerdict
from crypto_core.incidents.keys.subject import new_key, old_key
from crypto_core.incidents.model import CheckResult, CheckState, StepState
from crypto_core.incidents.runbooks.catalogue import ActionKind, CheckKind
from crypto_core.incidents.steps.step_contracts import Situation
from crypto_core.incidents.tool_services import ToolServices
from crypto_core.keys.key_uses import MAKES
from crypto_core.lists.paging import Query
from crypto_core.reencryption.plan import Verb
from crypto_core.trail.event import MOST_SKEW
from crypto_core.trail.key_watch import KeyUse, UseKind, WatchStatus, clocks_differ
from crypto_core.trail.sources.pull_query import LATE
from crypto_core.values.counts import counted
from crypto_core.values.errors import TrailError
from crypto_core.values.moments import in_utc

DEFAULT_MINUTES = 60
_LOOKS = 40
"""So many times at most a watch is asked on, for 500 uses each: busier keys are not quiet anyway."""
_SLACK = timedelta(minutes=1)
_TAKES_AWAY = (ActionKind.LOCK_DOWN_KEY, ActionKind.REENCRYPT)
_SHOWS_TAKEN = (CheckKind.KEY_LOCKED_DOWN, CheckKind.PLATFORM_SWITCHED)
"""The steps from whose end on nobody has a reason to use the old key: by their action, or their check."""


@dataclass(frozen=True, slots=True)
class _Watched:
    """All uses that one watch reported, and its last state."""

    uses: tuple[KeyUse, ...]
    look: WatchStatus
    note: str = ""
    caller: str = ""

    @property
    def gaps(self) -> tuple[str, ...]:
        """What is not known of the time that was asked about."""
        more = ("There are more uses than were looked at.",) if self.look.more else ()
        return (*self.look.gaps, *more)

    def seals(self, *, own: bool) -> list[KeyUse]:
        """The uses that brought something new under the key, with `own` those that may be Keydeck's too."""
        made = (use for use in self.uses if use.kind is UseKind.USE and use.event.name in MAKES)
        return [use for use in made if own or not use.own]


class WatchingChecks:
    """Looks. Fetches events, which may take seconds; blocks on the database and KMS."""

    def __init__(self, services: ToolServices) -> None:
        self._services = services

    def platform_switched(self, situation: Situation) -> CheckResult:
        """Pass if the platform is seen to seal under the new key, and since then not under the old one.

        Seen by a connection in the database, or in CloudTrail; what Keydeck wrote itself does not count.
        """
        old, new = old_key(situation), new_key(situation)
        if not new:
            return CheckResult(CheckState.NOT_YET, ("There is no new key yet.",))
        since = situation.incident.declared_at
        verdict = self._verdict(situation, old, new, since)
        if verdict.state is CheckState.PASSED:
            return verdict.as_check()
        switched, told = self._by_events(situation, old, new, since)
        lines = (*verdict.evidence, *told)
        if switched:
            return CheckResult(CheckState.PASSED, lines)
        return replace(verdict, evidence=lines).as_check()

    def key_quiet(self, situation: Situation) -> CheckResult:
        """Pass if only Keydeck used the old key for so many minutes since it was taken from everybody else.

        It counts from the end of the last of these steps: the lock-down, the platform's switch, the
        re-encryption. Denied calls do not break the quiet, but are reported. `done` and `total` are minutes.
        """
        minutes = int(situation.step.check_options.get("minutes", DEFAULT_MINUTES))
        period, now = timedelta(minutes=minutes), self._services.monitor.aws_now()
        waiting, begins = self._begins(situation)
        if waiting:
            lines = [f"Not counted yet: {what}" for what in waiting]
            return CheckResult(CheckState.NOT_YET, tuple(lines), 0, minutes)
        oldest = now - period - LATE - _SLACK
        counted_from, words = max(begins, default=(oldest, ""))
        watched = self._watched(situation, old_key(situation), max(oldest, min(counted_from, now)))
        look, gaps = watched.look, (*watched.gaps, *_clock_gaps(situation, now))
        quiet_since = max(look.quiet_since, counted_from)
        known = look.covered_until is not None and not gaps
        quiet = look.covered_until - quiet_since if look.covered_until and known else timedelta(0)
        done = max(0, min(minutes, int(quiet.total_seconds() // 60)))
        lines = [f"Counted from {in_utc(counted_from)}: {words}"] if words else []
        lines += [*_who(watched.uses), *_uncounted(watched)]
        lines += [f"Not known: {gap}" for gap in gaps]
        if known and quiet >= period:
            span = f"{in_utc(quiet_since)} to {in_utc(look.covered_until)}"
            lines.insert(0, f"No use from {span} in {' and '.join(look.regions) or 'no Region'}")
            return CheckResult(CheckState.PASSED, tuple(lines), minutes, minutes)
        if look.used:
            lines.insert(0, f"Last used at {in_utc(look.last_use)}: the old key is still needed")
        elif not known:
            lines.insert(0, "Whether it is quiet is not known")
            return CheckResult(CheckState.UNKNOWN, tuple(lines), done, minutes)
        earliest = in_utc(quiet_since + period + LATE)
        lines.insert(0, f"Quiet for {done} of {minutes} minutes; proved at {earliest} at the earliest")
        lines.append(f"Covered up to {in_utc(look.covered_until)}: CloudTrail is up to 15 minutes late")
        return CheckResult(CheckState.NOT_YET, tuple(lines), done, minutes)

    def _begins(self, situation: Situation) -> tuple[list[str], list[tuple[datetime, str]]]:
        """What is still to end before quiet can be counted, and what has ended when, in words."""
        waiting, begins = [], []
        for view in situation.steps:
            step, words = view.step, f"step {view.number}, {view.step.title}"
            takes_away = step.action in _TAKES_AWAY or step.check in _SHOWS_TAKEN
            if not takes_away or view.state is StepState.NOT_NEEDED:
                continue
            if view.ended_at is None:
                waiting.append(f"{words}, has not ended")
            else:
                begins.append((view.ended_at, f"then {words}, was {view.state}"))
        job = job_of(self._services.jobs, situation, Verb.REENCRYPT)
        if job is not None and not job.state.ended:
            waiting.append(f"job {job.job.id} still moves tokens")
        elif job is not None:
            end = job.job.created_at + timedelta(seconds=job.seconds)
            begins.append((end, f"then job {job.job.id} ended"))
        return waiting, begins

    def _verdict(self, situation: Situation, old: str, new: str, since: datetime) -> RotationVerdict:
        """The switch since the new key was made, or since the platform was last seen to use the old one.

        Instances are restarted one after the other: what counts is the time after the last one.
        """
        rotation, cancelled = self._services.rotation, situation.cancelled
        look = RotationLook(rotation, old, new, cancelled=cancelled)
        verdict = platform_switched(look)
        chosen = look.new is not None and look.new.created_at is not None and look.new.created_at < since
        if verdict.state is CheckState.PASSED and not chosen:
            return verdict
        if look.counted.trouble or look.new is None:
            return verdict
        last = self._last_under(situation, look.old.key_arn, since)
        begin = since if last is None else last + timedelta(seconds=1)
        return platform_switched(RotationLook(rotation, old, new, since=begin, cancelled=cancelled))

    def _last_under(self, situation: Situation, arn: str, since: datetime) -> datetime | None:
        """When the newest connection under the old key was made since the incident was declared."""
        query = Query(f"key:{arn} created:>={since.isoformat()}", "created", descending=True)
        rows = self._services.inventory.page(query, limit=1, cancelled=situation.cancelled).rows
        return rows[0].created_at if rows else None

    def _by_events(self, situation: Situation, old: str, new: str, since: datetime) -> tuple[bool, list[str]]:
        """Whether CloudTrail shows the switch: a data key under the new key after the last under the old."""
        try:
            ours = self._watched(situation, new, since)
            theirs = self._watched(situation, old, since)
        except TrailError as error:
            return False, [f"CloudTrail: not known: {error}"]
        # Keydeck seals nothing under the old key: whoever calls itself so there is another.
        made, still = ours.seals(own=False), theirs.seals(own=True)
        lines = [f"CloudTrail, new key: {line}" for line in _who(made)]
        lines += [f"CloudTrail, old key, sealed: {line}" for line in _who(still)]
        lines += [f"CloudTrail: not known: {gap}" for gap in dict.fromkeys((*ours.gaps, *theirs.gaps))]
        if not made:
            lines.append(
                f"CloudTrail: no data key under the new key since {in_utc(since)}, but for Keydeck's own"
            )
            return False, lines
        last = max((use.event.time for use in still), default=None)
        after = [use.event.time for use in made if last is None or use.event.time > last]
        ends = (ours.look.covered_until, theirs.look.covered_until)
        if not after or ours.gaps or theirs.gaps or None in ends:
            return False, lines
        covered = min(end for end in ends if end is not None)
        if min(after) > covered:
            lines.append(f"CloudTrail is known up to {in_utc(covered)}: wait until it has caught up.")
            return False, lines
        lines.append(f"From {in_utc(min(after))} to {in_utc(covered)} nothing was sealed under the old key")
        return True, lines

    def _watched(self, situation: Situation, key: str, since: datetime) -> _Watched:
        cancelled = situation.cancelled
        watch = self._services.monitor.begin_watch([key], since, cancelled=cancelled)
        uses: list[KeyUse] = []
        for _ in range(1 + _LOOKS):
            look = watch.look_for_uses(cancelled=cancelled)
            uses += look.uses
            if not look.more:
                break
        return _Watched(tuple(uses), look, watch.note, watch.caller)


def _clock_gaps(situation: Situation, now: datetime) -> tuple[str, ...]:
    """That the database, whose clock dates the steps, has another time than AWS."""
    ahead = situation.now - now if situation.now is not None else timedelta(0)
    return (clocks_differ("The database's clock", ahead),) if abs(ahead) > MOST_SKEW else ()


def _uncounted(watched: _Watched) -> Iterator[str]:
    """What does not count as use, and whose it is."""
    if denied := watched.look.counts.get(UseKind.DENIED.value, 0):
        yield f"Denied: {counted(denied, 'call')}, which do not count as use"
    if watched.caller:
        own = f"{watched.look.own:,}" if watched.look.own else "none"
        yield f"Keydeck's own calls, which do not count: {own}, as {watched.caller}"
    if watched.note:
        yield watched.note


def _who(uses: Sequence[KeyUse]) -> list[str]:
    """Who did what how often, but for Keydeck, the busiest first."""
    counts: Counter[tuple[str, str, str]] = Counter()
    last: dict[tuple[str, str, str], datetime] = {}
    for use in uses:
        if use.own or use.kind is UseKind.CHANGE:
            continue
        how = "" if use.kind is UseKind.USE else f" ({use.kind})"
        who = (use.event.principal.name or use.event.principal.arn or "somebody", use.event.name, how)
        counts[who] += 1
        last[who] = max(last.get(who, use.event.time), use.event.time)
    return [
        f"{name} by {principal}{how}: {number:,} times, last at {in_utc(last[principal, name, how])}"
        for (principal, name, how), number in counts.most_common(10)
    ]
