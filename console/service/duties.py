"""The duties of `keydeck watch`: one table. Each is run at its interval, and tells in a line how it went."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property, partial
from pkgutil import resolve_name
from threading import Event

from console.capabilities import AddedDuty, manifests
from console.container import Container
from console.service.notices import notice_service
from console.service.watch_metrics import WatchMetrics
from console.whole_posture import examine_keys, with_events
from crypto_core.database.state.leases import DutyLease, on_duty
from crypto_core.metrics import Metrics
from crypto_core.notices.service import NoticeService, Standing, standing_findings, standing_problems
from crypto_core.values.counts import counted
from crypto_core.values.errors import DutyLostError

_IDLE_SECONDS = 120.0
"""How long another process may hold a duty that takes moments, without having done it."""


@dataclass(frozen=True)
class DutyWork:
    """What duties work with. `telling` is False where no notices are made; `source` is where events are."""

    services: Container
    metrics: WatchMetrics
    core_metrics: Metrics
    stop: Event
    telling: bool
    source: str = "lookup"

    @cached_property
    def notices(self) -> NoticeService:
        return notice_service(self.services)


@dataclass(frozen=True, slots=True)
class Duty:
    """One duty. `seconds` are between two runs unless the operator says otherwise; `does` is for the help."""

    name: str
    seconds: float
    does: str
    run: Callable[[DutyWork], str]
    tells: bool = False
    """True if it does nothing but tell."""
    standing_by: bool = False
    """True if a process that stands by does it, too, now and then."""


def _pull(work: DutyWork) -> str:
    report = work.services.trail.puller.pull_events(work.source, cancelled=work.stop)
    work.metrics.events(report.new)
    missing = f"; missing: {'; '.join(report.gaps[:3])}" if report.gaps else ""
    return f"{counted(report.new, 'new event')}{missing}" if report.new or missing else ""


def _findings(work: DutyWork) -> str:
    rules = work.services.services.trail_rules
    keys, failure = examine_keys(work.services, rules.clock(), cancelled=work.stop)
    posture, _ = with_events(keys, rules, None, None, cancelled=work.stop)
    work.metrics.findings(Counter(one.severity for one in posture.findings), complete=posture.examined)
    now = datetime.now(UTC)
    _tell(work, "findings", standing_findings(posture.findings, now, whole=posture.examined))
    if failure is not None:  # The findings about events are told by now.
        raise failure
    unseen = "" if posture.examined else ", and not all was examined"
    return f"{counted(len(posture.findings), 'finding')}{unseen}"


def _census(work: DutyWork) -> str:
    taken = work.services.status.take_census(cancelled=work.stop)
    whole = taken.coverage.complete
    work.core_metrics.census(taken.by_format, taken.taken_at, complete=whole)
    _tell(work, "census", standing_problems(taken.problems, taken.taken_at, whole=whole))
    if taken.failure is not None:
        raise taken.failure
    incomplete = "" if whole else ", incomplete"
    return f"{counted(taken.tokens, 'token')}, {taken.protected:,} protected{incomplete}"


def _added(duty: AddedDuty, work: DutyWork) -> str:
    done: str = resolve_name(duty.run)(work.services, work.stop)
    return done


def _notices(work: DutyWork) -> str:
    done = work.notices.tell(work.stop)
    work.metrics.notices(work.notices.counts())
    troubles = "; ".join(f"{receiver}: {trouble}" for receiver, trouble in done.troubles.items())
    sent = f"{done.sent:,} sent" if done.sent else ""
    if done.holder is not None and done.holder.idle > _IDLE_SECONDS:
        raise DutyLostError(f"No notifications are sent: their duty is {done.holder}.")
    return "; ".join(filter(None, (sent, troubles)))


def _tell(work: DutyWork, name: str, standing: Standing) -> None:
    if not work.telling:
        return
    with on_duty(work.services.state_engine, name) as lease:
        if isinstance(lease, DutyLease):
            work.notices.tell_standing(lease, standing)
            lease.finish()
        elif lease.idle > _IDLE_SECONDS:
            raise DutyLostError(f"No notices of {name} are made: their duty is {lease}.")


DUTIES: tuple[Duty, ...] = (
    Duty("pull", 300, "fetch CloudTrail's events", _pull, standing_by=True),
    Duty("findings", 900, "look for findings", _findings, standing_by=True),
    Duty("census", 3_600, "count tokens", _census, standing_by=True),
    *(
        Duty(name, one.seconds, one.does, partial(_added, one))
        for capability in manifests()
        for name, one in capability.duties.items()
    ),
    Duty("notices", 15, "send notifications", _notices, tells=True),
)
"""All of them, in the order in which they begin. What else is to be done at an interval is a line here."""
