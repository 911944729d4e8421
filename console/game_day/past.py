"""The time before the game: calls recorded as if made on other days."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from console.game_day.scenario import Past, Scenario
from console.sandbox import access_keys
from console.sandbox.endpoint import PastCall
from console.sandbox.traffic import PLATFORM_ADDRESSES, PLATFORM_AGENT

_LATELY = timedelta(hours=23)
"""The rules look at the last day by default; a night longer ago than this would stand half outside."""


def past_calls(scenario: Scenario, key_arn: str, now: datetime) -> Iterator[PastCall]:
    """Yield the calls before the game, all of them before `now`."""
    for past in scenario.past:
        access_key, address, agent = _caller(past, scenario)
        begun = begins(past, now)
        for number in range(past.times):
            yield PastCall(
                time=begun + timedelta(seconds=number * past.every),
                access_key_id=access_key,
                operation=past.operation,
                key_id=key_arn,
                source_ip=past.address or address,
                user_agent=agent,
            )


def _caller(past: Past, scenario: Scenario) -> tuple[str, str, str]:
    """Who called: access key, address and user agent."""
    if not past.by:
        return access_keys.PLATFORM, PLATFORM_ADDRESSES[0], PLATFORM_AGENT
    persona = scenario.persona(past.by)
    return persona.access_key, persona.address, persona.agent


def begins(past: Past, now: datetime) -> datetime:
    """Return when calls of the past began: so many nights ago, over before `now`, last night within a day.

    They lie within one hour of the clock, as the rules count them.
    """
    lasted = timedelta(seconds=past.every * past.times)
    begun = now.replace(hour=past.hour, minute=past.minute, second=7, microsecond=0)
    if begun + lasted >= now:
        begun -= timedelta(days=1)
    if past.nights_ago:
        return begun - timedelta(days=past.nights_ago)
    if now - begun < _LATELY:
        return begun
    return (now - lasted - timedelta(minutes=30)).replace(minute=past.minute)
