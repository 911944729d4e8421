"""What was done at the providers in the last seven days: by the platform, by owners, and by the intruder.

The intruder opens tokens in a burst (see traffic.py) and uses some of them, from other addresses, from three
minutes later on.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import Any

from console.sandbox.provider_tokens import Style
from console.sandbox.providers_control import ProviderControl
from console.sandbox.rows import plan_rows
from console.sandbox.traffic import DAYS, intrusion_begins
from console.sandbox.world import GeneratedToken, World
from crypto_core.database.tokens.tables import PLATFORM_TABLES
from crypto_core.envelope import TOKENS_OF
from crypto_core.values.references import TokenRef

USES_PER_CONNECTION = 0.6
MOST_USES = 1_500
BEFORE_USE = timedelta(minutes=3)
INTRUDERS_USES = {"gh_connection": 4, "slack_connection": 2, "jira_connection": 3, "confluence_connection": 2}
"""Tokens of each table that the intruder uses, as far as it opened so many."""
PLATFORM_EGRESS = ("203.0.113.200", "203.0.113.201")
NEW_EGRESS = "203.0.113.202"
"""The platform's, since yesterday."""
PLATFORM_CLIENT = "platform-api/4.2 httpx/0.27"
INTRUDER_EGRESS, INTRUDER_CLIENT = "198.51.100.23", "python-requests/2.31.0"
_BROWSER = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) Safari/605.1.15"
_PROVIDER = {table.name: TOKENS_OF.get(table.provider, "") for table in PLATFORM_TABLES}
_PLACE = {
    "gh_connection": "org_id",
    "slack_connection": "team_id",
    "jira_connection": "cloud_base_url",
    "confluence_connection": "base_url",
}
_ACTIONS = {
    "github": ("git.clone", "git.fetch", "api.request"),
    "slack": ("file_downloaded", "channel_history_read"),
    "atlassian": ("jira_issue_viewed", "page_viewed"),
}
_THEFTS = {"github": "git.clone", "slack": "file_downloaded", "atlassian": "page_viewed"}
_REFRESH = frozenset({Style.GITHUB_REFRESH, Style.ATLASSIAN_REFRESH, Style.CLIENT_SECRET})


@dataclass(frozen=True, slots=True)
class ProviderAction:
    """One thing that was done at a provider: with a token (`programmatic`), or by a person in a browser."""

    time: float
    provider: str
    place: str
    token: str = field(repr=False)
    actor: str
    action: str
    address: str
    agent: str
    target: str
    programmatic: bool = True
    ref: str = ""
    """The token that it was done with."""
    by: str = "platform"
    """platform, owner or intruder."""


def provider_uses(world: World) -> tuple[ProviderAction, ...]:
    """Return what was done, in no order; the same for the same world."""
    made = _Uses(world)
    if not made.usable:
        return ()
    total = min(MOST_USES, round(sum(world.rows.values()) * USES_PER_CONNECTION))
    return (*made.platform(total), *made.owners(max(3, total // 10)), *made.intruder())


def record_provider_uses(providers: ProviderControl, world: World) -> int:
    uses = provider_uses(world)
    providers.use([asdict(use) for use in uses])
    return len(uses)


def _places(world: World) -> Mapping[str, Mapping[str, str]]:
    """The organisation, workspace or site of each row, by table and row."""
    places: dict[str, dict[str, str]] = {table: {} for table in _PLACE}
    connections = sum(world.rows.get(table, 0) for table in _PLACE)
    for row in plan_rows(connections, world.seed, world.now):
        told = row.values.get(_PLACE[row.table]) or ""
        places[row.table][row.row_id] = told.removeprefix("https://").split("/")[0]
    return places


class _Uses:
    """Uses drawn one after another from a stream that the world's seed determines."""

    def __init__(self, world: World) -> None:
        self._world, self._places = world, _places(world)
        self._draw = random.Random(f"{world.seed}/provider-uses")  # noqa: S311  made-up data, nothing secret
        self.usable = [
            token
            for ref, token in world.tokens.items()
            if ref.table in self._places and token.corruption is None and token.style not in _REFRESH
        ]

    def platform(self, count: int) -> Iterator[ProviderAction]:
        draw, now = self._draw, self._world.now
        for _ in range(count):
            token, moment = draw.choice(self.usable), self._moment()
            egress = (*PLATFORM_EGRESS, NEW_EGRESS) if moment > now - timedelta(days=1) else PLATFORM_EGRESS
            address, action = draw.choice(egress), draw.choice(_ACTIONS[_PROVIDER[token.ref.table]])
            yield self._use(token, moment, action=action, address=address, agent=PLATFORM_CLIENT)

    def owners(self, count: int) -> Iterator[ProviderAction]:
        """People in their browsers, from wherever they are: no token of the platform's does it."""
        draw = self._draw
        for number in range(count):
            token, moment = draw.choice(self.usable), self._moment()
            yield self._use(
                *(token, moment),
                actor=f"person-{number}",
                action=draw.choice(_ACTIONS[_PROVIDER[token.ref.table]]),
                address=f"192.0.2.{draw.randrange(1, 250)}",
                agent=_BROWSER,
                programmatic=False,
                by="owner",
            )

    def intruder(self) -> Iterator[ProviderAction]:
        world, draw = self._world, self._draw
        opened = set(world.sealed_under(world.current_key, world.current_key.material_ids[-1]))
        moment = intrusion_begins(world.now) + BEFORE_USE
        for table, most in INTRUDERS_USES.items():
            stolen = [token for token in self.usable if token.ref.table == table and token.ref in opened]
            for token in draw.sample(stolen, min(most, len(stolen))):
                for _ in range(draw.randint(1, 3)):
                    moment += timedelta(seconds=draw.uniform(5, 70))
                    yield self._use(
                        *(token, moment),
                        action=_THEFTS[_PROVIDER[table]],
                        address=INTRUDER_EGRESS,
                        agent=INTRUDER_CLIENT,
                        by="intruder",
                    )

    def _moment(self) -> datetime:
        return self._world.now - timedelta(seconds=self._draw.uniform(60, DAYS * 86_400))

    def _use(self, token: GeneratedToken, moment: datetime, **told: Any) -> ProviderAction:
        ref: TokenRef = token.ref
        return ProviderAction(
            time=round(moment.timestamp(), 3),
            provider=_PROVIDER[ref.table],
            place=self._places[ref.table][ref.row_id],
            token=self._world.token_for(ref),
            ref=str(ref),
            **{"actor": "platform-bot", "target": f"project-{ref.row_id}", **told},
        )
