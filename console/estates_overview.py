"""How all estates stand: each asked on its own, some at a time, and none that fails hides another."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime
from threading import Event

from console.container import Container
from console.settings import Settings
from crypto_core.findings.finding import Severity
from crypto_core.values.cancellation import stop_if
from crypto_core.values.clean_text import clean
from crypto_core.values.errors import InterruptedRunError, KeydeckError, MissingSchemaError, SettingsError
from crypto_core.values.key_names import is_multi_region
from screens.estate_status import EstateStanding, SharedKey

AT_ONCE = 4
"""Estates that are asked at a time: each has its own connections, and takes a census."""


def look_at(
    estates: Mapping[str, Settings | SettingsError], cancelled: Event | None = None
) -> tuple[EstateStanding, ...]:
    """Return how each estate stands now, in their order. Raises InterruptedRunError alone."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        asked = [pool.submit(_standing, name, settings, cancelled) for name, settings in estates.items()]
        return tuple(one.result() for one in asked)


def shared_keys(standings: Iterable[EstateStanding]) -> tuple[SharedKey, ...]:
    """Return the keys under which estates of different environments have tokens.

    PCI DSS v4.0.1, 6.5.3, wants environments apart; 3.7.x a key to be known by as few as can be.
    """
    users: dict[str, dict[str, str]] = defaultdict(dict)
    shown: dict[str, str] = {}
    for standing in standings:
        for arn in standing.keys:
            # Replicas of a multi-Region key have the same material: they are one key.
            key = arn.rpartition("/")[2] if is_multi_region(arn) else arn
            shown.setdefault(key, arn)
            users[key][standing.name] = standing.environment or standing.name
    shared = {key: of for key, of in users.items() if len(set(of.values())) > 1}
    return tuple(SharedKey(clean(shown[key]), tuple(shared[key])) for key in sorted(shared))


def _standing(name: str, settings: Settings | SettingsError, cancelled: Event | None) -> EstateStanding:
    stop_if(cancelled)
    shown, environment = clean(name, 60), clean("")
    try:
        if isinstance(settings, SettingsError):
            raise settings
        environment = clean(settings.environment, 20)
        with closing(Container(settings)) as services:
            taken = services.status.take_census(cancelled=cancelled)
            grave = [one.severity for one in taken.problems]
            return EstateStanding(
                shown,
                environment,
                taken.taken_at,
                tokens=taken.tokens,
                protected=taken.protected,
                problems=len(taken.problems),
                worst=min(grave, key=lambda severity: severity.rank, default=Severity.NONE),
                incidents=_open_incidents(services),
                keys=tuple(sorted({share.key_arn for share in taken.keys if share.key_arn and share.tokens})),
                well=taken.well,
                gaps=taken.coverage.reasons,
            )
    except InterruptedRunError:
        raise
    except KeydeckError as error:
        return EstateStanding(shown, environment, datetime.now(UTC), trouble=clean(error, 600))


def _open_incidents(services: Container) -> int | None:
    """How many incidents are open; None where none can be kept."""
    try:
        return len(services.incident_response.incidents.incidents(closed=False, limit=1_000))
    except MissingSchemaError:
        return None
