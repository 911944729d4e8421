"""Which screen is behind a line that leads to events."""

from __future__ import annotations

from collections.abc import Sequence

from textual.screen import Screen

from screens.events.event_screen import EventScreen
from screens.events.pivot_screen import PivotScreen
from screens.events.screen import EventsScreen
from screens.facts import Facts
from screens.main_screen import MainScreen
from screens.routes import (
    EventBehind,
    EventsBehind,
    EventsNarrowed,
    KeyUseBehind,
    PivotsBehind,
    PrincipalBehind,
    TimelineBehind,
    WatchBehind,
)
from screens.use.key_use_screen import KeyUseScreen
from screens.use.principal_screen import PrincipalScreen
from screens.use.token_screen import TokenScreen
from screens.use.watch_screen import WatchScreen


def screen_behind(facts: Facts, target: object) -> MainScreen | None:
    """Return a new screen; None where the way leads back to one that is open."""
    match target:
        case EventsBehind(filter=expression):
            return EventsScreen(facts, expression)
        case EventBehind(event_id=event_id):
            return EventScreen(facts, event_id)
        case PivotsBehind(filter=expression, field=field):
            return PivotScreen(facts, expression, field)
        case PrincipalBehind(arn=arn):
            return PrincipalScreen(facts, arn)
        case KeyUseBehind(key_arn=key_arn):
            return KeyUseScreen(facts, key_arn)
        case TimelineBehind(ref=ref):
            return TokenScreen(facts, ref)
        case WatchBehind(key_arn=key_arn, since=since):
            return WatchScreen(facts, key_arn, since)
    return None


def back_to_events(stack: Sequence[Screen[object]], target: object) -> int:
    """Give the list of events below another filter; returns how deep in the stack it is."""
    depth = max(place for place, screen in enumerate(stack) if isinstance(screen, EventsScreen))
    screen = stack[depth]
    if isinstance(target, EventsNarrowed) and isinstance(screen, EventsScreen):
        screen.show_filter(target.filter)
    return depth
