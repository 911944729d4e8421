"""keydeck findings --engine: the rules over a copy of events in Parquet, or over a table of Athena's."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from threading import Event

import click

from console.commands.asking import query_consent
from console.commands.events_options import EngineChoice, opened_copy
from console.commands.mfa_prompt import code_from_terminal
from console.commands.session import loaded
from console.event_services import aliases_where_known, engine_rules, examinations_of, key_inventory_of
from console.host.interrupts import cancelled_by_interrupt
from console.printed.printing import say
from crypto_core.findings.finding import Finding, Gap
from crypto_core.findings.severity import Severity
from crypto_core.keys.posture.examination import Posture
from crypto_core.trail.event import TrailEvent
from crypto_core.trail.event_sql.questions import EngineHistory
from crypto_core.trail.rules.examination import EngineRules, window

EventsOf = Callable[[Finding], Sequence[TrailEvent]]
"""Returns the events that a finding names."""

_ALONE = Gap(
    "Examined are events alone, without suppressions and decoys: keys, access, trails, tripwires and what is "
    "suppressed: keydeck findings without --engine",
    Severity.LOW,
)
"""Events alone are asked for: that nothing else is examined hides nothing of these."""
_TABLE = Gap(
    "CloudTrail events: Athena's table has what its files hold, of which periods is not known; what is "
    "normal is told by 30 days before the window",
    Severity.LOW,
)


@contextmanager
def examined_by(
    engine: EngineChoice, since: datetime | None, until: datetime | None, *, ocsf: bool
) -> Iterator[tuple[Posture, EventsOf]]:
    """Give what the rules say of an engine's events: no database, no store, KMS only for names of keys."""
    if engine.name == "athena":
        if ocsf:
            raise click.UsageError("--ocsf asks for each finding's events once more: not of --engine athena.")
        rules, posture = _examined_by_athena(engine, since, until)
        yield posture, rules.events_of
        return
    settings = loaded().settings
    keys = key_inventory_of(settings, code_from_terminal)
    with opened_copy(engine, partial(aliases_where_known, keys)) as copy:
        of_part = Severity.HIGH if copy.mark.filter else Severity.LOW
        lacking = Gap(f"CloudTrail events: {copy.mark.told}", of_part)
        rules = engine_rules(settings, EngineHistory(copy), keys, [lacking])
        yield _examined(rules, since, until), rules.events_of


def _examined_by_athena(
    engine: EngineChoice, since: datetime | None, until: datetime | None
) -> tuple[EngineRules, Posture]:
    """Say what an examination may cost, ask, and examine."""
    settings = loaded().settings
    keys = key_inventory_of(settings, code_from_terminal)
    examinations = examinations_of(settings, engine.place, code_from_terminal)
    since, until = window(since, until, examinations.clock())
    with cancelled_by_interrupt("Stopping the query. Press again to stop at once.") as cancelled:
        plan = examinations.plan_examination(since, until, most=engine.most, cancelled=cancelled)
        for remark in plan.remarks:
            say(remark)
        shown = f"Examined is {plan.scans}"
        consent = query_consent(plan, shown, yes=engine.yes, question="Run these queries?")
        events = examinations.open_events(plan, consent, cancelled=cancelled)
        rules = engine_rules(settings, EngineHistory(events), keys, [_TABLE])
        try:
            return rules, _examined(rules, since, until, cancelled)
        finally:
            say(events.note)


def _examined(
    rules: EngineRules, since: datetime | None, until: datetime | None, cancelled: Event | None = None
) -> Posture:
    found = rules.examine_events(since, until, cancelled)
    return Posture(rules.clock(), found.findings, (_ALONE, *found.gaps))
