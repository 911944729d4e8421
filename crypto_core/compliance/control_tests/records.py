"""Tests of what is recorded: CloudTrail's events as they are kept, the journal, receipts."""

from __future__ import annotations

from datetime import datetime, timedelta

from crypto_core.aws.receipts.destination import OFF
from crypto_core.compliance.answer import ControlAnswer, answer, control_test, not_assessed
from crypto_core.compliance.facts import JournalFacts, SettingFacts, TrailFacts
from crypto_core.compliance.snapshot import Lack, SnapshotPart
from crypto_core.proof.journal import NOT_ANCHORED
from crypto_core.values.counts import counted

QUARTER, YEAR = timedelta(days=90), timedelta(days=365)
_FRESH = timedelta(hours=25)
"""So old the newest checkpoint may be: one a day, made by cron."""
_NO_REGIONS = "in which Regions keys are is not known"
_NO_ENTRIES = "the journal is empty"


@control_test("events-at-hand", SnapshotPart.TRAIL)
def _events_at_hand(_now: datetime, facts: TrailFacts) -> ControlAnswer:
    """CloudTrail's events of the last 90 days were fetched without a gap, of every Region with keys."""
    if not facts.regions:
        return not_assessed(_NO_REGIONS)
    if not facts.events:
        return not_assessed("no event was fetched yet")
    good = f"Events of the last {QUARTER.days} days are at hand, of {', '.join(facts.regions)}"
    return answer([good] if not facts.quarter_gaps else [], bad=facts.quarter_gaps)


@control_test("events-kept", SnapshotPart.TRAIL)
def _events_kept(_now: datetime, facts: TrailFacts) -> ControlAnswer:
    """Keydeck keeps fetched events for a year or longer, and has all of the last year."""
    if not facts.regions:
        return not_assessed(_NO_REGIONS)
    kept = "for ever" if not facts.kept_days else counted(facts.kept_days, "day")
    line = f"Events are kept {kept} (KEYDECK_EVENTS_DAYS)"
    if facts.kept_days and facts.kept_days < YEAR.days:
        return answer([], bad=[f"{line}; a year is {YEAR.days} days"])
    return answer([line], open_=[f"Of the last year not at hand: {gap}" for gap in facts.year_gaps])


@control_test("journal-whole", SnapshotPart.JOURNAL)
def _journal_whole(_now: datetime, facts: JournalFacts) -> ControlAnswer:
    """Every entry of the journal is there and unchanged, by its hash chain and its checkpoints."""
    if not facts.entries and not facts.problems:
        return not_assessed(_NO_ENTRIES)
    entries = f"{facts.entries:,} {'entry' if facts.entries == 1 else 'entries'}"
    good = [f"{entries}, each with the hash of the one before", *_unanchored(facts)]
    left = [f"Before an acknowledged break: {problem}" for problem in facts.acknowledged]
    return answer(good, bad=facts.problems, open_=left)


@control_test("journal-signed", SnapshotPart.JOURNAL)
def _journal_signed(now: datetime, facts: JournalFacts) -> ControlAnswer:
    """A KMS key has signed the journal's end within a day, as far as there are newer entries."""
    if not facts.entries:
        return not_assessed(_NO_ENTRIES)
    if not facts.signs:
        return answer([], bad=["No signing key is configured (KEYDECK_SIGNING_KEY): no entry is signed"])
    if facts.unchecked:
        return not_assessed(f"signatures were not checked: {facts.unchecked}", Lack.FAILED)
    if not facts.anchored or facts.anchored_at is None:
        return answer([], bad=["No valid checkpoint signs the journal"], open_=facts.problems)
    at = f"{facts.anchored_at:%Y-%m-%d %H:%M} UTC"
    good = [f"Signed up to entry {facts.anchored:,} of {facts.entries:,}, at {at}", *_unanchored(facts)]
    stale = now - facts.anchored_at > _FRESH and facts.anchored < facts.entries
    left = [f"{facts.entries - facts.anchored:,} newer entries are unsigned for over a day"] if stale else []
    return answer(good, bad=facts.problems, open_=left)


def _unanchored(facts: JournalFacts) -> list[str]:
    return [] if facts.outside else [NOT_ANCHORED]


@control_test("journal-held-outside", SnapshotPart.JOURNAL)
def _journal_outside(_now: datetime, facts: JournalFacts) -> ControlAnswer:
    """Checkpoints of the journal are held outside of the database that the journal is in."""
    if not facts.entries:
        return not_assessed(_NO_ENTRIES)
    if not facts.places:
        return answer([], bad=[NOT_ANCHORED])
    if facts.unchecked:
        return not_assessed(f"signatures were not checked: {facts.unchecked}", Lack.FAILED)
    if not facts.outside:
        return answer([], bad=["No valid checkpoint is held outside of the database"], open_=facts.problems)
    good = [f"Held outside of the database up to entry {facts.outside:,} of {facts.entries:,}"]
    return answer(good, bad=facts.problems)


@control_test("receipts-kept", SnapshotPart.SETTINGS)
def _receipts(_now: datetime, facts: SettingFacts) -> ControlAnswer:
    """Keydeck writes down which token each of its own calls of KMS was for."""
    if facts.receipts == OFF:
        return answer([], bad=["Receipts of KMS calls are off (KEYDECK_RECEIPTS)"])
    return answer([f"Receipts of KMS calls go to: {facts.receipts}"])
