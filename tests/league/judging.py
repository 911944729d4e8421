"""Plays worlds and techniques, and counts what the rules found and what they imagined."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from crypto_core.database.tokens.decoys import Decoys
from crypto_core.findings.finding import Finding, Severity
from crypto_core.findings.registry import rule_by_id
from crypto_core.trail.record_reader import read_records
from crypto_core.trail.rules.rule_context import RuleContext
from crypto_core.trail.rules.service import TrailRules
from crypto_core.trail.store import EventStore
from crypto_core.trail.store.history import History
from tests.league.background import background
from tests.league.technique import Technique
from tests.league.world import DAYS, DECOYS, LEARNT, Record, World

ALARM = Severity.MEDIUM
"""Findings as bad as this or worse count; a lesser one is a note beside them."""
WEEKS = (DAYS - LEARNT) / 7
"""So many of a world are examined."""


@dataclass
class Tally:
    """What was found. Findings by rule: true ones, false ones, notes on the background; plays of techniques.

    `named` are plays that a rule is named for, `found` those of them that it found.
    """

    worlds: int = 0
    true: Counter[str] = field(default_factory=Counter)
    false: Counter[str] = field(default_factory=Counter)
    notes: Counter[str] = field(default_factory=Counter)
    named: Counter[str] = field(default_factory=Counter)
    found: Counter[str] = field(default_factory=Counter)
    played: Counter[str] = field(default_factory=Counter)
    missed: list[str] = field(default_factory=list)
    imagined: list[str] = field(default_factory=list)
    """The false findings in words."""

    @property
    def recall(self) -> float:
        """The share of all plays that were found."""
        return 1 - len(self.missed) / max(1, self.played.total())

    @property
    def false_a_week(self) -> float:
        """False findings a week of background."""
        return self.false.total() / max(1, self.worlds) / WEEKS

    def table(self) -> str:
        """The figures of each rule, and of all."""
        lines = [f"{'rule':<30}{'true':>7}{'false':>7}{'precision':>11}{'recall':>8}{'notes':>7}"]
        lines += [
            f"{rule:<30}{self.true[rule]:>7,}{self.false[rule]:>7,}"
            f"{_share(self.true[rule], self.true[rule] + self.false[rule]):>11}"
            f"{_share(self.found[rule], self.named[rule]):>8}{self.notes[rule]:>7,}"
            for rule in sorted({*self.true, *self.false, *self.named, *self.notes})
        ]
        true, false = self.true.total(), self.false.total()
        lines.append(
            f"{'all':<30}{true:>7,}{false:>7,}{_share(true, true + false):>11}{self.recall:>8.3f}"
            f"{self.notes.total():>7,}"
        )
        lines.append(
            f"{self.worlds} worlds, {self.played.total():,} plays of {len(self.played)} techniques, "
            f"{len(self.missed)} missed, {self.false_a_week:.2f} false findings a week"
        )
        return "\n".join(lines)


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.3f}" if whole else "-"


def judge(seed: int, techniques: Iterable[Technique], folder: Path, tally: Tally) -> None:
    """Play one world: its background alone, then each technique in a copy of it."""
    world = World(seed)
    kept = populated(world, folder)
    store = EventStore(kept)
    for since, until in world.windows():
        for finding in _examine(world, store, since, until):
            if finding.severity.rank > ALARM.rank:
                tally.notes[finding.rule] += 1
                continue
            tally.false[finding.rule] += 1
            tally.imagined.append(f"{seed}: {finding.rule} {finding.severity}: {finding.title}")
    store.close()
    tally.worlds += 1
    play(world, techniques, kept, tally)


def play(world: World, techniques: Iterable[Technique], kept: Path, tally: Tally) -> None:
    """Play techniques in a world, each in a copy of its store `kept`, which is gone then."""
    for technique in techniques:
        _play(world, technique, kept, tally)
    kept.unlink()


def populated(world: World, folder: Path) -> Path:
    """Return a store with a world's background."""
    path = folder / f"{world.seed}.sqlite"
    store = EventStore(path)
    _fill(store, background(world))
    store.close()
    return path


def _play(world: World, technique: Technique, kept: Path, tally: Tally) -> None:
    """Let a technique be played in a copy of the world, and ask the rules that are named for it."""
    world.draw.seed(f"{technique.id} {world.seed}")
    when = world.at(world.draw.randrange(LEARNT + 1, DAYS - 5), world.draw.uniform(*technique.hours))
    records = list(technique.play(world, when))
    if not records:
        return
    copy = kept.with_name("play.sqlite")
    shutil.copyfile(kept, copy)
    copy.chmod(0o600)
    store = EventStore(copy)
    _fill(store, records)
    findings = _first_findings(world, store, records, technique.found_by)
    store.close()
    copy.unlink()
    found = {one.rule for one in findings if one.severity.rank <= technique.at_least.rank}
    tally.true.update(one.rule for one in findings)
    tally.played[technique.id] += 1
    tally.named.update(technique.found_by)
    tally.found.update(found)
    if not found:
        said = ", ".join(f"{one.rule} {one.severity}" for one in findings) or "nothing"
        tally.missed.append(f"{world.seed}: {technique.id}, begun {when:%a %d %b %H:%M}: {said}")


def _first_findings(
    world: World, store: EventStore, records: Sequence[Record], rules: Sequence[str]
) -> list[Finding]:
    """What rules say of these records on the first day that they do; all rules where none is named."""
    mine = {one["eventID"] for one in records}
    times = [datetime.fromisoformat(one["eventTime"]) for one in records]
    for since, until in world.windows():
        if min(times) < until and since <= max(times):
            said = _ask(world, store, since, until, rules) if rules else _examine(world, store, since, until)
            if found := [one for one in said if mine & set(one.events)]:
                return found
    return []


def _ask(
    world: World, store: EventStore, since: datetime, until: datetime, rules: Sequence[str]
) -> Iterator[Finding]:
    """What some rules say, as they are asked by an examination of all."""
    service = _service(world, store, until)
    history = History(store.file, service.aliases)
    context = RuleContext(history, since, until, service.configured_keys()[0], decoys=service.decoys())
    for id_ in rules:
        rule = rule_by_id(id_)
        assert rule is not None, id_
        yield from (one for one in rule(context) if isinstance(one, Finding))


def _examine(world: World, store: EventStore, since: datetime, until: datetime) -> tuple[Finding, ...]:
    return _service(world, store, until).examine_events(since, until).findings


def _service(world: World, store: EventStore, now: datetime) -> TrailRules:
    return TrailRules(
        store,
        world.configured(now),
        lambda: world.aliases(now),
        clock=lambda: now,
        decoys=lambda anew=False: _LISTED,
    )


_LISTED = Decoys(former=((DECOYS, 1),))


def _fill(store: EventStore, records: Iterable[Record]) -> None:
    store.add([one for one in read_records(records) if one is not None])
