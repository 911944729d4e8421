"""Athena over the trail's files: its rows as a source of pulls, and counts of them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

from console.commands.events_options import EngineChoice
from console.commands.questions import query_consent
from console.event_services import aliases_of
from console.host.interrupts import cancelled_by_interrupt
from console.printed.output import say
from console.settings import Settings
from crypto_core.aws.kms import KmsApi
from crypto_core.aws.mfa_codes import AskCode
from crypto_core.lists.coverage import Coverage
from crypto_core.trail.sources.engines.athena import AthenaSettings, AthenaSource
from crypto_core.trail.sources.engines.pushed_statistics import AthenaStatistics
from crypto_core.trail.sources.puller import EngineMaker
from crypto_core.trail.store.statistics import GroupsQuestion
from crypto_core.trail.store.tallies import Tallies
from crypto_core.values.clean_text import clean


@dataclass(slots=True)
class OpenTable:
    """A table of Athena's, which is asked for counts alone. A query is shown, costs money, takes a yes."""

    statistics: AthenaStatistics
    engine: EngineChoice

    def groups(self, asked: GroupsQuestion, wanted: str) -> tuple[Tallies, int]:
        with cancelled_by_interrupt("Stopping the query. Press again to stop at once.") as cancelled:
            plan = self.statistics.plan_statistics(asked, wanted, most=self.engine.most, cancelled=cancelled)
            for remark in plan.remarks:
                say(remark)
            consent = query_consent(plan, f"Counted are rows {plan.scans}", yes=self.engine.yes)
            found = self.statistics.run_statistics(plan, consent, cancelled=cancelled)
        for note in found.notes:
            say(note)
        return found.groups, found.hidden

    def coverage(self, _since: datetime | None, _until: datetime | None, *more: str) -> Coverage:
        kept = "events of KMS and CloudTrail, as far as its files hold them: which periods is not known"
        return Coverage((*more, f"Athena's table {clean(self.engine.place, 300)}: {kept}."))


def source(settings: Settings) -> EngineMaker:
    athena = AthenaSettings(settings.athena_table, settings.athena_output, settings.athena_workgroup)
    return partial(AthenaSource, athena)


def table(settings: Settings, engine: EngineChoice, ask_code: AskCode) -> OpenTable:
    """Return what counts the events in a table, as database.table. It asks nobody before."""
    kms = KmsApi(settings.regions, profile=settings.profile, read_only=settings.read_only, ask_code=ask_code)
    athena = AthenaSettings(engine.place, settings.athena_output, settings.athena_workgroup)
    statistics = AthenaStatistics(kms, athena, lambda: datetime.now(UTC), aliases_of(settings, ask_code))
    return OpenTable(statistics, engine)
