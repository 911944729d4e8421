"""The token of a decoy was used at its provider."""

from __future__ import annotations

from crypto_core.findings.registry import Facts, Said, rule
from crypto_core.findings.severity import Severity
from crypto_core.findings.techniques import STEAL_TOKEN
from crypto_core.provider_logs.event import ProviderEvent
from crypto_core.provider_logs.rules.uses import MOST_EVENTS, ProviderUses, provider_finding, where_of
from crypto_core.provider_logs.store import EventChoice
from crypto_core.text.counting import counted

_AT_ONCE = 500
_MOST_USES = 5_000


@rule(
    "event-provider-tripwire",
    "The token of a decoy was used at its provider",
    Severity.CRITICAL,
    Facts.PROVIDERS,
    about="by its hash, where the provider's log names tokens by one, as GitHub's does",
    techniques=(STEAL_TOKEN,),
)
def tripwire_used(uses: ProviderUses) -> Said:
    """Yield a finding for each tripwire of which a decoy's token was used: a fact, by its hash."""
    tripwires = {token.token: decoy.tripwire for decoy in uses.decoys.rows for token in decoy.tokens}
    hashes = tuple(tripwires)
    by: dict[int, list[ProviderEvent]] = {}
    for start in range(0, len(hashes), _AT_ONCE):
        choice = EventChoice("", uses.since, uses.until, hashes=hashes[start : start + _AT_ONCE])
        for event in uses.log.events(choice, limit=_MOST_USES, cancelled=uses.cancelled):
            by.setdefault(tripwires[event.token_hash or b""], []).append(event)
    for number, events in sorted(by.items()):
        yield provider_finding(
            Severity.CRITICAL,
            f"tripwire {number}",
            f"A token of a decoy of tripwire {number} was used",
            f"{counted(len(events), 'use')} {where_of(events)}; the record has the token's SHA-256: a fact",
            "Nobody legitimate has it: whoever used it opened a copy of the table. Find out who opened the "
            "decoy (keydeck findings), and declare a key compromise.",
            events[:MOST_EVENTS],
        )
