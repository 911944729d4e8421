"""What the rules say of a window of providers' events, and what they could not look at."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from threading import Event

from crypto_core.cancelling import stop_if
from crypto_core.database.tokens.decoys import ReadDecoys, no_decoys
from crypto_core.findings.finding import Finding, Gap
from crypto_core.findings.registry import Facts, rules_about
from crypto_core.findings.severity import Severity
from crypto_core.provider_logs.judging import LEARNED, UseJudge
from crypto_core.provider_logs.rules.uses import ProviderUses
from crypto_core.provider_logs.store import EventChoice, ProviderLog
from crypto_core.text.moments import in_utc
from crypto_core.trail.store import EventStore

Suspects = Callable[[], tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class ProviderRules:
    """Examines providers' events. Blocks on the stores."""

    log: ProviderLog
    events: EventStore
    suspects: Suspects = tuple
    decoys: ReadDecoys = no_decoys

    def __call__(self, since: datetime, until: datetime, cancelled: Event | None) -> Iterator[Finding | Gap]:
        """Yield what the rules say of a window. Raises EventStoreError, InterruptedRunError."""
        if not self.log.count(EventChoice("", since, until, with_token=True), cancelled=cancelled):
            return
        judge = UseJudge(self.log, self.events, suspects=self.suspects(), cancelled=cancelled)
        if judge.begins is not None and judge.begins + LEARNED > since:
            yield Gap(
                f"Providers' events: they begin at {in_utc(judge.begins)}: which addresses and clients are "
                f"usual isn't known yet of {in_utc(since)}",
                Severity.HIGH,
            )
        uses = ProviderUses(self.log, judge, since, until, cancelled, self.decoys())
        for rule in rules_about(Facts.PROVIDERS):
            stop_if(cancelled)
            yield from rule(uses)
